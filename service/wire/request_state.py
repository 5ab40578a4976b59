"""What the middleware and the handlers record about one request, in its ASGI scope."""

from dataclasses import dataclass

from starlette.types import Scope

KEY = "wplus"


@dataclass(slots=True)
class RequestState:
    """Notes on one request.

    Attributes:
        request_id: Its id in the answer and in the log.
        retry_after_s: Retry-After of an answer of 429 or 503.
        owner: The caller; empty until the key has been checked.
        deadline_s: Event-loop time by which to answer; None until the upload is in.
        outcome: Outcome of its error, from the table, for the metrics; None without an error.
        problem: Code of its error, likewise.
    """

    request_id: str = ""
    retry_after_s: int = 1
    owner: str = ""
    deadline_s: float | None = None
    outcome: str | None = None
    problem: str = "unknown"


def state_of(scope: Scope) -> RequestState:
    """Return the request's notes; the first call creates them."""
    state: RequestState = scope.setdefault("state", {}).setdefault(KEY, RequestState())
    return state
