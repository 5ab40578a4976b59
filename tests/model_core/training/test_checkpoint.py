import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from model_core.errors import CheckpointError
from model_core.training.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint


def make(width=3):
    """A layer and its optimiser after one step."""
    layer = nn.Linear(width, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.randn(4, width)).square().sum().backward()
    optimizer.step()
    return layer, optimizer


def save(folder, step=7):
    layer, optimizer = make()
    return save_checkpoint(folder, step, {"layer": layer}, optimizer)


def rewrite(path, changes, metadata=None):
    """Put other tensors into a checkpoint; None takes one out."""
    tensors = {k: v for k, v in (load_file(path) | changes).items() if v is not None}
    save_file(tensors, path, metadata)


def test_modules_and_moments_come_back(tmp_path):
    layer, optimizer = make()
    save_checkpoint(tmp_path, 7, {"layer": layer}, optimizer)
    other, restored = make()
    assert load_checkpoint(tmp_path, {"layer": other}, restored) == 7
    assert torch.equal(other.weight, layer.weight)
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(restored.state_dict()["state"][index][name], value)


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 10, 100):
        save(tmp_path, step)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "00000010.safetensors",
        "00000100.safetensors",
    ]
    assert newest_checkpoint(tmp_path).stem == "00000100"


def test_no_checkpoint_is_step_0(tmp_path):
    layer, optimizer = make()
    assert newest_checkpoint(tmp_path / "none") is None
    assert load_checkpoint(tmp_path / "none", {"layer": layer}, optimizer) == 0


def test_a_damaged_file_is_refused(tmp_path):
    path = save(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    layer, optimizer = make()
    with pytest.raises(CheckpointError, match=r"00000007\.safetensors must be a checkpoint"):
        load_checkpoint(tmp_path, {"layer": layer}, optimizer)


@pytest.mark.parametrize("metadata", [None, {"steps": "7"}, {"step": "seven"}])
def test_a_file_without_its_step_is_refused(tmp_path, metadata):
    rewrite(save(tmp_path), {}, metadata)
    layer, optimizer = make()
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path, {"layer": layer}, optimizer)


@pytest.mark.parametrize(
    "changes",
    [
        {"layer/bias": None},
        {"layer/weight": torch.zeros(2, 4)},
        {"optimizer/0/exp_avg": torch.zeros(1, 3)},
        {"optimizer/0/exp_avg": torch.zeros(())},
        {"optimizer/9/exp_avg": torch.zeros(2, 3)},
        {"optimizer/none/exp_avg": torch.zeros(2, 3)},
        {"optimizer/0": torch.zeros(2, 3)},
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, changes):
    rewrite(save(tmp_path), changes, {"step": "7"})
    layer, optimizer = make()
    with pytest.raises(CheckpointError, match="must be a checkpoint of this run"):
        load_checkpoint(tmp_path, {"layer": layer}, optimizer)


def test_another_network_is_refused(tmp_path):
    save(tmp_path)
    layer, optimizer = make(width=5)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path, {"layer": layer}, optimizer)
