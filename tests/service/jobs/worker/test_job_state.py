"""What Redis keeps of a job: written and read back, and refused where it is something else."""

import numpy as np
import pytest
import safetensors.torch
import torch

from model_core.errors import CheckpointError
from service.jobs.payloads import JobInput, Outcome
from service.jobs.worker.job_state import SEARCH, TENSORS, JobState
from tests.model_core.tiny import DETAIL_FINGERPRINT, black_head, tiny_refiner
from tests.service.jobs.conftest import submission

GIVEN = submission().input


@pytest.fixture(scope="module")
def saved():
    refiner = tiny_refiner()
    state = refiner.start(GIVEN.ws)
    refiner.run(state, GIVEN.target, 3)
    curve = np.arange(12, dtype=np.float32).reshape(3, 4)
    return JobState(state, curve, 12.5)


def test_a_checkpoint_round_trips(saved):
    back = JobState.unpack(saved.pack(), "cpu", None)
    assert (back.state.step, back.ran_s) == (3, 12.5)
    assert np.array_equal(back.curve, saved.curve)
    for name in TENSORS:
        assert torch.equal(getattr(back.state.codes, name), getattr(saved.state.codes, name)), name


def packed_and_back(state):
    data = JobState(
        state, np.zeros((0, 4), np.float32), 0.0, detail_fingerprint=DETAIL_FINGERPRINT
    ).pack()
    return JobState.unpack(data, "cpu", DETAIL_FINGERPRINT).state


def assert_equal(found, whole):
    assert found.step == whole.step
    for name in TENSORS:
        assert torch.equal(getattr(found, name), getattr(whole, name)), name


def test_a_run_resumes_bit_identically():
    refiner = tiny_refiner(head=black_head())
    whole, part = refiner.start(GIVEN.ws), refiner.start(GIVEN.ws)
    refiner.run(whole, GIVEN.target, 6)
    for stop in (2, 4):  # steps of the head first, then of true output
        refiner.run(part, GIVEN.target, 6 - part.step, lambda report, stop=stop: report.step < stop)
        part = packed_and_back(part)
    refiner.run(part, GIVEN.target, 6 - part.step)
    assert_equal(part.codes, whole.codes)


@pytest.mark.parametrize("head", [None, black_head()])
def test_a_run_with_detail_goes_on_from_a_checkpoint_bit_equal(head):
    steps, refiner = 40, tiny_refiner(head=head, detail=True)
    whole, part = refiner.start(GIVEN.ws), refiner.start(GIVEN.ws)
    refiner.run(whole, GIVEN.target, steps, detail=True)
    # On the code; after its last step; at the detail's first one; where the head is compared with
    # true output, and between.
    for calls in (7, 14, 1, 10, 6):
        left = iter(range(calls))
        refiner.run(
            part,
            GIVEN.target,
            steps - part.step,
            lambda _, left=left: next(left, None) is not None,
            detail=True,
        )
        part = packed_and_back(part)
    assert 0 < part.detail.search.step < steps - 20
    refiner.run(part, GIVEN.target, steps - part.step, detail=True)
    assert_equal(part.codes, whole.codes)
    assert_equal(part.detail.search, whole.detail.search)
    assert torch.equal(
        refiner.detail_of(part, GIVEN.target), refiner.detail_of(whole, GIVEN.target)
    )


def test_a_preview_of_a_checkpoint_has_the_detail(saved):
    detail = torch.randn(2, 4, 4).half()
    data = JobState(saved.state, saved.curve, 0.0, detail, "d" * 64).pack()
    found = Outcome.unpack(data)
    assert torch.equal(found.detail, detail)
    assert found.detail_fingerprint == "d" * 64
    assert JobState.unpack(data, "cpu", "d" * 64).state.detail is None


@pytest.fixture(scope="module")
def searching():
    """A run's state in the search of a detail, as its worker saves it."""
    refiner = tiny_refiner(detail=True)
    state = refiner.start(GIVEN.ws)
    refiner.run(state, GIVEN.target, 10, detail=True)
    assert (state.codes.step, state.step) == (5, 10)
    detail = refiner.detail_of(state, GIVEN.target)
    curve = np.zeros((11, 4), np.float32)
    return JobState(state, curve, 1.0, detail, refiner.detail_fingerprint)


@pytest.mark.parametrize("known", ["e" * 64, None])
def test_the_search_of_a_detail_of_other_weights_is_left_out(searching, known):
    found = JobState.unpack(searching.pack(), "cpu", known).state
    assert (found.detail, found.step) == (None, 5)
    assert_equal(found.codes, searching.state.codes)
    assert JobState.unpack(searching.pack(), "cpu", DETAIL_FINGERPRINT).state.step == 10


@pytest.mark.parametrize("missing", ["unit", "error", "best_ws", "step"])
def test_a_search_that_is_incomplete_is_refused(searching, missing):
    data = searching.pack()
    tensors = safetensors.torch.load(data)
    del tensors[SEARCH + missing]
    cut = safetensors.torch.save(tensors, {"detail_fingerprint": DETAIL_FINGERPRINT})
    with pytest.raises(CheckpointError, match=f"got no {missing}"):
        JobState.unpack(cut, "cpu", DETAIL_FINGERPRINT)


def test_a_checkpoint_contains_the_progress(saved):
    whole = Outcome(saved.state.codes.best_ws[0], saved.curve)
    for data in (saved.pack(), whole.pack()):
        found = Outcome.unpack(data)
        assert torch.equal(found.ws, whole.ws)
        assert np.array_equal(found.curve, whole.curve)


def test_a_detail_round_trips_with_its_weights(saved):
    detail = torch.randn(2, 4, 4).half()
    whole = Outcome(saved.state.codes.best_ws[0], saved.curve, detail, "d" * 64)
    found = Outcome.unpack(whole.pack())
    assert torch.equal(found.detail, detail)
    assert found.detail_fingerprint == "d" * 64
    assert Outcome.unpack(saved.pack()).detail is None


def test_an_input_round_trips():
    back = JobInput.unpack(GIVEN.pack())
    assert np.array_equal(back.target, GIVEN.target)
    assert torch.equal(back.ws, GIVEN.ws)


@pytest.mark.parametrize("kind", [JobInput, Outcome, lambda: None])
def test_other_bytes_are_refused(kind, saved):
    unpack = getattr(kind, "unpack", lambda data: JobState.unpack(data, "cpu", None))
    with pytest.raises(CheckpointError, match="safetensors"):
        unpack(b"nonsense")
    with pytest.raises(CheckpointError, match="must hold"):
        unpack(GIVEN.pack() if kind is not JobInput else saved.pack())
