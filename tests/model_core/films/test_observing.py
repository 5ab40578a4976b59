"""Who is looked for, and how, in which frame."""

import numpy as np
import pytest

from model_core.alignment.ffhq import DetectedFace, FaceAligner
from model_core.films.observations import read_seen, write_seen
from model_core.films.observing import LOOK_EVERY, Observer, SeenFrame, overlap
from tests.model_core.films.studio import StandInPredictor, empty_frame


def face(x=80.0, width=60.0):
    points = np.random.default_rng(0).uniform(-20, 20, (68, 2))
    points[36:42], points[42:48] = (-12, -8), (12, -8)
    points[48], points[54] = (-10, 15), (10, 15)
    half = width / 2
    return DetectedFace((x - half, 80 - half, x + half, 80 + half), points + (x, 80.0), 1.0)  # noqa: RUF005


class StandInAligner(FaceAligner):
    """Finds and follows what it is told to, and keeps count."""

    def __init__(self, found=(), followed=None, glanced=()):
        self.found, self.followed, self.glanced = list(found), followed, list(glanced)
        self.calls = []

    def find_in(self, grey):
        self.calls.append("find")
        return self.found

    def follow(self, grey, face):
        self.calls.append("follow")
        return self.followed

    def glance(self, grey):
        self.calls.append("glance")
        return self.glanced


def see(aligner, frames, count):
    observer = Observer(StandInPredictor(), aligner)
    seen = [None]
    for i in range(count):
        seen.append(observer.see(i, 10 * i, frames(i), seen[-1]))
    return seen[1:]


def test_faces_are_followed_between_looks():
    aligner = StandInAligner([face()], face(81.0))
    seen = see(aligner, lambda _: empty_frame(), LOOK_EVERY + 1)
    assert aligner.calls == ["find", *["follow"] * LOOK_EVERY, "find"]
    assert [each.faces[0].descriptor is not None for each in seen] == [
        True, *[False] * (LOOK_EVERY - 1), True
    ]  # fmt: skip
    assert [each.pts for each in seen[:2]] == [0, 10]


def test_without_a_face_a_glance_looks_for_one():
    aligner = StandInAligner(glanced=[face()])
    seen = see(aligner, lambda _: empty_frame(), 2)
    assert aligner.calls == ["find", "glance"]
    assert seen[1].faces[0].descriptor is not None


def test_a_face_that_can_only_be_followed_stays():
    aligner = StandInAligner([face()], face(81.0))
    observer = Observer(StandInPredictor(), aligner)
    first = observer.see(0, 0, empty_frame(), None)
    aligner.found = []
    (kept,) = observer.see(LOOK_EVERY, 1, empty_frame(), first).faces
    assert kept.box == face(81.0).box


def test_nobody_is_followed_across_a_cut():
    aligner = StandInAligner([face()], face(81.0))
    dark = np.full((160, 160, 3), 10, np.uint8)
    seen = see(aligner, lambda i: dark if i else empty_frame(), 2)
    assert aligner.calls == ["find", "find"]
    assert seen[1].may_be_cut
    assert not seen[0].may_be_cut


def test_tiny_faces_are_left_out():
    aligner = StandInAligner([face(width=12.0)])
    assert see(aligner, lambda _: empty_frame(), 1)[0].faces == []


def test_what_was_seen_is_read_as_it_was_written(tmp_path):
    aligner = StandInAligner([face(), face(30.0, 40.0)], face(81.0))
    seen = [*see(aligner, lambda _: empty_frame(), 3), SeenFrame(30, 1.5)]
    write_seen(tmp_path / "seen.npz", seen[:3])
    read = read_seen(tmp_path / "seen.npz")
    for a, b in zip(seen, read, strict=False):
        assert (a.pts, a.change, len(a.faces)) == (b.pts, b.change, len(b.faces))
        for mine, yours in zip(a.faces, b.faces, strict=True):
            assert mine.box == yours.box
            assert np.array_equal(mine.landmarks, yours.landmarks)
            assert (mine.descriptor is None) == (yours.descriptor is None)
            assert mine.descriptor is None or np.array_equal(mine.descriptor, yours.descriptor)
    assert np.array_equal(read[-1].thumbnail, seen[2].thumbnail)
    write_seen(tmp_path / "empty.npz", seen[3:])
    assert read_seen(tmp_path / "empty.npz")[0].faces == []


def test_overlap_is_intersection_over_union():
    assert overlap((0.0, 0.0, 2.0, 2.0), (1.0, 0.0, 3.0, 2.0)) == pytest.approx(1 / 3)
    assert overlap((0.0, 0.0, 1.0, 1.0), (2.0, 2.0, 3.0, 3.0)) == 0
