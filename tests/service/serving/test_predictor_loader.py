"""The predictor that the service loads from a cache without the optional pack, and with it."""

import dataclasses

import pytest
import torch

from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.weights.cache import DEFAULT_JUDGE, converted_path
from model_core.weights.store import save_network
from service.serving.predictor_loader import load_predictor
from service.settings import Settings
from tests.model_core.judges import need_judge


@pytest.fixture
def load(cache, tmp_path):
    """Load the predictor of a narrow generator, with or without the judge's weights."""

    def load(with_judge):
        (tmp_path / "weights").mkdir()
        for file in (cache / "weights").iterdir():
            if with_judge or not file.name.startswith(DEFAULT_JUDGE):
                (tmp_path / "weights" / file.name).symlink_to(file)
        path = converted_path(tmp_path, "narrow")
        path.parent.mkdir()
        torch.manual_seed(0)
        config = StyleGAN2Config(widths=(8, 8), mapping_layers=2)
        facts = {"family": "stylegan2", "config": dataclasses.asdict(config)}
        save_network(path, StyleGAN2(config).state_dict(), facts)
        return load_predictor(Settings(cache=tmp_path, generator="narrow", backend="eager"))

    return load


def test_a_missing_recogniser_is_logged_once(load, caplog):
    assert load(with_judge=False).identity_judge is None
    (line,) = [line for line in caplog.messages if "recogniser" in line]
    assert "python -m model_core.checkpoints pull faceres" in line


def test_a_cache_with_it_is_not_remarked_on(load, cache, caplog):
    need_judge(cache)
    assert load(with_judge=True).identity_judge == "faceres"
    assert not [line for line in caplog.messages if "recogniser" in line]
