"""Requests made up from the OpenAPI document, right and wrong ones: none may break the service."""

import threading

import httpx2 as httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from service.app import create_app
from service.settings import Settings
from service.wire.examples import FORM_FIELDS
from tests.service.fakes import FakeAligner, FakePredictor, wait_until
from tests.service.jobs.conftest import Valkey

EXAMPLES = 30  # of each endpoint and mode
LEFT_OUT = [positive_data_acceptance, negative_data_rejection]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where the application listens, on stand-ins, by the server and job store of production."""
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    films = tmp_path_factory.mktemp("films")
    valkey.start()
    app = create_app(
        Settings(redis_url=valkey.url, films=films),
        predictor=lambda _settings: FakePredictor(),
        aligner=lambda _settings: FakeAligner(),
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started and app.state.runtime.ready)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    valkey.close()


def with_query(document):
    """Add the options of each form as query parameters, which they are too, where not listed."""
    for path in document["paths"].values():
        for call in path.values():
            content = call.get("requestBody", {}).get("content", {})
            fields = content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
            options = {name: schema for name, schema in fields.items() if name not in FORM_FIELDS}
            rows = [{"name": n, "in": "query", "schema": s} for n, s in options.items()]
            if rows:
                call["parameters"] = [*call.get("parameters", []), *rows]
    return document


def modes_of(operation):
    """Right requests always, wrong ones where there is something that can be wrong."""
    can_be_wrong = operation.body or operation.query  # any text may be a job's id
    return GenerationMode if can_be_wrong else (GenerationMode.POSITIVE,)


def test_no_request_crashes_it(url, subtests):
    """All of schemathesis's checks but two.

    No schema can say that bytes are a photo of a face, nor that an option in the body overrides
    one in the query, which may then be anything.
    """
    document = schemathesis.openapi.from_dict(with_query(httpx.get(f"{url}/openapi.json").json()))
    document.config.update(base_url=url)
    for result in document.get_all_operations():
        operation = result.ok()
        for mode in modes_of(operation):
            with subtests.test(operation=operation.label, mode=mode.name):

                @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=HealthCheck)
                @given(case=operation.as_strategy(generation_mode=mode))
                def try_out(case):
                    case.call_and_validate(excluded_checks=LEFT_OUT)

                try_out()
