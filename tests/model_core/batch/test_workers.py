import subprocess
import sys


def test_workers_start_without_torch():
    code = "import sys, model_core.batch.workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
