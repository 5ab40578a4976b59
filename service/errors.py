"""The service's errors, and the one table that says what a client gets for each.

Data only; `problems.py` renders it. A class missing from the table uses its nearest parent's rule.
"""

from dataclasses import dataclass
from typing import Literal

from model_core.errors import (
    BrokenFilmError,
    BrokenImageError,
    CheckpointError,
    FilmRejectedError,
    FilmTooLargeError,
    ImageRejectedError,
    InvalidInputError,
    MissingExtraError,
    ModelMismatchError,
    NoEmbedderError,
    NoFaceError,
    Stopped,
    TooManyPixelsError,
    TooSmallError,
    UnsupportedFilmError,
    UnsupportedImageError,
    WplusError,
)

Outcome = Literal["invalid", "no_face", "rejected", "timeout", "error"]


class QueueFullError(WplusError):
    """The queue is full."""


class DeadlineExceededError(WplusError):
    """The answer was not ready by the caller's deadline."""


class BatcherClosedError(WplusError):
    """The batcher accepts no entries: it has not started, is closing, or its loop has died."""


class BatchContractError(WplusError):
    """A run returned a different number of outputs than it was given inputs."""


class InvalidRequestError(WplusError):
    """One or more fields of the request are invalid.

    Attributes:
        errors: A JSON pointer and a sentence for each invalid field.
    """

    def __init__(self, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or []


class EmptyBodyError(WplusError):
    """A body is required, but there is none."""


class TooLargeError(WplusError):
    """The body, or one upload in it, has too many bytes."""


class UploadTimeoutError(WplusError):
    """The request's body did not arrive in time."""


class UnsupportedMediaTypeError(WplusError):
    """The endpoint does not read the request's Content-Type."""


class NotAcceptableError(WplusError):
    """The endpoint writes nothing that the request accepts."""


class InvalidCodeError(InvalidInputError):
    """A W+ code has the wrong layout, shape or values."""


class UnknownLatentError(WplusError):
    """A latent id is unknown or has expired."""


class UnknownJobError(WplusError):
    """A job id is unknown to the caller or has expired."""


class NoResultError(WplusError):
    """A job has not ended, or ended before it had anything to show."""


class IdempotencyError(WplusError):
    """An idempotency key was used before, for a different request."""


class JobQueueFullError(WplusError):
    """The job queue is full."""


class JobsUnavailableError(WplusError):
    """There is no Redis for jobs, or it does not answer."""


class FilmsOffError(WplusError):
    """This service takes no films."""


class FilmElsewhereError(FilmsOffError):
    """A film is not in the folder that this service knows."""


class FilmsFullError(WplusError):
    """There is no room on disk for a film."""


class LatentsUnavailableError(WplusError):
    """The Redis for latent ids does not answer."""


class SigningError(WplusError):
    """An image cannot be signed."""


class UnauthorizedError(WplusError):
    """An API key is required, and the request has no valid one."""


class RateLimitedError(WplusError):
    """The caller has exceeded its rate limit."""


class OverloadedError(WplusError):
    """The service is at its concurrency limit."""


class NotReadyError(WplusError):
    """Weights are loading or warming up."""


class DrainingError(WplusError):
    """The service is stopping."""


class EngineDownError(WplusError):
    """The engine failed to load, hangs, or its device no longer answers."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a client gets for an error.

    Attributes:
        error: The class; its subclasses are included.
        status: HTTP status.
        code: Stable name for programs; part of the problem's type.
        title: One sentence for people, the same each time.
        outcome: Value of the metric label.
        advice: What the client can do; for a status of 500 or more it is all that is answered.
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
    Rule(InvalidRequestError, 422, "invalid-request", "A field of the request is invalid"),
    Rule(EmptyBodyError, 400, "empty-body", "The request has no body"),
    Rule(TooLargeError, 413, "too-large", "The upload has too many bytes"),
    Rule(UploadTimeoutError, 408, "upload-timeout", "The upload took too long"),
    Rule(UnsupportedMediaTypeError, 415, "unsupported-media-type", "Unknown Content-Type"),
    Rule(NotAcceptableError, 406, "not-acceptable", "No representation matches Accept"),
    Rule(UnsupportedImageError, 415, "unsupported-image", "The image format is not supported"),
    Rule(BrokenImageError, 422, "broken-image", "The image is truncated or damaged"),
    Rule(TooManyPixelsError, 413, "too-many-pixels", "The image has too many pixels"),
    Rule(TooSmallError, 422, "image-too-small", "The image has too few pixels"),
    Rule(ImageRejectedError, 422, "image-rejected", "The image cannot be processed"),
    Rule(NoFaceError, 422, "no-face", "No face was found", "no_face"),
    Rule(NoEmbedderError, 422, "no-embedder", "There is no embedding network"),
    Rule(InvalidCodeError, 422, "invalid-code", "The W+ code is invalid"),
    Rule(InvalidInputError, 422, "invalid-input", "A value is invalid"),
    Rule(ModelMismatchError, 409, "model-mismatch", "The code belongs to another generator"),
    Rule(UnknownLatentError, 404, "unknown-latent", "The latent id is unknown"),
    Rule(UnknownJobError, 404, "unknown-job", "The job is unknown"),
    Rule(NoResultError, 409, "no-result", "The job has no result"),
    Rule(IdempotencyError, 422, "idempotency-mismatch", "The key was used for another request"),
    Rule(JobQueueFullError, 429, "job-queue-full", "Too many jobs are waiting", "rejected"),
    Rule(
        JobsUnavailableError,
        503,
        "jobs-unavailable",
        "Jobs are unavailable",
        "rejected",
        f"The job store does not answer, or this service has none. {AGAIN}",
    ),
    Rule(FilmTooLargeError, 413, "film-too-large", "The film is too long, or its frames too large"),
    Rule(UnsupportedFilmError, 422, "unsupported-film", "The film's format is not supported"),
    Rule(BrokenFilmError, 422, "broken-film", "The film is truncated or damaged"),
    Rule(FilmRejectedError, 422, "film-rejected", "The film cannot be processed"),
    Rule(
        FilmsOffError,
        501,
        "films-off",
        "This service takes no films",
        "rejected",
        "This service takes no films: WPLUS_FILMS must be a folder that the service and its "
        "workers can write to.",
    ),
    Rule(
        FilmElsewhereError,
        501,
        "films-off",
        "This service takes no films",
        "rejected",
        "This service does not find the film: WPLUS_FILMS must be the folder that it is in, to "
        "read or delete it. A job that was to be cancelled is cancelled all the same.",
    ),
    Rule(
        MissingExtraError,
        501,
        "missing-extra",
        "Packages that the call needs are not installed",
        "rejected",
        "This service takes no films: pip install 'wplus[film]' adds the packages for them.",
    ),
    Rule(
        FilmsFullError,
        507,
        "films-full",
        "There is no room for the film",
        "rejected",
        "There is no room for another film. Delete films that you have saved (DELETE "
        "/jobs/{job_id}), or try again later.",
    ),
    Rule(
        LatentsUnavailableError,
        503,
        "latents-unavailable",
        "Latent ids are unavailable",
        "error",
        f"The latent id store does not answer. {AGAIN}",
    ),
    Rule(
        SigningError,
        503,
        "signing-unavailable",
        "Images cannot be signed",
        "error",
        f"The image could not be signed, and unsigned ones are not answered. {AGAIN}",
    ),
    Rule(UnauthorizedError, 401, "unauthorized", "An API key is required", "rejected"),
    Rule(RateLimitedError, 429, "rate-limited", "Too many requests from this caller", "rejected"),
    Rule(OverloadedError, 429, "overloaded", "Too many requests are being served", "rejected"),
    Rule(QueueFullError, 429, "overloaded", "Too many requests are being served", "rejected"),
    Rule(
        NotReadyError,
        503,
        "not-ready",
        "The service is starting",
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
        "The networks do not answer; the service must be restarted. Try again in a few minutes.",
    ),
    Rule(
        DeadlineExceededError,
        504,
        "deadline",
        "The answer took too long",
        "timeout",
        "The service is busy, or the request asks for too much. Try again in a moment, or ask "
        "for less (fewer steps, a smaller budget_ms).",
    ),
    Rule(BatchContractError, 500, "internal", "The service failed", "error"),
    Rule(Stopped, 500, "internal", "The service failed", "error"),
    Rule(CheckpointError, 500, "internal", "The service failed", "error"),
    Rule(Exception, 500, "internal", "The service failed", "error"),
)
_RULES = {rule.error: rule for rule in TABLE}


def rule_of(error: type[Exception]) -> Rule:
    """Find the rule of an error class, or of its nearest parent in the table."""
    return next(_RULES[parent] for parent in error.__mro__ if parent in _RULES)
