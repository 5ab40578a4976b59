import dataclasses

import pytest
import torch

from model_core.errors import CheckpointError, ModelMismatchError
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import make_render
from model_core.training.losses import sensitivity
from model_core.training.losses.code_losses import SensitivityLoss, StyleLoss, measure_row_weights
from model_core.training.losses.sensitivity import load_or_sample, sample_gradients
from model_core.weights.store import load_network, save_network

CPU = torch.device("cpu")
TWO = TrainConfig(sensitivity_samples=2, compile=False)


def test_style_loss_is_the_mean_squared_change_of_standardised_styles(generator):
    loss = StyleLoss(generator, torch.ones(generator.num_ws))
    ws, target = torch.randn(2, 3, generator.num_ws, 16)
    z = torch.randn(4096, 16, generator=torch.Generator().manual_seed(0))
    w = generator.mapping(z)
    expected = torch.zeros(3)
    for r, matrix in enumerate(generator.style_matrices()):
        change = (ws - target)[:, r] @ matrix.T / (w @ matrix.T).std(dim=0)
        expected += change.square().mean(dim=1) / generator.num_ws
    assert torch.allclose(loss(ws, target), expected, rtol=1e-4)
    assert torch.equal(loss(ws, ws), torch.zeros(3))


def test_rows_count_by_their_weight(generator):
    weights = torch.zeros(generator.num_ws)
    weights[3] = 1
    loss = StyleLoss(generator, weights)
    ws = torch.randn(1, generator.num_ws, 16)
    other, third = ws.clone(), ws.clone()
    other[:, 4:] += 1
    third[:, 3] += 1
    assert loss(ws, other) == 0
    assert loss(ws, third) > 0


def test_row_weights_sum_to_the_number_of_rows_and_are_positive(generator):
    render = make_render(generator, torch.device("cpu"), compiled=False)
    weights = measure_row_weights(generator, render, samples=4, seed=0)
    assert torch.isclose(weights.sum(), torch.tensor(float(generator.num_ws)))
    assert (weights >= 0.5).all()


def test_sensitivity_predicts_the_mse_of_small_changes(generator, tmp_path):
    config = TrainConfig(sensitivity_samples=100, compile=False)
    gradients = load_or_sample(tmp_path / "s.safetensors", generator, "f" * 64, config, CPU)
    loss = SensitivityLoss(gradients)
    w = generator.mapping(torch.randn(64, 16, generator=torch.Generator().manual_seed(5)))
    ws = w[:, None].repeat(1, generator.num_ws, 1)
    moved = ws + 0.02 * torch.randn(ws.shape, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        small = [
            torch.nn.functional.adaptive_avg_pool2d(generator.synthesis(x), 64) for x in (ws, moved)
        ]
    actual = (small[0] - small[1]).square().mean()
    assert 0.5 < loss(moved, ws).mean() / actual < 2


def test_stored_gradients_are_read_back_and_tied_to_their_generator(generator, tmp_path):
    path = tmp_path / "s.safetensors"
    first = load_or_sample(path, generator, "f" * 64, TWO, CPU)
    save_network(path, {"gradients": first + 1}, load_network(path)[1])
    assert torch.equal(load_or_sample(path, generator, "f" * 64, TWO, CPU), first + 1)
    with pytest.raises(ModelMismatchError, match="must hold gradients of the generator eeee"):
        load_or_sample(path, generator, "e" * 64, TWO, CPU)


def test_another_number_of_stored_gradients_is_refused(generator, tmp_path):
    path = tmp_path / "s.safetensors"
    load_or_sample(path, generator, "f" * 64, TWO, CPU)
    more = dataclasses.replace(TWO, sensitivity_samples=3)
    with pytest.raises(CheckpointError, match=r"shape \(3, 16, 16\), got .*\(2, 16, 16\)"):
        load_or_sample(path, generator, "f" * 64, more, CPU)


def test_gradients_do_not_depend_on_how_they_are_put_together(generator, monkeypatch):
    config = dataclasses.replace(TWO, sensitivity_samples=sensitivity.CHUNK + 1)
    gradients = sample_gradients(generator, config, CPU)
    assert gradients.shape == (5, generator.num_ws, 16)
    monkeypatch.setattr(sensitivity, "CHUNK", 1)
    singly = sample_gradients(generator, config, CPU)
    for a, b in zip(gradients, singly, strict=True):
        assert (a - b).norm() < 0.02 * b.norm()
    assert len(torch.unique(gradients, dim=0)) == 5


def test_gradients_are_taken_at_the_codes_of_the_run(generator):
    gradients = sample_gradients(generator, TWO, CPU)
    for change in ({"psi_min": 0.0, "psi_max": 0.1}, {"seed": 1}):
        other = sample_gradients(generator, dataclasses.replace(TWO, **change), CPU)
        assert not torch.equal(other, gradients)
