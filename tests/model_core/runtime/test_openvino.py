import logging
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model_core.runtime.openvino import run_by_openvino, run_items_by_openvino
from model_core.runtime.precision import FLOAT32


class Weighted(torch.nn.Module):
    """Two inputs of different worth, the second of which may go unread."""

    def __init__(self, reads_both):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.reads_both = reads_both

    def forward(self, a, b):
        return self.conv(a) - 3 * self.conv(b) if self.reads_both else self.conv(a)


@pytest.fixture
def inputs():
    return torch.rand(2, 1, 3, 8, 6, generator=torch.Generator().manual_seed(1)).unbind()


@pytest.mark.parametrize("reads_both", [True, False])
@torch.inference_mode()
def test_it_gives_what_torch_gives_and_keeps_what_it_gave(inputs, reads_both):
    network = Weighted(reads_both).requires_grad_(False)
    run = run_by_openvino(network, FLOAT32, *inputs)
    a, b = inputs
    first = run(a, b)
    assert torch.allclose(first, network(a, b), atol=1e-5)
    second = run(b, a)
    assert torch.allclose(second, network(b, a), atol=1e-5)
    assert torch.allclose(first, network(a, b), atol=1e-5)


def test_logging_and_warnings_are_as_before(inputs):
    root = logging.getLogger()
    before = (root.level, [*root.filters], [*root.handlers], [*warnings.filters])
    run_by_openvino(Weighted(True).requires_grad_(False), FLOAT32, *inputs)
    assert (root.level, [*root.filters], [*root.handlers], [*warnings.filters]) == before


def test_any_thread_may_call_it(inputs):
    run = run_by_openvino(Weighted(True).requires_grad_(False), FLOAT32, *inputs)
    expected = run(*inputs)
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(lambda _: run(*inputs), range(40))]
    assert all(torch.equal(each, expected) for each in found)


class Doubled(torch.nn.Module):
    """Twice its input, in one row for each item."""

    def forward(self, x):
        return (2 * x).flatten(1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_items_of_batches_of_any_size_keep_their_order(count):
    run = run_items_by_openvino(Doubled(), FLOAT32, torch.zeros(1, 3, 8, 6))
    batch = torch.rand(count, 3, 8, 6, generator=torch.Generator().manual_seed(2))
    first = run(batch.contiguous(memory_format=torch.channels_last))
    run(torch.zeros_like(batch))
    assert torch.allclose(first, 2 * batch.flatten(1), atol=1e-6)


def test_any_thread_may_run_items():
    run = run_items_by_openvino(Doubled(), FLOAT32, torch.zeros(1, 3, 8, 6))
    batches = torch.rand(40, 3, 3, 8, 6, generator=torch.Generator().manual_seed(3))
    with ThreadPoolExecutor(4) as threads:
        found = torch.stack([*threads.map(run, batches)])
    assert torch.allclose(found, 2 * batches.flatten(2), atol=1e-6)
