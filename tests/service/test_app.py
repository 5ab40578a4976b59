"""Starting and stopping the application."""

import threading

import dlib
import pytest
from starlette.testclient import TestClient

from model_core.errors import CheckpointError
from model_core.weights.cache import LANDMARKS, SECOND_GLANCE, weight_path
from service.app import create_app
from service.serving.aligner_loader import load_aligner
from service.serving.predictor_loader import load_predictor
from service.settings import Settings
from tests.service.fakes import FakeAligner, FakePredictor, wait_until


def test_nothing_is_loaded_before_the_start():
    loaded = []
    create_app(Settings(), predictor=loaded.append, aligner=loaded.append)
    assert not loaded


def test_a_startup_failure_is_reported_to_the_server():
    failures = []

    def missing(_settings):
        raise CheckpointError("weights must be there")

    app = create_app(
        Settings(),
        predictor=missing,
        aligner=lambda _settings: FakeAligner(),
        on_failure=failures.append,
    )
    with TestClient(app):
        wait_until(lambda: failures)
    assert [str(failure) for failure in failures] == ["weights must be there"]


def test_it_is_ready_before_compilation_ends(serve):
    ready, compiling = threading.Event(), threading.Event()

    class Hastening(FakePredictor):
        def import_compiler(self):
            assert ready.wait(10)

        def start_compiling(self):
            compiling.set()

    with serve(Hastening()) as client:
        assert client.get("/readyz").status_code == 200
        assert not compiling.is_set()
        ready.set()
        assert compiling.wait(10)


def test_stopping_while_loading_does_not_wait(serve):
    predictor = FakePredictor(delay_s=1)
    with serve(predictor, wait=False, max_batch=8) as client:
        wait_until(lambda: client.runtime.engine.busy_s > 0)
    assert not client.runtime.engine.ready


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"model_core\.checkpoints pull"):
        load_predictor(Settings(cache=tmp_path))


def test_a_landmark_file_that_was_changed_never_reaches_its_reader(cache, tmp_path, monkeypatch):
    path = weight_path(tmp_path, LANDMARKS)
    path.parent.mkdir()
    data = bytearray(weight_path(cache, LANDMARKS).read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    opened = []
    monkeypatch.setattr(dlib, "shape_predictor", opened.append)
    with pytest.raises(CheckpointError, match="must have SHA-256"):
        load_aligner(Settings(cache=tmp_path))
    assert opened == []


def test_a_cache_without_the_second_detector_is_told_once(cache, tmp_path, caplog):
    (tmp_path / "weights").mkdir()
    for file in (cache / "weights").iterdir():
        if not file.name.startswith(SECOND_GLANCE):
            (tmp_path / "weights" / file.name).symlink_to(file)
    load_aligner(Settings(cache=tmp_path))
    (line,) = caplog.messages
    assert f"python -m model_core.checkpoints pull {SECOND_GLANCE}" in line
    (tmp_path / "weights" / f"{SECOND_GLANCE}.tflite").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="must have SHA-256"):
        load_aligner(Settings(cache=tmp_path))
