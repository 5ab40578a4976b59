"""What Redis keeps of a job: written and read back, and refused where it is something else."""

import numpy as np
import pytest
import torch

from model_core.errors import CheckpointError
from service.jobs.blobs import JobInput, Outcome
from service.jobs.worker.checkpoint import TENSORS, Checkpoint
from tests.model_core.tiny import tiny_refiner
from tests.service.jobs.conftest import submission

GIVEN = submission().input


@pytest.fixture(scope="module")
def checkpoint():
    refiner = tiny_refiner()
    state = refiner.run(refiner.start(GIVEN.ws), GIVEN.target, 3)
    curve = np.arange(12, dtype=np.float32).reshape(3, 4)
    return Checkpoint(state, curve, 12.5)


def test_a_checkpoint_comes_back_whole(checkpoint):
    back = Checkpoint.unpack(checkpoint.pack(), "cpu")
    assert (back.state.step, back.ran_s) == (3, 12.5)
    assert np.array_equal(back.curve, checkpoint.curve)
    for name in TENSORS:
        assert torch.equal(getattr(back.state, name), getattr(checkpoint.state, name)), name


def test_what_was_reached_can_be_read_off_a_checkpoint(checkpoint):
    whole = Outcome(checkpoint.state.best_ws[0], checkpoint.curve)
    for data in (checkpoint.pack(), whole.pack()):
        found = Outcome.unpack(data)
        assert torch.equal(found.ws, whole.ws)
        assert np.array_equal(found.curve, whole.curve)


def test_an_input_comes_back_whole():
    back = JobInput.unpack(GIVEN.pack())
    assert np.array_equal(back.target, GIVEN.target)
    assert torch.equal(back.ws, GIVEN.ws)


@pytest.mark.parametrize("kind", [JobInput, Outcome, lambda: None])
def test_other_bytes_are_refused(kind, checkpoint):
    unpack = getattr(kind, "unpack", lambda data: Checkpoint.unpack(data, "cpu"))
    with pytest.raises(CheckpointError, match="safetensors"):
        unpack(b"nonsense")
    with pytest.raises(CheckpointError, match="must hold"):
        unpack(GIVEN.pack() if kind is not JobInput else checkpoint.pack())
