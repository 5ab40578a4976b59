from fractions import Fraction

import av
import numpy as np
import pytest

from model_core.errors import BrokenFilmError
from model_core.films import joining
from model_core.films.colour import Colour
from model_core.films.encoding import Picture, write_segment
from model_core.films.joining import MARK, join
from model_core.films.limits import FilmLimits
from tests.model_core.films.studio import RATE, TICKS, empty_frame, read_packets, write_film

COLOUR = Colour("bt601", full_range=False)


def segment(target, pts, rate=Fraction(RATE), size=(64, 64)):
    picture = Picture(size, TICKS, rate, COLOUR)
    with write_segment(target, picture) as writer:
        for stamp in pts:
            frame = COLOUR.to_yuv(np.full((size[1], size[0], 3), stamp % 200, np.uint8))
            writer.write(frame, stamp, 512)
    return target


def joined(segments, source, target):
    done = []
    return join(segments, source, target, FilmLimits(), done.append), done


def test_segments_follow_each_other_exactly(tmp_path):
    source = write_film(tmp_path / "in.mp4", [empty_frame(64)] * 9, sound="aac")
    times = [[0, 512, 600], [1500, 1501, 3000], [3001]]
    parts = [segment(tmp_path / f"{i}.nut", each) for i, each in enumerate(times)]
    report, done = joined(parts, source, tmp_path / "out.mp4")
    assert report.sound
    assert report.seconds == pytest.approx((3001 + 512) * float(TICKS))
    assert done == list(range(1, 8))
    packets = read_packets(tmp_path / "out.mp4", "video")
    assert [stamp for stamp, _ in packets] == [pts * TICKS for part in times for pts in part]
    assert read_packets(tmp_path / "out.mp4", "audio") == read_packets(source, "audio")
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.metadata["comment"] == MARK


def test_films_that_begin_late_are_moved_to_the_start(tmp_path):
    late = [2 * 12800 + 512 * i for i in range(9)]
    source = write_film(tmp_path / "in.mkv", [empty_frame(64)] * 9, pts=late)
    pictures = read_packets(source, "video")
    assert pictures[0][0] == 2
    part = segment(tmp_path / "0.nut", late)
    joined([part], source, tmp_path / "out.mp4")
    moved = [stamp for stamp, _ in read_packets(tmp_path / "out.mp4", "video")]
    assert moved == [(pts - late[0]) * TICKS for pts in late]


def test_sound_out_of_order_is_told(tmp_path, monkeypatch):
    def shuffled(film, read=joining._sounds):
        packets = list(read(film))
        packets[4:6] = packets[5:3:-1]
        return packets

    monkeypatch.setattr(joining, "_sounds", shuffled)
    source = write_film(tmp_path / "in.mp4", [empty_frame(64)] * 9, sound="aac")
    part = segment(tmp_path / "0.nut", [512 * i for i in range(9)])
    with pytest.raises(BrokenFilmError, match=r"sound cannot be copied after 0\.\d s"):
        joined([part], source, tmp_path / "out.mp4")
    assert {each.name for each in tmp_path.iterdir()} == {"in.mp4", "0.nut"}


def test_segments_of_different_encodings_are_not_joined(tmp_path):
    source = write_film(tmp_path / "in.mp4", [empty_frame(64)] * 9)
    parts = [
        segment(tmp_path / "0.nut", [0]),
        segment(tmp_path / "1.nut", [512], size=(80, 64)),
    ]
    with pytest.raises(BrokenFilmError, match="other settings"):
        joined(parts, source, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
