"""A job as an HTTP response."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from service.handlers.runtime import Runtime
from service.jobs.schemas import job_answer
from service.jobs.store import Fields
from service.redis_keys import TERMINAL
from service.wire.negotiation import JSON


async def job_response(
    request: Request, runtime: Runtime, fields: Fields, status: int = 200
) -> Response:
    """Answer a job, with Retry-After until it has ended."""
    position = None
    if fields["state"] == "queued":
        position = await runtime.jobs.store.position(fields["id"], fields.get("kind", ""))
    content = job_answer(fields, position).model_dump_json().encode()
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"'}
    if fields["state"] not in TERMINAL:
        headers["Retry-After"] = str(runtime.settings.retry_after_s)
    if status == 202:
        headers["Location"] = f"/jobs/{fields['id']}"
    elif request.method == "GET" and _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, status, headers, media_type=JSON)


def _is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names a tag, by weak comparison (RFC 9110, section 13.1.2).

    Our tags hold no commas; gateways that compress mark them as weak.
    """
    given = ",".join(request.headers.getlist("if-none-match")).split(",")
    tags = [each.strip().removeprefix("W/") for each in given]
    return tag in tags or "*" in tags
