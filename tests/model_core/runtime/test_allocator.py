import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys, threading
from model_core.runtime.allocator import keep_freed_memory

PR_SET_THP_DISABLE = 41
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)  # a huge page would be one fault for 512
if sys.argv[1] == "kept":
    assert keep_freed_memory()

import torch

def work():
    counts = []
    for _ in range(20):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        torch.ones(int(sys.argv[3]) * 2**18)
        counts.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)
    print(min(counts[10:]))  # aligned blocks settle after some rounds

torch.set_num_threads(1)  # so that the thread that is measured touches the memory
if sys.argv[2] == "other":
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
print(resource.getpagesize())
"""


def share_of_fresh_pages(mode, thread, mebibytes):
    """The share of a tensor's pages that the system had to provide, at the least of ten times."""
    command = [sys.executable, "-c", PROGRAM, mode, thread, str(mebibytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    faults, page_bytes = map(int, done.stdout.split())
    return faults * page_bytes / (mebibytes * 2**20)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("thread", "mebibytes"), [("first", 48), ("other", 48), ("other", 64)])
def test_a_large_tensor_reuses_freed_memory(thread, mebibytes):
    returned = share_of_fresh_pages("returned", thread, mebibytes)
    if returned == 0:
        pytest.skip("this system counts no page faults, or its C library keeps memory by itself")
    assert share_of_fresh_pages("kept", thread, mebibytes) < 0.1 * returned
