"""Errors as application/problem+json (RFC 9457): rendering, handlers, OpenAPI responses.

A 5xx answer tells the client what to do, and the request id that finds the cause in the log; it
says nothing of the cause itself.
"""

import difflib
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from model_core.errors import WplusError
from service.errors import InvalidRequestError, rule_of
from service.wire.request_state import state_of
from service.wire.schemas import NUMBERS, OTHER
from service.wire.sentences import KNOWN_INSIDE, sentence_of

MEDIA_TYPE = "application/problem+json"
HTTP_CODES = {
    400: ("bad-request", "The request cannot be read"),
    404: ("not-found", "There is nothing at this path"),
    405: ("method-not-allowed", "The path does not take this method"),
}
RETRY_STATUSES = (429, 503)
MAX_ERRORS = 20  # most errors listed in an answer
MAX_PART = 64  # characters of a part of a pointer: it may be a key that the client made up
TAGS = (NUMBERS, OTHER)  # branches of a union, which pydantic lists among the fields

logger = logging.getLogger("service.wire.problems")


class FieldError(BaseModel):
    """One invalid field of a request."""

    pointer: str = Field(description="JSON pointer of the field.", examples=["#/lam"])
    detail: str = Field(description="What is wrong with it, in a sentence.")


class Problem(BaseModel):
    """An error as RFC 9457 defines it, with a stable code."""

    type: str = Field(
        description="URN that ends with the code.", examples=["urn:wplus:problem:no-face"]
    )
    title: str = Field(description="The kind of error, the same sentence each time.")
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(description="What happened to this request, in a sentence.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable name of the error.", examples=["no-face"])
    request_id: str = Field(description="What finds the request in the service's log.")
    errors: list[FieldError] = Field(default=[], description="Each invalid field.")


def problem(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    advice: str = "",
) -> Response:
    """Render a problem as a response; the detail of a 5xx is the advice and the request id."""
    state = state_of(scope)
    if status >= 500:
        detail = f"{advice} See request id {state.request_id} in the log.".lstrip()
    body = _describe(scope, status, code, title, detail, errors)
    extra = dict(headers or {})
    if status in RETRY_STATUSES:
        extra.setdefault("Retry-After", str(state.retry_after_s))
    if status == 408:
        extra.setdefault("Connection", "close")  # the rest of the body is still arriving
    if status == 401:
        extra.setdefault("WWW-Authenticate", 'Bearer realm="wplus"')
    content = body.model_dump_json(exclude_defaults=True)
    return Response(content, status, extra, media_type=MEDIA_TYPE)


def describe_refusal(scope: Scope, error: Exception) -> Problem:
    """Describe an error that concerns one of several photos; its status must be below 500."""
    rule = rule_of(type(error))
    errors = error.errors if isinstance(error, InvalidRequestError) else ()
    return _describe(scope, rule.status, rule.code, rule.title, str(error), errors)


def _describe(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Sequence[Mapping[str, str]],
) -> Problem:
    return Problem(
        type=f"urn:wplus:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        instance=scope["path"],
        code=code,
        request_id=state_of(scope).request_id,
        errors=[FieldError(**error) for error in errors],
    )


def problem_of(scope: Scope, error: Exception) -> Response:
    """Render an error by the table, and record its outcome and code for the metrics."""
    rule = rule_of(type(error))
    state = state_of(scope)
    state.outcome, state.problem = rule.outcome, rule.code
    if rule.status == 500:
        logger.error("request failed", exc_info=error)
    elif rule.status > 500 and rule.outcome != "rejected":
        logger.warning("request refused: %s", error)
    errors = error.errors if isinstance(error, InvalidRequestError) else ()
    return problem(
        scope, rule.status, rule.code, rule.title, str(error), errors=errors, advice=rule.advice
    )


def install(app: FastAPI, paths: Sequence[str] = ()) -> None:
    """Render every error that leaves the application as a problem.

    Args:
        app: The application.
        paths: The paths that it serves, for a hint if one is misspelt.
    """

    async def on_error(request: Request, error: Exception) -> Response:
        return problem_of(request.scope, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        errors = cast(RequestValidationError, error).errors()
        return problem_of(request.scope, invalid_request(errors))

    async def on_http(request: Request, error: Exception) -> Response:
        refusal = cast(HTTPException, error)
        status = refusal.status_code
        code, title = HTTP_CODES.get(status, ("http-error", "The request failed"))
        detail = refusal.detail
        if detail == HTTPStatus(status).phrase:  # the framework's own
            detail = _explain(request, status, detail, refusal.headers or {}, paths)
        return problem(request.scope, status, code, title, detail, headers=refusal.headers)

    app.add_exception_handler(WplusError, on_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def _explain(
    request: Request,
    status: int,
    phrase: str,
    headers: Mapping[str, str],
    paths: Sequence[str],
) -> str:
    """Explain what a status from the framework means here."""
    path = request.scope["path"][:MAX_PART]
    if status == 405:
        return f"{path} takes {headers.get('Allow', 'another method')}, got {request.method}"
    if status != 404:
        return phrase
    near = difflib.get_close_matches(path, paths, n=1)
    hint = f"did you mean {near[0]}?" if near else "GET /openapi.json lists the endpoints"
    return f"There is nothing at {path}: {hint}"


def invalid_request(errors: Sequence[Any], known: Sequence[str] = ()) -> InvalidRequestError:
    """Convert the first of pydantic's errors into ours, with JSON pointers to the fields.

    Args:
        errors: As pydantic lists them.
        known: The fields that exist, for a hint if one is misspelt.
    """
    rows = []
    for error in errors[:MAX_ERRORS]:
        parts = [part for part in error["loc"] if part not in TAGS]
        pointer = pointer_of(*parts)
        name = pointer[2:].removeprefix("query/")
        names = known if len(parts) == 1 else KNOWN_INSIDE
        rows.append({"pointer": pointer, "detail": sentence_of(error, name, names)})
    first = rows[0]["detail"] if rows else "request must be valid, got one that is not"
    return InvalidRequestError(first, rows)


def pointer_of(*parts: str | int) -> str:
    """Write a JSON pointer as a URI fragment would start it (RFC 6901, section 3, escapes)."""
    short = (str(part)[:MAX_PART] for part in parts)
    return "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in short)


def responses(*errors: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """Describe for OpenAPI how the given errors are answered, according to the table."""
    by_status: dict[int | str, list[str]] = {}
    for error in errors:
        rule = rule_of(error)
        by_status.setdefault(rule.status, []).append(f"`{rule.code}`: {rule.title}.")
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": " ".join(dict.fromkeys(lines)),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status, lines in sorted(by_status.items(), key=str)
    }
