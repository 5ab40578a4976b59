import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from model_core.errors import BrokenFilmError, FilmTooLargeError, UnsupportedFilmError
from model_core.films.limits import FilmLimits
from model_core.films.reading import open_film
from tests.model_core.films.studio import (
    empty_frame,
    face_frame,
    read_frames,
    unlike,
    write_film,
)

FRAMES = [np.roll(empty_frame(64), 3 * i, axis=1) for i in range(12)]
LIMITS = FilmLimits()


def read(path, limits=LIMITS):
    with open_film(path, limits) as film:
        return list(film.frames())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES, sound="aac")


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [("a.mp4", "libx264", "aac"), ("a.mkv", "libvpx-vp9", "libopus"), ("a.avi", "mpeg4", "mp3"),
     ("a.ts", "libx264", "aac"), ("a.mov", "libx264", "pcm_s16le"), ("a.webm", "libvpx", None)],
)  # fmt: skip
def test_frames_and_their_times_are_read(tmp_path, name, codec, sound):
    options = {"crf": "8"} if codec == "libx264" else {"qscale": "2"} if codec == "mpeg4" else {}
    path = write_film(tmp_path / name, FRAMES, codec=codec, sound=sound, options=options)
    frames = read(path)
    times, _ = read_frames(path)
    with open_film(path, LIMITS) as opened:
        assert [frame.pts * opened.time_base for frame in frames] == times
        assert len(opened.sounds) == bool(sound)
    assert len(frames) == 12
    assert unlike(frames[5].pixels(), FRAMES[5]) < 6


def test_uneven_times_are_read(tmp_path):
    pts = [0, 512, 700, 2000, 2100, 2611, 4000, 4100, 4200, 5000, 6000, 6001]
    frames = read(write_film(tmp_path / "a.mp4", FRAMES, pts=pts))
    assert [frame.pts for frame in frames] == pts


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_films_are_read_upright(tmp_path, rotation, mirrored):
    upright = np.zeros((48, 80, 3), np.uint8)
    upright[:24, :40] = 200  # top left
    # The reference is the rotation that PyAV reads, anticlockwise.
    path = write_film(tmp_path / "a.mp4", [upright] * 2, rotation=rotation, mirrored=mirrored)
    (frame, _) = read(path)
    turned = np.rot90(upright, rotation // 90)
    expected = [turned, turned[:, ::-1], turned[::-1]]
    if mirrored:
        assert min(unlike(frame.pixels(), each) for each in expected[1:]) < 4
    else:
        assert frame.image.rotation % 360 == rotation
        assert unlike(frame.pixels(), turned) < 4


def test_pixels_become_square(tmp_path):
    def flatten(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    (frame, *_) = read(write_film(tmp_path / "a.mp4", FRAMES[:2], prepare=flatten))
    assert frame.pixels().shape == (64, 128, 3)


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("color_range", [1, 2])
def test_colours_are_read_and_written_as_the_film_says(tmp_path, matrix, color_range):
    """The film's bytes are computed here, not by the scaler that reads them."""
    rgb = np.array([200.0, 60.0, 90.0])
    kr, kb = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}.get(matrix, (0.299, 0.114))
    luma = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    blue, red = (rgb[2] - luma) / (2 * (1 - kb)), (rgb[0] - luma) / (2 * (1 - kr))
    full = color_range == 2
    bytes_ = [
        luma if full else 16 + luma * 219 / 255,
        128 + blue * (1 if full else 224 / 255),
        128 + red * (1 if full else 224 / 255),
    ]
    shades = np.rint(bytes_).astype(np.uint8)
    stacked = np.concatenate(
        [np.full(64 * 64, shades[0]), *(np.full(32 * 32, s) for s in shades[1:])]
    )
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, color_range
        out.mux(stream.encode(av.VideoFrame.from_ndarray(stacked.reshape(96, 64), "yuv420p")))
        out.mux(stream.encode())
    (frame,) = read(path)
    assert frame.colour.full_range == full
    assert np.abs(frame.pixels()[32, 32] - rgb).max() <= 3
    back = frame.colour.to_yuv(frame.pixels()).to_ndarray().reshape(-1)
    assert np.abs(back[[2000, 4096 + 500, 4096 + 1024 + 500]].astype(int) - shades).max() <= 2


def test_high_dynamic_range_is_refused(tmp_path):
    def tag(stream):
        stream.codec_context.color_trc = 16

    path = write_film(tmp_path / "a.mp4", FRAMES[:2], prepare=tag)
    with pytest.raises(UnsupportedFilmError, match="high dynamic range"):
        read(path)


PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n",
    "a.mp4": "ffconcat version 1.0\nfile {film}\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "a.mpd": '<?xml version="1.0"?><MPD><Period><BaseURL>{film}</BaseURL></Period></MPD>',
    "a.txt": "hello\n" * 100,
    "empty.mp4": "",
}  # fmt: skip


