"""The service's errors, and the one table that says what a client gets for each.

Data only; `problems.py` renders it. A class not in the table answers as its nearest parent does.
"""

from dataclasses import dataclass
from typing import Literal

from model_core.errors import (
    BrokenImageError,
    CheckpointError,
    ImageRejectedError,
    InvalidInputError,
    ModelMismatchError,
    NoEmbedderError,
    NoFaceError,
    TooManyPixelsError,
    TooSmallError,
    UnsupportedImageError,
    WplusError,
)

Outcome = Literal["invalid", "no_face", "rejected", "timeout", "error"]


class QueueFullError(WplusError):
    """The queue holds as many entries as it may."""


class DeadlineExceededError(WplusError):
    """The answer was not ready by the caller's deadline."""


class BatcherClosedError(WplusError):
    """The batcher takes no entries: it has not started, is closing, or its loop has died."""


class BatchContractError(WplusError):
    """A run answered with another number of outputs than it was given inputs."""


class InvalidRequestError(WplusError):
    """The request's fields break their rules.

    Attributes:
        errors: A JSON pointer and a sentence for each broken rule.
    """

    def __init__(self, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or []


class EmptyBodyError(WplusError):
    """A body is required, and there is none."""


class TooLargeError(WplusError):
    """The body, or one upload in it, has more bytes than it may."""


class UploadTimeoutError(WplusError):
    """The request's body has not come in within its time."""


class UnsupportedMediaTypeError(WplusError):
    """The request's Content-Type is none that the endpoint reads."""


class NotAcceptableError(WplusError):
    """The request's Accept names nothing that the endpoint writes."""


class InvalidCodeError(InvalidInputError):
    """A W+ code has the wrong layout, shape or values."""


class UnknownLatentError(WplusError):
    """A latent id is not, or no longer, known."""


class UnknownJobError(WplusError):
    """A job id is not, or no longer, known to the caller."""


class NoResultError(WplusError):
    """A job has not ended, or ended before it had anything to show."""


class IdempotencyError(WplusError):
    """An idempotency key was used before, for another request."""


class JobQueueFullError(WplusError):
    """As many jobs wait as may."""


class JobsUnavailableError(WplusError):
    """There is no Redis for the jobs, or it does not answer."""


class LatentsUnavailableError(WplusError):
    """The Redis of the latent ids does not answer."""


class UnauthorizedError(WplusError):
    """An API key is asked for, and there is none that opens the service."""


class RateLimitedError(WplusError):
    """The caller has made as many requests as it may in a time."""


class OverloadedError(WplusError):
    """As many requests as may be are being served."""


class NotReadyError(WplusError):
    """Weights are loading or warming up."""


class DrainingError(WplusError):
    """The service is stopping."""


class EngineDownError(WplusError):
    """The engine has failed to load, hangs, or its device no longer answers."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a client gets for an error.

    Attributes:
        error: The class, its subclasses included.
        status: HTTP status.
        code: Stable name for programs; part of the problem's type.
        title: One sentence for people, the same each time.
        outcome: Value of the metric label.
        advice: What the client can do; where the status is 500 or more it is all that is answered.
    """

    error: type[Exception]
    status: int
    code: str
    title: str
    outcome: Outcome = "invalid"
    advice: str = ""


AGAIN = "Try again in a moment."
STOPPING = "The service is shutting down. Try again in a moment: it may be restarting."
TABLE: tuple[Rule, ...] = (
    Rule(InvalidRequestError, 422, "invalid-request", "A field of the request breaks its rule"),
    Rule(EmptyBodyError, 400, "empty-body", "The request has no body"),
    Rule(TooLargeError, 413, "too-large", "The upload has too many bytes"),
    Rule(UploadTimeoutError, 408, "upload-timeout", "The upload took too long"),
    Rule(UnsupportedMediaTypeError, 415, "unsupported-media-type", "Unknown Content-Type"),
    Rule(NotAcceptableError, 406, "not-acceptable", "No such representation"),
    Rule(UnsupportedImageError, 415, "unsupported-image", "Not an image of a format read here"),
    Rule(BrokenImageError, 422, "broken-image", "The image is truncated or damaged"),
    Rule(TooManyPixelsError, 413, "too-many-pixels", "The image has too many pixels"),
    Rule(TooSmallError, 422, "image-too-small", "The image has too few pixels"),
    Rule(ImageRejectedError, 422, "image-rejected", "The image cannot be taken in"),
    Rule(NoFaceError, 422, "no-face", "No face was found", "no_face"),
    Rule(NoEmbedderError, 422, "no-embedder", "No network embeds photos here"),
    Rule(InvalidCodeError, 422, "invalid-code", "The W+ code breaks a rule"),
    Rule(InvalidInputError, 422, "invalid-input", "A value breaks its rule"),
    Rule(ModelMismatchError, 409, "model-mismatch", "The code belongs to another generator"),
    Rule(UnknownLatentError, 404, "unknown-latent", "The latent id is not known"),
    Rule(UnknownJobError, 404, "unknown-job", "The job is not known"),
    Rule(NoResultError, 409, "no-result", "The job has nothing to show"),
    Rule(IdempotencyError, 422, "idempotency-mismatch", "The key stands for another request"),
    Rule(JobQueueFullError, 429, "job-queue-full", "Too many jobs wait", "rejected"),
    Rule(
        JobsUnavailableError,
        503,
        "jobs-unavailable",
        "Jobs cannot be reached",
        "rejected",
        f"The store of the jobs does not answer, or there is none here. {AGAIN}",
    ),
    Rule(
        LatentsUnavailableError,
        503,
        "latents-unavailable",
        "Latents cannot be reached",
        "error",
        f"The store of the latent ids does not answer. {AGAIN}",
    ),
    Rule(UnauthorizedError, 401, "unauthorized", "An API key is needed", "rejected"),
    Rule(RateLimitedError, 429, "rate-limited", "Too many requests of this caller", "rejected"),
    Rule(OverloadedError, 429, "overloaded", "Too many requests are being served", "rejected"),
    Rule(QueueFullError, 429, "overloaded", "Too many requests are being served", "rejected"),
    Rule(
        NotReadyError,
        503,
        "not-ready",
        "The service is getting ready",
        "rejected",
        f"The service is loading its weights. {AGAIN}",
    ),
    Rule(DrainingError, 503, "draining", "The service is stopping", "rejected", STOPPING),
    Rule(BatcherClosedError, 503, "draining", "The service is stopping", "rejected", STOPPING),
    Rule(
        EngineDownError,
        503,
        "engine-down",
        "The engine does not answer",
        "error",
        "The networks do not answer: the service has to be restarted. Try again in a few minutes.",
    ),
    Rule(
        DeadlineExceededError,
        504,
        "deadline",
        "The answer took too long",
        "timeout",
        "The service is busy, or this is too much for one request. Try again in a moment, or ask "
        "for less (fewer steps, a smaller budget_ms).",
    ),
    Rule(BatchContractError, 500, "internal", "The service failed", "error"),
    Rule(CheckpointError, 500, "internal", "The service failed", "error"),
    Rule(Exception, 500, "internal", "The service failed", "error"),
)
_RULES = {rule.error: rule for rule in TABLE}


def rule_of(error: type[Exception]) -> Rule:
    """Find the rule of an error class, or of its nearest parent in the table."""
    return next(_RULES[parent] for parent in error.__mro__ if parent in _RULES)
