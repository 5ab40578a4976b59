"""What the middleware and the handlers note about one request, in its ASGI scope."""

from dataclasses import dataclass

from starlette.types import Scope

KEY = "wplus"


@dataclass(slots=True)
class RequestState:
    """One request's notes.

    Attributes:
        request_id: Its name in the answer and in the log.
        retry_after_s: Retry-After of an answer of 429 or 503.
        owner: The caller; empty until the key has been checked.
        deadline_s: Event-loop time by which to answer; None until the upload is in.
        outcome: Of an error's row in the table, for the metrics; None without an error.
        problem: The error's code, likewise.
    """

    request_id: str = ""
    retry_after_s: int = 1
    owner: str = ""
    deadline_s: float | None = None
    outcome: str | None = None
    problem: str = "unknown"


def state_of(scope: Scope) -> RequestState:
    """Return the request's notes; the first call begins them."""
    state: RequestState = scope.setdefault("state", {}).setdefault(KEY, RequestState())
    return state
