"""The error table: complete, stable, and every row answered as a problem."""

import inspect
import json

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

import model_core.errors
import service.errors
import service.serving.batcher
from model_core.errors import WplusError
from service.errors import TABLE, InvalidRequestError, rule_of
from service.middleware.last_handler import LastHandlerMiddleware
from service.middleware.request_id import RequestIdMiddleware
from service.observability.metrics import OUTCOMES
from service.wire import problems

STABLE = {
    "invalid-request": 422,
    "empty-body": 400,
    "too-large": 413,
    "upload-timeout": 408,
    "unsupported-media-type": 415,
    "not-acceptable": 406,
    "unsupported-image": 415,
    "broken-image": 422,
    "too-many-pixels": 413,
    "image-too-small": 422,
    "image-rejected": 422,
    "unsupported-film": 422,
    "broken-film": 422,
    "film-rejected": 422,
    "film-too-large": 413,
    "films-off": 501,
    "films-full": 507,
    "missing-extra": 501,
    "no-face": 422,
    "no-embedder": 422,
    "invalid-code": 422,
    "invalid-input": 422,
    "model-mismatch": 409,
    "unknown-latent": 404,
    "latents-unavailable": 503,
    "unknown-job": 404,
    "no-result": 409,
    "idempotency-mismatch": 422,
    "job-queue-full": 429,
    "jobs-unavailable": 503,
    "signing-unavailable": 503,
    "unauthorized": 401,
    "rate-limited": 429,
    "overloaded": 429,
    "not-ready": 503,
    "draining": 503,
    "engine-down": 503,
    "deadline": 504,
    "internal": 500,
}


def test_codes_and_statuses_are_those_that_clients_know():
    assert {rule.code: rule.status for rule in TABLE} == STABLE
    assert {rule.outcome for rule in TABLE} <= set(OUTCOMES)


def test_every_error_class_has_a_row():
    listed = {rule.error for rule in TABLE}
    for module in (model_core.errors, service.serving.batcher, service.errors):
        for _, error in inspect.getmembers(module, inspect.isclass):
            if issubclass(error, WplusError) and error is not WplusError:
                assert error in listed, error


def test_a_subclass_answers_as_its_nearest_parent():
    class NewError(service.errors.TooSmallError):
        pass

    assert rule_of(NewError).code == "image-too-small"
    assert rule_of(KeyError).status == 500


@pytest.fixture
def raising():
    """An application whose only endpoint raises what the test puts there."""
    app = FastAPI()
    app.add_middleware(LastHandlerMiddleware)
    app.add_middleware(RequestIdMiddleware, retry_after_s=7)
    problems.install(app)
    error = [Exception()]

    @app.get("/raise")
    async def fail(number: int = 0):
        raise error[0]

    client = TestClient(app)
    client.error = error
    return client


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.error.__name__)
def test_every_row_answers_a_problem(raising, rule):
    raising.error[0] = rule.error("the detail")
    answer = raising.get("/raise", headers={"X-Request-ID": "mine"})
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "mine"
    assert answer.status_code == body["status"] == rule.status
    assert body["type"] == f"urn:wplus:problem:{rule.code}"
    assert (body["code"], body["title"], body["request_id"]) == (rule.code, rule.title, "mine")
    assert body["instance"] == "/raise"
    assert ("the detail" in body["detail"]) == (rule.status < 500)
    assert answer.headers.get("retry-after") == ("7" if rule.status in (429, 503) else None)
    challenge = 'Bearer realm="wplus"' if rule.status == 401 else None
    assert answer.headers.get("www-authenticate") == challenge


def test_unknown_failures_show_only_the_request_id(raising, caplog):
    raising.error[0] = RuntimeError("secret path /etc/x")
    answer = raising.get("/raise", headers={"X-Request-ID": "abc"})
    assert answer.status_code == 500
    assert answer.json()["detail"] == "See request id abc in the log."
    assert "secret" not in answer.text
    assert "secret path /etc/x" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.error.__name__)
def test_a_temporary_failure_says_what_the_caller_can_do(raising, rule):
    raising.error[0] = rule.error("the detail")
    detail = raising.get("/raise", headers={"X-Request-ID": "mine"}).json()["detail"]
    assert ("again in a" in detail) == (rule.status in (503, 504))
    assert ("See request id mine in the log." in detail) == (rule.status >= 500)


def test_frameworks_own_errors_are_problems_too(raising):
    answer = raising.get("/raise?number=x")
    assert answer.json()["code"] == "invalid-request"
    assert answer.json()["errors"][0]["pointer"] == "#/query/number"
    assert raising.get("/nowhere").json()["code"] == "not-found"
    wrong = raising.post("/raise")
    assert (wrong.json()["code"], wrong.headers["allow"]) == ("method-not-allowed", "GET")
    raising.error[0] = HTTPException(418, "short and stout")
    teapot = raising.get("/raise")
    assert (teapot.status_code, teapot.json()["code"]) == (418, "http-error")


def test_field_errors_are_listed(raising):
    row = {"pointer": "#/lam", "detail": "must be small"}
    raising.error[0] = InvalidRequestError("lam: must be small", [row])
    assert raising.get("/raise").json()["errors"] == [row]


def test_openapi_responses_come_from_the_table():
    described = problems.responses(
        service.errors.UnknownLatentError, service.errors.OverloadedError, Exception
    )
    assert sorted(described) == [404, 429, 500]
    assert "`unknown-latent`" in described[404]["description"]
    assert "application/problem+json" in described[404]["content"]
    json.dumps(described)
