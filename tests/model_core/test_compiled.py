import subprocess
import sys

import pytest

COMPILED = """
import torch
from model_core.compiled import Compiled

class Differences(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, a, b):
        if torch.compiler.is_compiling():
            assert len(a) == len(b) == 1
        return (self.conv(a) - self.conv(b)).mean((2, 3))

torch.manual_seed(0)
network = Differences().requires_grad_(False)
a, b = torch.rand(2, 3, 3, 8, 6)
expected = network(a, b)

now = Compiled(network, ((3, 8, 6), (3, 8, 6)), "network", at_once=False)
later = Compiled(network, ((3, 8, 6), (3, 8, 6)), "network", at_once=True)
with torch.inference_mode():
    assert torch.equal(later(a, b), expected)
    later.hasten()
    later._swap.wait()
    assert later._swap.swapped
    torch._dynamo.config.error_on_recompile = True
    network.conv.weight.zero_()  # what is compiled has packed it
    for compiled in (now, later):
        for form in (torch.contiguous_format, torch.channels_last):
            given = [batch.contiguous(memory_format=form) for batch in (a, b)]
            assert torch.allclose(compiled(*given), expected, atol=1e-5)
            first = [batch[:1] for batch in given]
            assert torch.allclose(compiled(*first), expected[:1], atol=1e-5)
"""


@pytest.mark.slow
def test_batches_of_any_size_and_layout_are_compiled_once_with_weights_frozen():
    # In a process of its own: what is compiled anew raises there, and only there.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=600)
