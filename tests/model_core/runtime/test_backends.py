import os
import subprocess
import sys

import pytest
import torch

from model_core.runtime.backends import can_compile

JOINED = """
import torch
from model_core.runtime.backends import compile_lazily

a, b = torch.rand(2, 4, 4, 24)
for _ in range(20):  # what writes past the end of its buffers does not survive that
    joined = compile_lazily(lambda a, b: torch.cat([a, b], -1) * 2)(a, b)
    assert torch.equal(joined, torch.cat([a, b], -1) * 2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="needs vectors of two widths"
)
def test_code_for_narrower_vectors_in_the_cache_is_not_used(tmp_path):
    for capability in ("avx2", "avx512"):
        environment = os.environ | {
            "ATEN_CPU_CAPABILITY": capability,
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        }
        subprocess.run([sys.executable, "-c", JOINED], env=environment, check=True, timeout=600)
