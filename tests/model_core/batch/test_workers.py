"""Processes that read photos."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from model_core.weights.cache import LANDMARKS, weight_path

ROOT = Path(__file__).parents[3]
PARENT = """
import sys, time
from multiprocessing import active_children
from pathlib import Path
from model_core.batch.workers import Models, PhotoWorkers

if __name__ == "__main__":
    with PhotoWorkers(1, Models(Path(sys.argv[1]))) as workers:
        workers.start()
        print(*(child.pid for child in active_children()), flush=True)
        time.sleep(600)
"""


def is_running(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_they_end_with_a_parent_that_is_killed(tmp_path, cache):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script, weight_path(cache, LANDMARKS)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        (child,) = map(int, parent.stdout.readline().split())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    end_s = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < end_s
        time.sleep(0.1)


def test_they_start_without_torch():
    code = "import sys, model_core.batch.workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
