import dataclasses

import pytest
from torch import nn

from model_core.networks.loading import load_tuned_generator
from model_core.networks.saving import save_tuned_generator
from model_core.training.distributed import Ranks
from model_core.training.ema import TrainedNetwork, unfreeze_synthesis
from tests.model_core.training import tiny


def test_the_average_follows_the_weights_and_copies_counts():
    trained = TrainedNetwork(nn.BatchNorm1d(2), [], lr=0.1)
    nn.init.constant_(trained.network.weight, 3.0)
    trained.network.num_batches_tracked += 5
    trained.average(0.25)
    assert trained.averaged.weight.tolist() == pytest.approx([1.5, 1.5])
    assert trained.averaged.num_batches_tracked == 5
    assert not trained.averaged.weight.requires_grad


def test_the_mapping_network_stays_frozen(generator):
    unfrozen = unfreeze_synthesis(generator)
    assert {id(p) for p in unfrozen} == {id(p) for p in generator.parameters() if p.requires_grad}
    assert unfrozen
    assert not any(p.requires_grad for p in generator.mapping_network.parameters())


def test_a_tuned_generator_is_trained_and_exported(tmp_path):
    photos = tiny.make_photos(tmp_path / "photos")
    config = dataclasses.replace(tiny.TUNED, steps=1, warmup_steps=0, generator_lr=0.01)
    training = tiny.make_training(config, tmp_path / "run", photos, Ranks())
    training.run(report=str)
    original = tiny.make_generator()
    path = tmp_path / "tuned_generator.safetensors"
    save_tuned_generator(path, training.averaged_generator, "f" * 64)
    tuned = load_tuned_generator(path, original, "f" * 64).state_dict()
    changed = {
        name for name, value in original.state_dict().items() if (tuned[name] != value).any()
    }
    assert any(name.startswith("blocks.5") for name in changed)
    assert any(name.startswith("to_img") for name in changed)
    assert not any(name.startswith("mapping_network") for name in changed)
