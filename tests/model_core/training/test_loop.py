import dataclasses
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F

from model_core.images import to_float
from model_core.training import run_loop
from model_core.training.checkpoint import newest_checkpoint
from model_core.training.data.photo_stream import READERS
from model_core.training.distributed import Ranks
from model_core.training.iterator_supervision import IteratorSupervisor, IteratorTargets
from model_core.training.loop import Training
from model_core.training.losses.objective import Objective
from model_core.training.run_loop import rate_share
from tests.model_core.training import tiny

ROOT = Path(__file__).parents[3]


def interrupt_after(steps):
    """What a run asks after each step, and is interrupted by as by Ctrl-C after some."""
    asked = itertools.count(1)

    def should_stop():
        if next(asked) == steps:
            raise KeyboardInterrupt
        return False

    return should_stop


class NotedTraining(Training):
    """Keeps what each step gave."""

    def step(self, step):
        scalars = super().step(step)
        self.done = getattr(self, "done", {}) | {step + 1: scalars}
        return scalars


class NotedObjective(Objective):
    """Keeps what the last step compared: predicted codes with codes, and with images."""

    def codes(self, predicted, ws):
        self.compared_codes = (predicted.detach(), ws.clone())
        return super().codes(predicted, ws)

    def images(self, predicted, target):
        self.compared_images = (predicted.detach(), target.clone())
        return super().images(predicted, target)


class Told(IteratorSupervisor):
    """Teaches that all is well with the same loss for every photo."""

    def __init__(self, cache, loss, hit):
        self.cache = cache
        self._loss, self._hit = loss, hit

    def supervise(self, target, slots, ws):
        losses = torch.full((len(slots),), self._loss)
        return IteratorTargets(
            ws.detach(), losses, losses + 1, torch.full((len(slots),), self._hit)
        )


def codes(training):
    """Codes and losses in the caches of a run."""
    caches = [shard.supervisor.cache for shard in training.photos.values() if shard.supervisor]
    return [x for cache in caches for x in cache.read(torch.arange(len(cache)))]


