from starlette.testclient import TestClient

from model_core.errors import CheckpointError
from service.app import create_app
from service.settings import Settings
from tests.service.fakes import FakeAligner, FakePredictor, wait_until


def test_a_damaged_file_keeps_the_service_from_starting(tmp_path):
    (tmp_path / "age.npy").write_bytes(b"damaged")
    failures = []
    app = create_app(
        Settings(directions=tmp_path),
        predictor=lambda _settings: FakePredictor(),
        aligner=lambda _settings: FakeAligner(),
        on_failure=failures.append,
    )
    with TestClient(app) as client:
        wait_until(lambda: failures)
        assert client.get("/readyz").status_code == 503
    assert isinstance(failures[0], CheckpointError)
