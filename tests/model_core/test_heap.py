import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
from model_core.heap import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

import torch

def work():
    for _ in range(20):  # aligned blocks settle after some rounds
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(int(sys.argv[3]) * 2**18)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if sys.argv[2] == "other":
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
"""


def faults(mode: str, thread: str, mebibytes: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode, thread, str(mebibytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("thread", "mebibytes"), [("first", 48), ("other", 48), ("other", 64)])
def test_a_large_tensor_is_made_of_memory_that_is_there(thread, mebibytes):
    assert faults("kept", thread, mebibytes) < 100 < faults("returned", thread, mebibytes)