def weights(training):
    """All that is trained, and its averages."""
    modules = {"network": training.network, "averaged": training.averaged}
    if training.averaged_generator:
        modules["generator"] = training.objective.render.generator
        modules["averaged_generator"] = training.averaged_generator
    return {
        f"{name}/{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def owners(cache):
    """The processes that opened a cache and those that wrote codes to it."""
    return [
        {int(note.name.rpartition("-")[2]) for note in cache.glob(f"{done}-by-*")}
        for done in ("opened", "written")
    ]


def points(run):
    """TensorBoard's curves of a run by name: step and value of each point."""
    events = EventAccumulator(str(run / "board-0")).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def gradients(run):
    """The clipped gradients of a run of one step, from Adam's first moments: linear, where the
    update itself turns rounding into whole steps of parameters that have no gradient."""
    stored = load_file(run / "checkpoints" / "00000001.safetensors")
    return torch.cat([v.flatten() for k, v in sorted(stored.items()) if k.endswith("/exp_avg")])


def test_the_rate_warms_up_stays_and_falls_to_zero():
    config = dataclasses.replace(tiny.CONFIG, steps=100, warmup_steps=10, decay_share=0.2)
    shares = [rate_share(config, step) for step in range(101)]
    assert shares[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert shares[10:81] == [1.0] * 71
    assert shares[80:] == pytest.approx([1 - 0.05 * i for i in range(21)])


def test_without_warm_up_and_decay_the_rate_is_constant():
    config = dataclasses.replace(tiny.CONFIG, steps=10, warmup_steps=0, decay_share=0.0)
    assert [rate_share(config, step) for step in range(10)] == [1.0] * 10


@pytest.mark.slow
def test_tensorboard_has_both_parts_losses_and_the_hits_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(run_loop, "BOARD_EVERY", 2)
    photos = tiny.make_photos(tmp_path / "photos")
    config = dataclasses.replace(tiny.COLLABORATIVE, generated_share=0.0, steps=3)
    training = tiny.make_training(config, tmp_path / "run", photos, Ranks(), NotedTraining)
    training.run(report=str)
    done = training.done

    curves = points(tmp_path / "run")
    network = {"style", "sensitivity", "latent", "mse", "lpips", "grad_norm"}
    iterator = {"iterator", "iterator_start", "cache_hits", "cache_filled"}
    assert {f"train/{name}" for name in network | iterator} <= curves.keys()
    for name, values in done[3].items():
        (second, last) = curves[f"train/{name}"]
        assert second == (2, pytest.approx(done[2][name], rel=1e-6))
        assert last == (3, pytest.approx(values, rel=1e-6))
    losses = np.load(tmp_path / "run" / "cache-0" / "losses.npy")
    assert done[3]["cache_filled"] == np.isfinite(losses).mean() > 0
    assert [step for step, _ in curves["held_out/pairs/mse"]] == [3]


@pytest.mark.parametrize("supervision", ["photo", "iterator", "both"])
def test_image_losses_can_apply_to_pairs(tmp_path, supervision):
    photos = tiny.make_photos(tmp_path / "photos")

    def compared(pair_images):
        """What a step compares: predicted codes with codes, and with images; and all pairs."""
        config = dataclasses.replace(
            tiny.COLLABORATIVE, supervision=supervision, pair_images=pair_images, amp=False
        )
        run = tmp_path / str(pair_images)
        training = tiny.make_training(config, run, photos, Ranks(), objective_kind=NotedObjective)
        with training.producer as producer:
            training.step(0)
            drawn = producer.ring.read(range(producer.ring.count))
        objective = training.objective
        return objective.compared_codes, objective.compared_images, drawn

    _, (ws, img), _ = compared(pair_images=False)
    more_codes, (more_ws, more_img), (drawn_img, drawn_ws) = compared(pair_images=True)
    pairs = tiny.COLLABORATIVE.pairs_per_shard
    assert len(more_img) == pairs + len(img) == tiny.COLLABORATIVE.batch
    assert torch.equal(more_ws[pairs:], ws)
    assert torch.equal(more_img[pairs:], img)

    predicted, known = (codes[:pairs] for codes in more_codes)
    assert torch.equal(more_ws[:pairs], predicted)
    index = [int((drawn_ws == code).all(dim=(1, 2)).nonzero()[0]) for code in known]
    expected = F.adaptive_avg_pool2d(to_float(drawn_img[index]), tiny.COLLABORATIVE.loss_px)
    assert torch.equal(more_img[:pairs], expected)


@pytest.mark.parametrize("should_stop", [True, False])
def test_no_reader_of_photos_outlives_a_run(tmp_path, should_stop):
    photos = tiny.make_photos(tmp_path / "photos")
    config = dataclasses.replace(tiny.COLLABORATIVE, generated_share=0.0, supervision="photo")
    training = tiny.make_training(config, tmp_path / "run", photos, Ranks())
    before = set(threading.enumerate())
    if should_stop:
        assert not training.run(report=str, should_stop=lambda: True)
    else:
        with pytest.raises(KeyboardInterrupt):
            training.run(report=str, should_stop=interrupt_after(1))
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith(READERS)]


def test_a_step_reports_the_targets_of_all_its_shards(tmp_path):
    photos = tiny.make_photos(tmp_path / "photos")
    config = dataclasses.replace(tiny.COLLABORATIVE, generated_share=0.0, shards=2)
    training = tiny.make_training(config, tmp_path / "run", photos, Ranks())
    for k, (loss, hit) in enumerate([(0.5, True), (1.5, False)]):
        shard = training.photos[k]
        told = Told(shard.supervisor.cache, loss, hit)
        training.photos[k] = dataclasses.replace(shard, supervisor=told)
    scalars = training.step(0)
    named = ("iterator", "iterator_start", "cache_hits")
    assert [scalars[name] for name in named] == [1.0, 2.0, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [tiny.CONFIG, tiny.COLLABORATIVE, tiny.TUNED, tiny.SINGLE],
    ids=["pairs", "photos", "tuned", "single"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, config):
    photos = tiny.make_photos(tmp_path / "photos")
    whole = tiny.make_training(config, tmp_path / "whole", photos, Ranks())
    whole.run(report=str)

    parts = tmp_path / "parts"
    first = tiny.make_training(config, parts, photos, Ranks())
    with pytest.raises(KeyboardInterrupt):  # one step after the checkpoint at 2: it is done again
        first.run(report=str, should_stop=interrupt_after(3))
    second = tiny.make_training(config, parts, photos, Ranks())
    second.run(report=str)

    expected = weights(whole)
    for key, value in weights(second).items():
        assert torch.equal(value, expected[key]), key
    for a, b in zip(codes(second), codes(whole), strict=True):
        assert torch.equal(a, b)
    assert (parts / "sheets" / "00000004.jpg").stat().st_size > 0


@pytest.mark.slow
def test_a_stopped_run_keeps_its_last_step(tmp_path):
    training = tiny.make_training(tiny.CONFIG, tmp_path / "run", {}, Ranks())
    answers = iter([False, False, True])
    assert not training.run(report=str, should_stop=lambda: next(answers))
    assert newest_checkpoint(tmp_path / "run" / "checkpoints").stem == "00000003"


@pytest.mark.slow
@pytest.mark.parametrize("config", list(tiny.ONE_STEP))
def test_two_processes_do_what_one_does_on_the_same_batches(tmp_path, config):
    tiny.make_photos(tmp_path / "photos")
    module = "tests.model_core.training.tiny"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, "-m", *launcher, module, config]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        folders = [tmp_path / name, tmp_path / "photos"]
        subprocess.run([*command, *folders], cwd=ROOT, env=environment, check=True, timeout=300)

    one, two = gradients(tmp_path / "one"), gradients(tmp_path / "two")
    assert (two - one).norm() < 0.001 * one.norm()
    if config == "tuned":
        return  # no codes are kept
    for name, processes in (("one", 1), ("two", 2)):
        caches = [tmp_path / name / f"cache-{k}" for k in (0, 1)]
        assert sorted((tmp_path / name).glob("cache-*")) == caches
        keys = [key for cache in caches for key in json.loads((cache / "keys.json").read_text())]
        assert len(keys) == len(set(keys)) == 2 * 8  # each photo and orientation in one cache
        for cache in caches:
            opened, written = owners(cache)
            assert len(opened) == 1
            assert written == opened
        assert len(set.union(*(owners(cache)[0] for cache in caches))) == processes
    for k in (0, 1):
        a, b = (np.load(tmp_path / n / f"cache-{k}" / "losses.npy") for n in ("one", "two"))
        assert np.array_equal(np.isfinite(a), np.isfinite(b))
        assert np.isfinite(a).any()
        assert a[np.isfinite(a)] == pytest.approx(b[np.isfinite(b)], rel=1e-3)
