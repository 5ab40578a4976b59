import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.images import to_float
from model_core.networks.loading import load_detail_encoder
from model_core.training.checkpoint import newest_checkpoint
from model_core.training.detail.loop import compares_true_output
from model_core.training.detail.objective import DetailObjective
from model_core.training.distributed import Ranks
from tests.model_core.tiny import FINGERPRINT
from tests.model_core.training.detail import tiny

ROOT = Path(__file__).parents[4]
STEPS = 40
LEARNING = dataclasses.replace(
    tiny.CONFIG,
    steps=STEPS,
    lr=3e-3,
    ema=0.9,
    true_every=1,
    full_size_weight=0.0,  # the tiny generator draws grain that no detail can take away
    photo_light=0.0,
    checkpoint_every=STEPS,
    validation_photos=6,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return tiny.make_faces(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def learned(photos, tmp_path_factory):
    """A run that has ended, and what it reported."""
    training = tiny.make_training(LEARNING, tmp_path_factory.mktemp("run"), photos, Ranks())
    lines = []
    assert training.run(report=lines.append)
    return training, lines


def interrupt_after(steps):
    asked = itertools.count(1)

    def should_stop():
        if next(asked) == steps:
            raise KeyboardInterrupt
        return False

    return should_stop


def weights(training):
    modules = {"network": training.encoder, "averaged": training.averaged}
    return {f"{n}/{k}": v for n, module in modules.items() for k, v in module.state_dict().items()}


def gradients(run):
    """The clipped gradients of a run of one step, from Adam's first moments."""
    stored = load_file(run / "checkpoints" / "00000001.safetensors")
    return torch.cat([v.flatten() for k, v in sorted(stored.items()) if k.endswith("/exp_avg")])


def test_the_full_generator_is_used_at_times_in_the_last_part():
    config = dataclasses.replace(tiny.CONFIG, steps=20, true_every=3, true_share=0.5)
    assert [s for s in range(20) if compares_true_output(config, s)] == [12, 15, 18]
    never = dataclasses.replace(config, true_every=0)
    assert not any(compares_true_output(never, step) for step in range(20))


def test_a_step_lowers_the_loss_on_its_photos(photos, tmp_path):
    training = tiny.make_training(LEARNING, tmp_path, photos, Ranks())
    before, after = training.step(0), training.step(0)  # the same step draws the same photos
    assert before["detail"] == 0  # untrained, there is none
    assert after["detail"] > 0
    for name in ("mse", "lpips"):
        assert after[name] < before[name], name


@pytest.mark.slow
def test_generated_faces_are_trained_on_as_photos_are(photos, tmp_path, monkeypatch):
    compared = []
    forward = DetailObjective.forward

    def noted(self, detail, img, shown, large=None):
        compared.append(shown)
        return forward(self, detail, img, shown, large)

    monkeypatch.setattr(DetailObjective, "forward", noted)
    training = tiny.make_training(tiny.WITH_PAIRS, tmp_path, photos, Ranks())
    with training.producer as producer:
        training.step(0)
        made, _ = producer.ring.read(range(producer.ring.count))
    ((generated, photo),) = compared
    assert any(torch.equal(generated, to_float(one)) for one in made)
    assert not any(torch.equal(photo, to_float(one)) for one in made)


@pytest.mark.slow
def test_a_validation_measures_and_draws_pairs_and_photos(learned):
    training, (line,) = learned
    assert line.startswith(f"step {STEPS}: photos/detail ")
    assert "code_alone/mse" in line
    with Image.open(training.folder / "sheets" / f"{STEPS:08d}.jpg") as sheet:
        assert sheet.size == (6 * 256, 3 * 256)  # photos, the code alone, and with detail


@pytest.mark.slow
def test_the_export_is_read_and_beats_the_code_alone_on_the_photos(learned, photos, tmp_path):
    training, _ = learned
    training.export(tmp_path / "detail.safetensors", FINGERPRINT)
    generator = tiny.make_generator()
    encoder, _ = load_detail_encoder(tmp_path / "detail.safetensors", generator, FINGERPRINT)
    photo = to_float(photos.read_first(6))
    with torch.no_grad():
        ws, _ = training.path.embed(photo)
        blocks = encoder.config.blocks
        features = generator.features(ws, blocks)
        detail = encoder.decode(encoder(photo, features, ws))
        alone, better = (
            (F.avg_pool2d(generator.tail(x, ws, blocks), 2).clamp(-1, 1) - photo).square().mean()
            for x in (features, features + detail)
        )
    assert better < 0.8 * alone
    figures = training.validate(STEPS)
    assert figures["photos/mse"] == pytest.approx(float(better), rel=0.02)
    assert figures["code_alone/mse"] == pytest.approx(float(alone), rel=0.02)


@pytest.mark.slow
def test_everything_but_the_encoder_is_frozen(learned):
    training, _ = learned
    assert not any(p.requires_grad for p in training.path.parameters())
    fresh = FoldedMobileStyleGAN(tiny.make_generator()).state_dict()
    for name, value in training.path._true.state_dict().items():
        assert torch.equal(value, fresh[name]), name


@pytest.mark.parametrize("config", [tiny.CONFIG, tiny.WITH_PAIRS], ids=["photos", "pairs"])
def test_a_resumed_run_equals_an_uninterrupted_one(photos, tmp_path, config):
    whole = tiny.make_training(config, tmp_path / "whole", photos, Ranks())
    whole.run(report=str)

    parts = tmp_path / "parts"
    first = tiny.make_training(config, parts, photos, Ranks())
    with pytest.raises(KeyboardInterrupt):  # one step after the checkpoint at 2: it is done again
        first.run(report=str, should_stop=interrupt_after(3))
    second = tiny.make_training(config, parts, photos, Ranks())
    second.path.units.spread.fill_(1)  # it comes from the checkpoint
    second.run(report=str)

    assert torch.equal(second.path.units.spread, whole.path.units.spread)
    expected = weights(whole)
    for key, value in weights(second).items():
        assert torch.equal(value, expected[key]), key
    assert newest_checkpoint(parts / "checkpoints").stem == "00000004"


@pytest.mark.slow
def test_two_processes_do_what_one_does_on_the_same_batches(photos, tmp_path):
    module = "tests.model_core.training.detail.tiny"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, "-m", *launcher, module]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        folders = [tmp_path / name, photos.files[0].parent]
        subprocess.run([*command, *folders], cwd=ROOT, env=environment, check=True, timeout=300)
    one, two = gradients(tmp_path / "one"), gradients(tmp_path / "two")
    assert one.norm() > 0
    assert (two - one).norm() < 0.001 * one.norm()
