import dataclasses

import pytest
import torch

from model_core.training.config import TrainConfig
from model_core.training.loop import Pretraining, rate_share

CONFIG = TrainConfig(
    steps=4,
    batch=4,
    warmup_steps=2,
    replay=1.0,
    window=64,
    validate_every=100,
    checkpoint_every=2,
    validation_pairs=8,
    compile=False,
)


@pytest.fixture
def make(generator, network, lpips):
    """Build a run in a folder, always from the same start."""
    start = {key: value.clone() for key, value in network.state_dict().items()}

    def build(folder, **changes):
        network.load_state_dict(start)
        gradients = torch.randn(8, generator.num_ws, generator.w_dim)
        config = dataclasses.replace(CONFIG, **changes)
        return Pretraining(
            config, folder, generator, network, lpips, None, gradients, torch.device("cpu")
        )

    torch.manual_seed(3)
    return build


def interrupt_after(training, last):
    """Make a run stop as by Ctrl-C when it has done a number of steps."""
    step = training.step

    def interrupted(index):
        if index == last:
            raise KeyboardInterrupt
        return step(index)

    training.step = interrupted


def weights(training):
    return {k: v.clone() for k, v in training.network.state_dict().items()}


def test_the_rate_warms_up_stays_and_falls_to_zero():
    config = dataclasses.replace(CONFIG, steps=100, warmup_steps=10, decay_share=0.2)
    shares = [rate_share(config, step) for step in range(101)]
    assert shares[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert shares[10:81] == [1.0] * 71
    assert shares[80:] == pytest.approx([1 - 0.05 * i for i in range(21)])


def test_no_warm_up_and_no_decay_leave_the_rate_as_it_is():
    config = dataclasses.replace(CONFIG, steps=10, warmup_steps=0, decay_share=0.0)
    assert [rate_share(config, step) for step in range(10)] == [1.0] * 10


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(make, tmp_path):
    torch.manual_seed(3)
    whole = make(tmp_path / "whole")
    whole.run(report=str)
    expected, averaged = weights(whole), whole.averaged.state_dict()

    torch.manual_seed(3)
    first = make(tmp_path / "parts")
    interrupt_after(first, 3)  # one step after the checkpoint at 2: that step is done again
    with pytest.raises(KeyboardInterrupt):
        first.run(report=str)
    torch.manual_seed(3)
    second = make(tmp_path / "parts")
    second.run(report=str)

    for key, value in weights(second).items():
        assert torch.equal(value, expected[key]), key
    for key, value in second.averaged.state_dict().items():
        assert torch.equal(value, averaged[key]), key
    assert (tmp_path / "parts" / "sheets" / "00000004.jpg").stat().st_size > 0
