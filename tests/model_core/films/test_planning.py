import numpy as np
import pytest

from model_core.films.planning import FADE_S, NO_RUN, make_plan
from model_core.films.smoothing import CROPS, MOST_FRAMES, NONE
from model_core.films.tracking import Track

RATE = 25


def track(first, last, x=0.0, without=()):
    indices = [i for i in range(first, last + 1) if i not in without]
    square = np.array([[0.0, 0], [0, 10], [10, 10], [10, 0]])
    quads = [square + np.array([x + i, 0]) for i in indices]
    return Track((0.0, 0.0, 10.0, 10.0), indices, quads, area=float(len(indices)))


def plan(count, *tracks, cuts=(), smoother=NONE):
    is_cut = np.isin(np.arange(count), cuts)
    return make_plan(tracks, np.arange(count) / RATE, is_cut, smoother)


def test_frames_without_the_face_are_left_alone():
    made = plan(40, track(10, 29))
    assert made.edited.tolist() == list(range(10, 30))
    assert (made.run[:10] == NO_RUN).all()
    assert (made.strength[:10] == 0).all()


def test_the_edit_fades_where_the_face_appears_and_vanishes():
    strength = plan(40, track(10, 29)).strength
    frames = round(FADE_S * RATE)
    rise = strength[10 : 10 + frames]
    assert rise == pytest.approx(np.arange(1, frames + 1) / frames, abs=1e-6)
    assert strength[29 - frames + 1 : 30] == pytest.approx(rise[::-1], abs=1e-6)
    assert (strength[10 + frames : 29 - frames] == 1).all()


def test_it_does_not_at_cuts_nor_at_the_ends_of_the_film():
    assert (plan(30, track(0, 29)).strength == 1).all()
    assert (plan(40, track(10, 29), cuts=(10, 30)).strength[10:30] == 1).all()
    assert (plan(30, track(0, 14), track(15, 29)).strength == 1).all()


def test_gaps_within_a_track_are_edited_too():
    made = plan(30, track(0, 29, without=(10, 11, 12)), smoother=CROPS)
    assert made.edited.tolist() == list(range(30))
    assert made.quads[11] == pytest.approx(made.quads[10] + (1, 0), abs=1e-6)


def test_nothing_is_smoothed_across_a_jump():
    far = plan(40, track(0, 19), track(20, 39, x=100), smoother=CROPS)
    near = plan(40, track(0, 19), smoother=CROPS)
    assert far.quads[:20] == pytest.approx(near.quads[:20])
    assert far.around(18) == slice(18 - MOST_FRAMES, 20)
    assert far.around(21) == slice(20, 21 + MOST_FRAMES + 1)
    assert far.around(0) == slice(0, MOST_FRAMES + 1)


def test_of_two_sights_at_once_the_larger_is_edited():
    made = plan(30, track(5, 12, x=500), track(0, 29))
    assert len(set(made.run.tolist())) == 1
    assert made.quads[6, 0].tolist() == [6, 0]
