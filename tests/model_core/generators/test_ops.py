"""Operations of the generators, as written and as compiled."""

import inspect

import torch
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.decomposition import select_decomp_table
from torch.nn import functional as F

from model_core.generators.ops import leaky_relu


def test_compiled_activations_and_their_gradients_are_those_of_torch_without_a_mask():
    forwards = []

    def capture(graph, _inputs):
        forwards.append(graph)
        return make_boxed_func(graph)

    backend = aot_autograd(
        fw_compiler=capture,
        bw_compiler=lambda graph, _inputs: make_boxed_func(graph),
        decompositions=select_decomp_table(),
        partition_fn=min_cut_rematerialization_partition,
    )
    x = torch.linspace(-3, 2, 100, requires_grad=True)
    activate = inspect.unwrap(leaky_relu)  # the tests' checks of shapes do not compile
    found = torch.compile(lambda x: activate(x + 1).sum(), backend=backend)(x)
    expected = F.leaky_relu(x + 1, 0.2).sum()
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each, x)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)
    kept = [node.meta["val"] for node in forwards[0].graph.output_node().args[0]]
    assert len(kept) > 1
    assert not any(each.dtype == torch.bool for each in kept)


def test_other_threads_do_not_notice_that_one_compiles(monkeypatch):
    x = torch.linspace(-3, 2, 100, dtype=torch.bfloat16)
    monkeypatch.setattr(torch.compiler, "_is_compiling_flag", True)  # as while another compiles
    assert torch.compiler.is_compiling()
    assert torch.equal(leaky_relu(x), F.leaky_relu(x, 0.2))
