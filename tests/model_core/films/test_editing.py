"""Whole films through stand-ins for the networks and the real detector, and one through all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_core.alignment.ffhq import FaceAligner
from model_core.errors import InvalidInputError, NoFaceError, Stopped
from model_core.films import seeing, segments
from model_core.films.editing import FilmEditor, edit_film
from model_core.films.limits import FilmLimits
from model_core.films.work import remove_work
from model_core.weights.cache import LANDMARKS, SECOND_GLANCE, weight_path
from tests.model_core.films.studio import (
    StandInPredictor,
    brighter,
    empty_frame,
    face_frame,
    hidden_frame,
    moving,
    read_frames,
    read_packets,
    unlike,
    write_film,
)

UNEVEN = [512 * i + (i % 3) * 100 for i in range(14)]
FACE = (slice(20, 110), slice(30, 120))


@pytest.fixture(scope="module")
def aligner(cache):
    return FaceAligner(weight_path(cache, LANDMARKS), weight_path(cache, SECOND_GLANCE))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Ten frames of a face and four without, at uneven times, with sound."""
    frames = moving(10) + [hidden_frame(0.8 * i, 0.4 * i) for i in range(10, 14)]
    target = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(target, frames, pts=UNEVEN, sound="aac")


@pytest.fixture
def short_parts(monkeypatch):
    """Several parts in a film of a few frames."""
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 5)
    monkeypatch.setattr("model_core.films.editing.SEGMENT_FRAMES", 5)
    monkeypatch.setattr(seeing, "PART_FRAMES", 4)


def editor(aligner, **settings):
    predictor = settings.pop("predictor", None) or StandInPredictor()
    chosen = {"directions": {"light": 1.0}, "blend": "transfer", "library": brighter()} | settings
    return FilmEditor(predictor, aligner, **chosen)


def edit(film, target, editor, work=None, progress=lambda _: None, should_stop=lambda: False):
    work = work or target.with_suffix(".work")
    return edit_film(film, target, editor, work=work, progress=progress, should_stop=should_stop)


def assert_same_film(a, b):
    """Compare what is shown and heard: of the same frames x264 now and then makes other bytes."""
    assert read_packets(a, "audio") == read_packets(b, "audio")
    (times, frames), (other_times, others) = read_frames(a), read_frames(b)
    assert times == other_times
    for frame, other in zip(frames, others, strict=True):
        assert unlike(frame, other) < 1.5  # the edit is 20 and more


def test_the_face_is_edited_and_all_else_stays(film, tmp_path, aligner, short_parts):
    told = []
    out = tmp_path / "out.mp4"
    report = edit(film, out, editor(aligner), progress=told.append)
    assert (report.frames, report.frames_with_face, report.sound) == (14, 10, True)
    assert (report.width_px, report.height_px) == (160, 160)
    assert report.seconds == pytest.approx(0.56, abs=0.03)
    before, after = read_frames(film), read_frames(out)
    assert after[0] == before[0]
    assert read_packets(out, "audio") == read_packets(film, "audio")
    for i in range(5):
        brightened = after[1][i][FACE].astype(int) - before[1][i][FACE]
        assert 20 < brightened.mean() < 51
        assert unlike(after[1][i][150:], before[1][i][150:]) < 4  # below the face
    for i in range(10, 14):
        assert unlike(after[1][i], before[1][i]) < 4
    # It fades out before the face vanishes.
    means = [after[1][i][FACE].mean() - before[1][i][FACE].mean() for i in range(10)]
    assert means[9] < means[8] < means[7] < means[4]
    assert report.flicker == pytest.approx(1, abs=0.3)
    phases = [each.phase for each in told]
    assert phases == ["read"] * 14 + ["edit"] * 14 + ["join"] * 14
    assert [each.done for each in told] == list(range(1, 15)) * 3
    assert {each.total for each in told} == {14}


def test_a_turned_film_with_odd_sides_is_edited(tmp_path, aligner):
    frames = [np.rot90(face_frame(i), 3)[:, :150] for i in range(3)]
    source = write_film(
        tmp_path / "in.mkv", [each[:-1, :-1] for each in frames], codec="ffv1", pix_fmt="yuv444p"
    )
    sideways = write_film(tmp_path / "in.mp4", frames, rotation=90)
    report = edit(sideways, tmp_path / "out.mp4", editor(aligner))
    assert (report.width_px, report.height_px, report.frames_with_face) == (160, 150, 3)
    edited = read_frames(tmp_path / "out.mp4")[1][1]
    shift = edited.astype(int) - face_frame(1)[:150]
    assert shift[FACE].mean() > 20
    with pytest.raises(NoFaceError):  # the same without the rotation: lying faces are not sought
        edit(
            write_film(tmp_path / "no.mp4", [empty_frame()] * 2),
            tmp_path / "no2.mp4",
            editor(aligner),
        )
    odd = edit(source, tmp_path / "odd.mp4", editor(aligner))
    assert (odd.width_px, odd.height_px) == (150, 160)


