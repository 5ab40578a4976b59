import numpy as np

from model_core.films.cuts import find_jumps


def test_a_change_that_stands_out_is_a_jump():
    changes = np.array([0.0, 1, 2, 1, 30, 1, 2, 1])
    assert np.nonzero(find_jumps(changes, 10.0))[0].tolist() == [4]


def test_fast_motion_is_none():
    assert not find_jumps(np.array([0.0, 20, 25, 22, 30, 24, 21]), 10.0).any()


def test_small_changes_are_none():
    assert not find_jumps(np.array([0.0, 0, 0, 5, 0, 0]), 10.0).any()


def test_two_frames_can_be_cut():
    assert find_jumps(np.array([0.0, 40]), 10.0).tolist() == [False, True]
