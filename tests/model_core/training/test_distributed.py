import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.training.distributed import Ranks, own_device


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_of_a_machine_gets_its_own_gpu(two_gpus, rank):
    assert own_device(torch.device("cuda"), rank) == torch.device("cuda", rank)


@pytest.mark.parametrize("name", ["cpu", "cuda:1"])
def test_a_device_that_is_named_is_kept(two_gpus, name):
    assert own_device(torch.device(name), 0) == torch.device(name)


def test_more_processes_than_gpus_are_refused(two_gpus):
    with pytest.raises(InvalidInputError, match="got 2 for process 3"):
        own_device(torch.device("cuda"), 2)


def test_every_shard_has_one_owner():
    assert [Ranks(rank, 2).shards(4) for rank in (0, 1)] == [[0, 2], [1, 3]]


@pytest.mark.parametrize("count", [1, 3])
def test_shards_that_do_not_divide_evenly_are_refused(count):
    with pytest.raises(InvalidInputError, match=f"multiple of the 2 processes, got {count}"):
        Ranks(1, 2).shards(count)