def test_batches_give_the_same_film(film, tmp_path, aligner):
    for name, batched in (("one.mp4", False), ("many.mp4", True)):
        edit(film, tmp_path / name, editor(aligner, predictor=StandInPredictor(batched)))
    assert_same_film(tmp_path / "one.mp4", tmp_path / "many.mp4")


def test_a_stopped_run_continues_to_the_same_film(film, tmp_path, aligner, short_parts):
    edit(film, tmp_path / "whole.mp4", editor(aligner))
    work, asked = tmp_path / "work", []

    def should_stop():
        asked.append(1)
        return len(asked) % 29 == 0

    stops = 0
    for _ in range(8):
        try:
            edit(film, tmp_path / "out.mp4", editor(aligner), work, should_stop=should_stop)
            break
        except Stopped:
            stops += 1
            assert not (tmp_path / "out.mp4").exists()
            # As a killed process leaves it.
            (work / ".segment-00000.nut.x.partial").write_bytes(b"half")
    assert stops >= 2
    assert_same_film(tmp_path / "out.mp4", tmp_path / "whole.mp4")
    assert not list(work.glob(".*.partial"))


def test_reading_what_is_known_again_is_no_progress(film, tmp_path, aligner, short_parts):
    def stop_at(phase, done):
        told = []

        def tell(now):
            told.append((now.phase, now.done))

        with pytest.raises(Stopped):
            edit(
                film,
                tmp_path / "out.mp4",
                editor(aligner),
                progress=tell,
                should_stop=lambda: (phase, done) in told,
            )
        return told

    assert stop_at("read", 9)[0] == ("read", 1)
    assert stop_at("read", 10) == [("read", 9), ("read", 10)]


def test_a_continued_run_decodes_from_a_key_frame_only(tmp_path, aligner, short_parts):
    options = {"x264-params": "keyint=6:min-keyint=6:scenecut=0:bframes=2"}
    source = write_film(tmp_path / "in.mp4", moving(30), options=options)
    begun = []

    def run(phase, done):
        """Run until a frame is done; return the number of frames decoded before the first."""
        told, asked = [], []

        def should_stop():
            asked.append(len(told))
            return bool(told) and (told[-1].phase, told[-1].done) == (phase, done)

        out, work = tmp_path / "out.mp4", tmp_path / "work"
        with pytest.raises(Stopped):
            edit(source, out, editor(aligner), work, told.append, should_stop)
        begun.append((told[0].phase, told[0].done))
        return asked.count(0)

    run("read", 23)
    assert run("read", 28) == 2  # frames 18 and 19; 20 are known
    run("edit", 28)
    # 12 frames of 25 are left out: the rest smooths the first, after one that is read ahead.
    assert run("edit", 29) < 20
    assert begun == [("read", 1), ("read", 21), ("read", 29), ("edit", 26)]