@pytest.mark.parametrize("name", PLAYLISTS)
def test_what_is_no_film_or_names_others_is_refused(tmp_path, film, name):
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format(film=film))
    with pytest.raises(UnsupportedFilmError, match="not a film that can be read"):
        read(path)


def test_titles_may_be_in_any_encoding(tmp_path):
    def name(stream):
        stream.container.metadata["title"] = "Zzzz"

    path = write_film(tmp_path / "a.avi", FRAMES[:2], codec="mpeg4", prepare=name)
    data = path.read_bytes()
    assert b"Zzzz" in data
    path.write_bytes(data.replace(b"Zzzz", "Café".encode("latin-1")))
    assert len(read(path)) == 2


def test_names_that_look_like_protocols_are_files(tmp_path, film, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    Path("concat:a|b.mp4").write_bytes(film.read_bytes())
    assert len(read(Path("concat:a|b.mp4"))) == 12
    with pytest.raises(UnsupportedFilmError, match="must be a file"):
        read(Path("http://localhost/film.mp4"))


def test_unknown_sound_is_refused(tmp_path):
    path = write_film(tmp_path / "a.avi", FRAMES[:2], codec="mpeg4", sound="pcm_s16le")
    data = bytearray(path.read_bytes())
    form = data.index(b"strf", data.index(b"auds")) + 8
    data[form : form + 2] = b"\x99\x99"
    path.write_bytes(data)
    with pytest.raises(UnsupportedFilmError, match="unknown codec, which cannot be copied"):
        read(path)


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        from tests.model_core.films.studio import add_tone

        add_tone(out, stream, 0.5)
    with pytest.raises(UnsupportedFilmError, match="sound only"):
        read(tmp_path / "a.mp4")


def boxes(data):
    """Return the place and size of an MP4's boxes by name."""
    found, place = {}, 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        found[data[place + 4 : place + 8].decode()] = (place, size)
        place += size
    return found


def test_a_film_that_ends_early_says_how_far_it_can_be_read(tmp_path):
    fast = tmp_path / "fast.mp4"
    with (
        av.open(str(write_film(tmp_path / "a.mp4", FRAMES))) as source,
        av.open(str(fast), "w", options={"movflags": "faststart"}) as out,  # the index first
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = fast.read_bytes()
    place, size = boxes(data)["mdat"]
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: place + size * 2 // 3])
    with pytest.raises(BrokenFilmError, match=r"after [1-9]\d* frames .* that can be read"):
        read(cut)
    cut.write_bytes(data[: place // 2])
    with pytest.raises(UnsupportedFilmError, match=r"index is (missing|damaged)"):
        read(cut)


def test_a_matroska_that_ends_early_is_damaged(tmp_path):
    frames = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(60)]
    data = write_film(tmp_path / "a.mkv", frames).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 3])
    with pytest.raises(BrokenFilmError, match="frames"):
        read(tmp_path / "cut.mkv")


def test_damage_in_the_middle_says_how_far_the_film_can_be_read(tmp_path):
    noise = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(12)]
    data = bytearray(write_film(tmp_path / "a.mp4", noise).read_bytes())
    place, size = boxes(data)["mdat"]
    middle = place + size // 2
    data[middle : middle + size // 8] = bytes(size // 8)
    (tmp_path / "b.mp4").write_bytes(data)
    with pytest.raises(BrokenFilmError, match=r"after [1-9] frames .* that can be read"):
        read(tmp_path / "b.mp4")


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        (FilmLimits(max_px=64 * 63), "at most 4032 pixels, got 64x64"),
        (FilmLimits(max_frames=11), "at most 11 frames"),
        (FilmLimits(max_seconds=0.3), "at most 0.3 seconds"),
        (FilmLimits(max_streams=1), "at most 1 streams, got 2"),
        (FilmLimits(max_sounds=0), "at most 0 sounds, got 1"),
    ],
)
def test_limits_are_kept(film, limits, rule):
    with pytest.raises(FilmTooLargeError, match=rule):
        read(film, limits)


def test_a_film_that_hides_its_length_is_stopped_at_the_limit(tmp_path):
    path = write_film(tmp_path / "a.ts", FRAMES)
    with open_film(path, FilmLimits(max_frames=5)) as opened:
        assert opened.frames_expected is None
        frames = opened.frames()
        assert len(list(itertools.islice(frames, 5))) == 5
        with pytest.raises(FilmTooLargeError, match="at most 5 frames"):
            next(frames)


LONG = [np.roll(face_frame(0.5 * i, 0.3 * i, 64), 2 * i, axis=1) for i in range(60)]
X264 = {"preset": "fast", "crf": "20"}


def x264(**settings):
    """Key frames every 20 frames, and others whose order of decoding is another."""
    given = {"keyint": 20, "min-keyint": 20, "bframes": 3, "scenecut": 0, "b-adapt": 0} | settings
    return X264 | {"x264-params": ":".join(f"{name}={value}" for name, value in given.items())}


