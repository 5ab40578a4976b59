"""One request for work: its options, caller and timings, and the parts that serve it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import Request

from service.errors import InvalidRequestError
from service.handlers.runtime import Runtime
from service.observability.metrics import operation_of
from service.serving.loaded import Loaded
from service.serving.timings import StageTimings
from service.wire.options import Options
from service.wire.problems import pointer_of
from service.wire.request_state import state_of
from service.wire.sources import Source

Opts = TypeVar("Opts", bound=Options)
AnyOptions = TypeVar("AnyOptions", bound=Options, covariant=True)
Named = list[tuple[str, Source]]


@dataclass(frozen=True, slots=True)
class RequestContext(Generic[AnyOptions]):
    """A request for work, parsed and validated.

    Attributes:
        runtime: The service's parts.
        loaded: The networks, the aligner and the directions.
        timings: Records how long its stages take.
        options: The request's options.
        sources: Its sources with their field names, in order.
        owner: Name of the caller, whose latent ids the request may use.
    """

    runtime: Runtime
    loaded: Loaded
    timings: StageTimings
    options: AnyOptions
    sources: Named
    owner: str

    @property
    def deadline_s(self) -> float | None:
        """Event-loop time by which the request must be answered; None for no limit."""
        return self.timings.deadline_s

    def only(self, *names: str) -> list[Source]:
        """Return the sources, one for each name, in that order.

        Raises:
            InvalidRequestError: If one is missing or given twice.
        """
        for name in names:
            count = len([1 for given, _ in self.sources if given == name])
            if count != 1:
                raise missing(name, f"{name} must be given once, got {count}")
        return [next(s for given, s in self.sources if given == name) for name in names]


def begin(
    request: Request,
    runtime: Runtime,
    options: Opts,
    sources: Named | None = None,
    op: str | None = None,
) -> RequestContext[Opts]:
    """Start serving a request whose body has been read.

    Args:
        request: The request.
        runtime: The service's parts.
        options: The request's options.
        sources: Its sources with their field names, in order.
        op: The operation that its times count towards; None takes it from the path.

    Raises:
        NotReadyError: If the service is still loading.
    """
    state = state_of(request.scope)
    op = op or operation_of(request.scope["path"])
    timings = StageTimings(op, runtime.telemetry, state.deadline_s)
    return RequestContext(
        runtime, runtime.require_loaded(), timings, options, sources or [], state.owner
    )


def missing(name: str, detail: str) -> InvalidRequestError:
    """Make the error for a source that is missing or wrong."""
    return InvalidRequestError(detail, [{"pointer": pointer_of(name), "detail": detail}])