SCRIPT = """
import sys
from pathlib import Path
from model_core.alignment.ffhq import FaceAligner
from model_core.films import editing, seeing, segments
from tests.model_core.films.studio import StandInPredictor, brighter
segments.SEGMENT_FRAMES = editing.SEGMENT_FRAMES = 3
seeing.PART_FRAMES = 4
film, target, work, landmarks = map(Path, sys.argv[1:])
editor = editing.FilmEditor(StandInPredictor(), FaceAligner(landmarks), {"light": 1.0},
    blend="transfer", library=brighter())
editing.edit_film(film, target, editor, work=work,
    progress=lambda now: print(now.phase, now.done, flush=True), should_stop=lambda: False)
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_run_continues_to_the_same_film(film, tmp_path, cache):
    landmarks = weight_path(cache, LANDMARKS)
    whole = start(film, tmp_path / "whole.mp4", tmp_path / "whole", landmarks)
    with start(film, tmp_path / "out.mp4", tmp_path / "work", landmarks) as killed:
        for line in killed.stdout:
            if line.strip() == "edit 8":
                os.kill(killed.pid, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    finished = {
        each.name: each.stat().st_mtime_ns for each in (tmp_path / "work").glob("segment-*.nut")
    }
    assert set(finished) == {"segment-00000.nut", "segment-00001.nut"}
    again = start(film, tmp_path / "out.mp4", tmp_path / "work", landmarks)
    told, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert "read" not in told  # that was finished
    assert told.index("edit 7") < told.index("join 1")
    whole.communicate(timeout=60)
    assert_same_film(tmp_path / "out.mp4", tmp_path / "whole.mp4")
    for name, written in finished.items():
        assert (tmp_path / "work" / name).stat().st_mtime_ns == written


def test_a_work_folder_belongs_to_one_film_and_one_edit(film, tmp_path, aligner):
    work = tmp_path / "work"
    edit(film, tmp_path / "out.mp4", editor(aligner), work)
    with pytest.raises(InvalidInputError, match="other settings"):
        edit(film, tmp_path / "b.mp4", editor(aligner, directions={"light": 0.5}), work)
    other = write_film(tmp_path / "other.mp4", moving(2))
    with pytest.raises(InvalidInputError, match="another film"):
        edit(other, tmp_path / "b.mp4", editor(aligner), work)


def test_a_folder_with_other_files_is_no_work_folder(film, tmp_path, aligner):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidInputError, match="must be new or empty"):
        edit(film, tmp_path / "out.mp4", editor(aligner), tmp_path)


def test_removing_a_work_folder_leaves_what_is_not_ours(film, tmp_path, aligner):
    edit(film, tmp_path / "out.mp4", editor(aligner), tmp_path / "work")
    (tmp_path / "work" / "thesis.tex").write_text("mine")
    remove_work(tmp_path / "work")
    assert [each.name for each in (tmp_path / "work").iterdir()] == ["thesis.tex"]
    (tmp_path / "work" / "thesis.tex").unlink()
    edit(film, tmp_path / "out.mp4", editor(aligner), tmp_path / "work")
    remove_work(tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_what_cannot_be_done_is_refused_before_anything_is_read(film, tmp_path, aligner):
    out = tmp_path / "out.mp4"
    for settings, rule in (
        ({"directions": {"dark": 1.0}}, "direction must be one of light, got dark"),
        ({"directions": {"light": 99.0}}, "light must be from -10 to 10"),
        ({"directions": {}}, "at least once"),
        ({"blend": "melt"}, "blend"),
    ):
        with pytest.raises(Exception, match=rule):
            edit(film, out, editor(aligner, **settings))
    with pytest.raises(InvalidInputError, match=r"OUT must end in one of \.mp4"):
        edit(film, tmp_path / "out.gif", editor(aligner))
    opus = write_film(tmp_path / "in.mkv", moving(2), sound="libopus")
    pcm = write_film(tmp_path / "in.mov", moving(2), sound="pcm_s16le")
    with pytest.raises(InvalidInputError, match=r"\.mkv for a film whose sound is pcm_s16le"):
        edit(pcm, out, editor(aligner))
    assert not out.with_suffix(".work").exists()
    assert edit(opus, tmp_path / "opus.mp4", editor(aligner)).sound
    assert edit(pcm, tmp_path / "out.mov", editor(aligner)).sound
    assert read_packets(tmp_path / "out.mov", "audio") == read_packets(pcm, "audio")


def test_a_person_who_is_not_there_cannot_be_edited(film, tmp_path, aligner):
    with pytest.raises(InvalidInputError, match="face must be 0, as 1 person was found, got 1"):
        edit(film, tmp_path / "out.mp4", editor(aligner, face=1))
    limits = FilmLimits(max_frames=3)
    with pytest.raises(Exception, match="at most 3 frames"):
        edit(film, tmp_path / "out.mp4", editor(aligner, limits=limits))


def test_of_two_persons_the_chosen_one_is_edited(tmp_path, aligner):
    green = [each * np.array([0.4, 1.0, 0.5]) for each in moving(3)]
    frames = [
        np.hstack([left, np.uint8(right)]) for left, right in zip(moving(3), green, strict=True)
    ]
    source = write_film(tmp_path / "in.mp4", frames)
    sides = {0: set(), 1: set()}
    for face in (0, 1):
        out = tmp_path / f"{face}.mp4"
        assert edit(source, out, editor(aligner, face=face)).frames_with_face == 3
        change = read_frames(out)[1][1].astype(int) - read_frames(source)[1][1]
        sides[face] = change[FACE].mean() > 15, change[:, 160:][FACE].mean() > 15
    assert sorted(sides.values()) == [(False, True), (True, False)]


def test_real_networks_edit_without_flicker(tmp_path, aligner, predictor):
    source = write_film(tmp_path / "in.mp4", moving(4))
    report = edit(
        source,
        tmp_path / "out.mp4",
        FilmEditor(predictor, aligner, {"smile": -2.0}, blend="transfer"),
    )
    assert report.frames_with_face == 4
    assert report.flicker < 1.3
    before, after = read_frames(source)[1], read_frames(tmp_path / "out.mp4")[1]
    mouth = (slice(75, 105), slice(50, 100))
    for i in range(4):
        assert unlike(before[i][mouth], after[i][mouth]) > 4
        assert unlike(before[i][:, :10], after[i][:, :10]) < 4
