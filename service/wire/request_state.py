"""What the middleware and the handlers record about one request, in its ASGI scope."""

from collections.abc import Callable
from dataclasses import dataclass, field

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
        is_head: Whether only the head of its answer is sent.
        on_download: What ends its place at the gate and its deadline, once it only sends a file.
    """

    request_id: str = ""
    retry_after_s: int = 1
    owner: str = ""
    deadline_s: float | None = None
    outcome: str | None = None
    problem: str = "unknown"
    is_head: bool = False
    on_download: list[Callable[[], None]] = field(default_factory=list)

    def begin_download(self) -> None:
        """Give up the place at the gate and the deadline, which are for work on the device."""
        for callback in self.on_download:
            callback()


def state_of(scope: Scope) -> RequestState:
    """Return the request's notes; the first call creates them."""
    state: RequestState = scope.setdefault("state", {}).setdefault(KEY, RequestState())
    return state
