"""The header that names a request, so that it can be repeated."""

import hashlib

from starlette.requests import Request

from service.errors import InvalidRequestError

MAX_KEY = 200


def idempotency_key(request: Request) -> str:
    """Read the Idempotency-Key and hash it, which bounds what Redis holds; empty without one.

    Raises:
        InvalidRequestError: If it is too long.
    """
    key = request.headers.get("idempotency-key", "")
    if len(key) > MAX_KEY:
        raise InvalidRequestError(
            f"Idempotency-Key must have at most {MAX_KEY} characters, got {len(key)}"
        )
    return hashlib.sha256(key.encode()).hexdigest() if key else ""