def read_from(path, first, known=None, limits=LIMITS):
    """Return the frames from one on, and how many were decoded before it."""
    skipped = []
    known = [frame.pts for frame in read(path)] if known is None else known
    with open_film(path, limits) as film:
        frames = list(film.frames(first, known, lambda: skipped.append(1)))
    return frames, len(skipped)


def assert_same_frames(frames, others):
    assert [(a.index, a.pts, a.duration) for a in frames] == [
        (b.index, b.pts, b.duration) for b in others
    ]
    for a, b in zip(frames, others, strict=True):
        assert np.array_equal(a.pixels(), b.pixels())


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", x264()),
        ("a.mkv", "libx264", x264()),
        ("open.mp4", "libx264", x264(**{"open-gop": 1})),
        ("open.mkv", "libx264", x264(**{"open-gop": 1})),
        ("a.mov", "mpeg4", {"g": "20", "bf": "2", "sc_threshold": "1000000000"}),
        ("a.webm", "libvpx-vp9", {"g": "20", "deadline": "realtime"}),
    ],
)
def test_frames_from_the_middle_are_those_from_the_start(tmp_path, name, codec, options):
    path = write_film(tmp_path / name, LONG, codec=codec, options=options, rotation=90)
    whole = read(path)
    assert [frame.index for frame in whole] == list(range(60))
    for first in (1, 19, 20, 21, 22, 45, 59, 60):
        frames, skipped = read_from(path, first)
        assert_same_frames(frames, whole[first:])
        assert skipped <= 22  # those since the last key frame but for a few
    known = [frame.pts for frame in whole[:30]]  # as of a first reading that was stopped
    frames, skipped = read_from(path, 30, known)
    assert_same_frames(frames, whole[30:])
    assert skipped <= 13


@pytest.mark.parametrize(
    ("name", "codec", "options", "pts"),
    [
        ("refresh.mp4", "libx264", x264(**{"intra-refresh": 1}), None),  # no whole key frames
        ("a.ts", "libx264", x264(), None),
        ("a.avi", "mpeg4", {"g": "20", "bf": "2"}, None),
        ("close.mp4", "libx264", x264(), [512 * i for i in range(59)] + [58 * 512 + 1]),
    ],
)
def test_films_that_cannot_be_entered_exactly_are_read_from_the_start(
    tmp_path, name, codec, options, pts
):
    path = write_film(tmp_path / name, LONG, codec=codec, options=options, pts=pts)
    frames, skipped = read_from(path, 50)
    assert_same_frames(frames, read(path)[50:])
    assert skipped == 50


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", x264()), ("mpeg4", {"g": "20", "bf": "2"})]
)
def test_key_frames_that_are_none_are_not_trusted(tmp_path, codec, options):
    path = write_film(tmp_path / "a.mp4", LONG, codec=codec, options=options)
    whole, data = read(path), path.read_bytes()
    assert b"stss" in data  # without this list every frame counts as a key frame
    path.write_bytes(data.replace(b"stss", b"free"))
    frames, skipped = read_from(path, 50)
    assert_same_frames(frames, whole[50:])
    assert skipped == 50


def test_what_contradicts_an_earlier_reading_is_read_from_the_start(tmp_path):
    path = write_film(tmp_path / "a.mp4", LONG, options=x264())
    whole = read(path)
    known = [frame.pts for frame in whole]
    for wrong in (
        [pts + 3 for pts in known],
        [*known[:45], *(pts + 3 for pts in known[45:])],
        [*known[:52], *(pts + 3 for pts in known[52:])],  # found out after the first frame
        [*known, known[-1] + 512],
        known[1:],
    ):
        frames, skipped = read_from(path, 50, wrong)
        assert_same_frames(frames, whole[50:])
        assert skipped >= 50


def test_a_film_that_ends_early_says_the_same_from_the_middle(tmp_path):
    path = write_film(
        tmp_path / "a.mp4", LONG, options=x264(), container_options={"movflags": "faststart"}
    )
    known = [frame.pts for frame in read(path)][:31]
    with av.open(str(path)) as film:
        end = film.streams.video[0].index_entries[50].pos
    path.write_bytes(path.read_bytes()[:end])  # between two frames
    for first in (0, 30):
        with pytest.raises(BrokenFilmError, match="it ends early after 50 frames"):
            read_from(path, first, known)


def test_a_film_damaged_further_on_says_the_same_from_the_middle(tmp_path):
    noise = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(40)]
    path = write_film(tmp_path / "a.mp4", noise, options=x264(keyint=10, **{"min-keyint": 10}))
    known = [frame.pts for frame in read(path)]
    data = bytearray(path.read_bytes())
    place, size = boxes(data)["mdat"]
    start, stop = place + size * 3 // 4, place + size * 7 // 8
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    said = []
    for first in (0, 15, 25):
        with pytest.raises(BrokenFilmError) as caught:
            read_from(path, first, known[:26])
        said.append(str(caught.value))
    assert len(set(said)) == 1
    with pytest.raises(FilmTooLargeError, match="at most 20 frames"):
        read_from(path, 15, known[:16], FilmLimits(max_frames=20))
