"""Fixtures of the service's tests: applications on stand-ins for the networks."""

from contextlib import contextmanager

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.fakes import FakeAligner, FakePredictor, wait_until


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def serve():
    """Start an application on fakes: `with serve(predictor, max_batch=2) as client`."""

    @contextmanager
    def start(predictor=None, *, wait=True, aligner=FakeAligner, **settings):
        predictor = predictor or FakePredictor()
        app = create_app(
            Settings(**{"films": "off"} | settings),
            predictor=lambda _settings: predictor,
            aligner=lambda _settings: aligner(),
        )
        with TestClient(app, raise_server_exceptions=False) as client:
            client.runtime = app.state.runtime
            if wait:
                wait_until(lambda: client.runtime.ready)
            yield client

    return start


@pytest.fixture
def client(serve):
    """A ready application on fakes."""
    with serve() as ready:
        yield ready
