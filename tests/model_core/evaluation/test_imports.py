"""Training and evaluation on a machine that has no packages of serving."""

import subprocess
import sys

import pytest

ABSENT = ("dlib", "openvino", "lpips", "fastapi", "redis", "skimage", "matplotlib")
"""What such a machine may lack; evaluation draws, and needs the last two."""

LEAN = """
import sys
for name in {absent}:
    sys.modules[name] = None
import {module}.__main__
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "absent"), [("model_core.training", ABSENT), ("model_core.evaluation", ABSENT[:-2])]
)
def test_packages_of_serving_are_not_imported(module, absent):
    code = LEAN.format(module=module, absent=absent)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
