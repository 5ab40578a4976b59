import subprocess
import sys

import pytest

COMPILED = """
import time, torch
from model_core.runtime.background import CompileQueue
from model_core.runtime.compiled import defer_module, defer_network
from model_core.runtime.execution import Execution

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

def slow(*batches):
    time.sleep(0.1)
    return network(*batches)

queue = CompileQueue()
execution = Execution(queue=queue)
served = defer_network(queue, "network", network, slow, ((3, 8, 6), (3, 8, 6)))
module = defer_module(execution, "module", network, slow, (a[:1], b[:1]))
with torch.inference_mode():
    assert torch.equal(served(a, b), expected)
    queue.start()
    queue.wait()
    assert served.compiled and module.compiled
    torch._dynamo.config.error_on_recompile = True
    network.conv.weight.zero_()  # what is compiled has packed it

def check(serve, batches, form):
    given = [batch.contiguous(memory_format=form) for batch in batches]
    with torch.inference_mode():
        assert torch.allclose(serve(*given), expected, atol=1e-5)
        first = [batch[:1] for batch in given]
        assert torch.allclose(serve(*first), expected[:1], atol=1e-5)

for inference in (True, False):  # tensors that are made in inference mode differ from others
    with torch.inference_mode(inference):
        copies = [batch.clone() for batch in (a, b)]
        check(served, copies, torch.contiguous_format)
        check(served, copies, torch.channels_last)
        check(module, copies, torch.contiguous_format)
assert not torch._inductor.config.freezing
"""


@pytest.mark.slow
def test_batches_of_any_size_layout_and_mode_are_compiled_once_with_weights_frozen():
    # In a process of its own: what is compiled anew raises there, and only there.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=600)
