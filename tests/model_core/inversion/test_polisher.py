import math
from dataclasses import dataclass

import pytest
import torch

from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.inversion.iterator import IteratorState, LatentIterator
from model_core.inversion.polisher import Polisher, Polishing
from model_core.inversion.rendering import SmallImages
from tests.model_core.training.tiny import PixelDistance

CONFIG = MobileStyleGANConfig(w_dim=8, mapping_layers=1, widths=(8, 8, 4, 4))


ZEROS = torch.zeros(1, CONFIG.num_ws, 8)


@pytest.fixture
def images():
    torch.manual_seed(0)
    generator = MobileStyleGAN(CONFIG)
    generator.const.normal_()
    return SmallImages(generator, 32)


@pytest.fixture
def polisher(images):
    return Polisher(images, PixelDistance(), "cpu")


@pytest.fixture
def face(images):
    random = torch.Generator().manual_seed(1)
    return images(torch.randn(1, CONFIG.num_ws, 8, generator=random))


def test_a_budget_improves_the_code(polisher, images, face, monkeypatch):
    monkeypatch.setattr("model_core.inversion.polisher.MAX_STEPS", 10)
    polished = polisher(face, ZEROS, budget_s=600.0)
    assert polished.steps == 10
    losses = LatentIterator(images, PixelDistance()).losses
    assert losses(polished.ws, face) < losses(ZEROS, face)


def test_without_time_the_code_stays(polisher, face):
    polished = polisher(face, ZEROS, budget_s=0.0)
    assert polished.steps == 0
    assert torch.equal(polished.ws, ZEROS)


@dataclass
class Clock:
    now_s: float = 100.0


@pytest.fixture
def clock(images, face, monkeypatch):
    """Time that passes by a second with each rendering, and otherwise stands still."""
    clock = Clock()
    monkeypatch.setattr("model_core.runtime.clock.time.monotonic", lambda: clock.now_s)

    def tick(*_):
        clock.now_s += 1

    images.register_forward_hook(tick)
    return clock


@pytest.mark.parametrize(("budget_s", "steps"), [(0.5, 0), (1.5, 0), (4.0, 2), (5.5, 4)])
def test_it_ends_before_a_step_that_would_pass_the_budget(polisher, clock, face, budget_s, steps):
    assert polisher(face, ZEROS, budget_s).steps == steps
    assert clock.now_s <= 100 + max(budget_s, 1)


def test_pausing_after_any_step_does_not_change_the_result(polisher, face, monkeypatch):
    monkeypatch.setattr("model_core.inversion.polisher.MAX_STEPS", 5)
    polishing = polisher.begin(face, ZEROS)
    pauses = 0
    while not polishing.go_on(math.inf, pause=lambda: True):
        pauses += 1
    assert pauses == 5  # after the evaluation of the start and each step but the last
    whole = polisher(face, ZEROS, budget_s=600.0)
    assert polishing.result.steps == whole.steps
    assert torch.equal(polishing.result.ws, whole.ws)


def test_a_pause_counts_towards_the_budget(polisher, clock, face):
    polishing = polisher.begin(face, ZEROS)
    assert not polishing.go_on(107.5, pause=lambda: True)
    clock.now_s += 4
    assert polishing.go_on(107.5)
    assert polishing.result.steps == 2


def test_it_waits_for_the_work_of_a_device_that_queues_it(images, face, monkeypatch):
    finished, device = [], torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "synchronize", finished.append)
    descent = LatentIterator(images, PixelDistance()).begin(IteratorState.start(ZEROS), face)
    Polishing(descent, device).go_on(0.0)
    assert finished == [device, device]  # before the evaluation, and after it
