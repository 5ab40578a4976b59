"""The real service as it is started by default: it answers while networks are compiled."""

import io
import re
import signal

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from model_core.live_folder import files_below
from model_core.runtime.backends import can_compile
from tests.e2e.running import Service, patience

pytestmark = pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
DECIDED = r"generator (?:compiled in .*; the (\w+) form serves|is not compiled|cannot be compiled)"


def draw(client):
    answer = client.post("/generate?seed=3&psi=0.7", headers={"Accept": "image/png"})
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image).astype(int)


@pytest.mark.slow
def test_the_compiled_form_renders_the_same_face_as_the_fallback(cache):
    service = Service(cache, jobs=False)
    try:
        service.wait_for(lambda: service.url)
        with httpx.Client(base_url=service.url, timeout=patience(120)) as client:
            service.wait_for(lambda: client.get("/readyz").is_success)
            before, first = client.get("/version").json()["backend"], draw(client)
            service.wait_for(lambda: re.search(DECIDED, service.log), patience(600))
            after, then = client.get("/version").json()["backend"], draw(client)
            served_by = re.search(DECIDED, service.log)[1]  # None where nothing was compiled
            assert after == ("compile" if served_by == "compiled" else before)
            assert np.abs(first - then).mean() < 1  # of 255 levels: precisions differ
    finally:
        assert service.stop(signal.SIGTERM) == 0
    assert "Traceback" not in service.log


def compiles(folder):
    """Whether there is code to be compiled below a folder."""
    return any(path.suffix == ".cpp" for path, _ in files_below(folder))


@pytest.mark.slow
def test_ctrl_c_while_networks_are_compiled_ends_cleanly(cache, tmp_path, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    (tmp_path / "weights").symlink_to(cache / "weights")
    service = Service(tmp_path, jobs=False)
    try:
        service.wait_for(lambda: compiles(tmp_path / "compiled"), patience(600))
    finally:
        status = service.stop()
    assert status == 0
    assert "form serves" not in service.log
    assert service.log.rstrip().endswith("service: stopped")
    assert "Traceback" not in service.log
