import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model_core.runtime import backends
from model_core.runtime.backends import can_compile

SOURCES = Path(backends.__file__).parents[1]
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


def test_everything_is_compiled_for_this_processors_vectors():
    callers = [path for path in SOURCES.rglob("*.py") if "torch.compile(" in path.read_text()]
    assert callers == [Path(backends.__file__)]
