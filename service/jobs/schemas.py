"""Models of the answers about jobs."""

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_core.metrics.identity import is_same_person
from service.jobs.store import Fields
from service.redis_keys import FILM
from service.wire.schemas import CodeAnswer, NullsWritten

FIGURES = ("loss", "psnr", "lpips", "identity_similarity", "eta_s")
State = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class JobProgress(NullsWritten):
    """Progress of a job as of its last heartbeat; what no step has measured yet is null.

    The first steps are scored by an image head, if there is one, at its size instead of 256 px.
    """

    step: int = Field(description="Updates done.")
    steps: int = Field(description="Updates requested.")
    phase: Literal["code", "detail"] | None = Field(
        description="What the latest step was on: first the code, then, unless `detail=false` was "
        "asked for, the detail."
    )
    loss: float | None = Field(description="Of the current code: MSE plus perceptual distance.")
    psnr: float | None = Field(description="Of the current image, in dB, at 256 px.")
    lpips: float | None = Field(description="Perceptual distance of the current image, at 256 px.")
    identity_similarity: float | None = Field(
        description="Of the current image to the photo, as in /embed; also null if the worker "
        "has no recogniser."
    )
    same_person: bool | None = Field(
        description="Whether that is enough for the same person, as in /embed; null likewise."
    )
    eta_s: float | None = Field(
        description="Estimated seconds left at the current pace; null if not known yet."
    )
    warming_up: bool = Field(
        default=False,
        description="Whether it is running at a pace not known yet: the networks are still being "
        "compiled, or too few steps are done.",
    )


class FilmProgress(NullsWritten):
    """Progress of a film as of its last heartbeat."""

    phase: Literal["read", "edit", "join"] | None = Field(
        description="First every frame's face is found (`read`), then edited (`edit`), then the "
        "parts and the sound are joined (`join`); null before the first frame."
    )
    done: int = Field(description="Frames done in this phase.")
    total: int | None = Field(description="Frames of the film; null if its file does not say.")
    eta_s: float | None = Field(
        description="Estimated seconds left at the current pace; null if not known yet."
    )


class JobError(BaseModel):
    """Why a job failed."""

    type: str = Field(
        description="crash-loop, bad-job or internal; of films also disk-full, or the code of a "
        "problem such as no-face.",
        examples=["crash-loop"],
    )
    detail: str = Field(description="What happened, in a sentence.")


class AnyJobAnswer(BaseModel):
    """What all jobs have in common."""

    id: str = Field(description="Id of the job, as in its URLs.")
    state: State = Field(description="Where it is in its life; the last three states are final.")
    created: datetime = Field(description="When it was submitted.")
    started: datetime | None = Field(default=None, description="When a worker first took it.")
    finished: datetime | None = Field(default=None, description="When it ended.")
    position: int | None = Field(
        default=None, description="Number of jobs ahead of it, if it is waiting; not in lists."
    )
    attempts: int = Field(description="Number of times a worker has taken it.")
    error: JobError | None = Field(default=None, description="Why it failed, if it did.")
    urls: dict[str, str] = Field(description="URLs of the job, its events, preview and result.")


class JobAnswer(AnyJobAnswer):
    """A refine job."""

    kind: Literal["refine"] = Field(default="refine", description="What it does.")
    start: Literal["embedding", "mean", "code"] = Field(description="What it started from.")
    progress: JobProgress = Field(description="How far it is.")
    lpips_net: str | None = Field(default=None, description="Name of the perceptual distance.")
    ended_by: Literal["steps", "time_budget", "target_lpips"] | None = Field(
        default=None, description="Why a job that succeeded stopped."
    )


class FilmFigures(BaseModel):
    """What an edited film is."""

    frames: int = Field(description="Its frames.")
    frames_with_face: int = Field(description="Those that show the face.")
    flicker: float | None = Field(
        default=None,
        description="Change of the face from frame to frame, relative to the film that was sent.",
    )
    sound: bool = Field(description="Whether it has sound.")
    width_px: int = Field(description="Its width.")
    height_px: int = Field(description="Its height.")
    size_bytes: int = Field(description="Size of its file.")


class FilmJobAnswer(AnyJobAnswer):
    """A job that edits a film."""

    kind: Literal["film"] = Field(default="film", description="What it does.")
    directions: dict[str, float] = Field(description="What is changed, and how far.")
    progress: FilmProgress = Field(description="How far it is.")
    film: FilmFigures | None = Field(
        default=None, description="What has been made, of a job that succeeded."
    )


EitherJob = Annotated[JobAnswer | FilmJobAnswer, Field(discriminator="kind")]


class JobsAnswer(BaseModel):
    """The caller's jobs, the newest first."""

    jobs: list[EitherJob] = Field(description="As in GET /jobs/{job_id}, without `position`.")


class CurvePoint(BaseModel):
    """Measurements of one step; steps scored by an image head do not compare with later ones."""

    step: int = Field(description="Number of the update.")
    loss: float | None = Field(description="MSE plus perceptual distance.")
    psnr: float | None = Field(description="In dB.")
    lpips: float | None = Field(description="Perceptual distance.")


class RefineAnswer(CodeAnswer):
    """Result of a job: the code with the lowest loss, its image, and the curve."""

    model_config = ConfigDict(json_schema_extra={})  # not its parent's example

    job: JobAnswer = Field(description="The job.")
    curve: list[CurvePoint] = Field(description="Measurements of every step.")


def job_answer(fields: Fields, position: int | None = None) -> JobAnswer | FilmJobAnswer:
    """Build a job's answer from the fields of its hash and its `id`."""
    if fields.get("kind") == FILM:
        return film_answer(fields, position)
    return refine_answer(fields, position)


def refine_answer(fields: Fields, position: int | None = None) -> JobAnswer:
    """Build a refine job's answer."""
    return JobAnswer.model_validate(
        _common(fields, position)
        | {
            "start": fields["start"],
            "progress": job_progress(fields),
            "lpips_net": fields.get("lpips_net"),
            "ended_by": fields.get("ended_by"),
        }
    )


def film_answer(fields: Fields, position: int | None = None) -> FilmJobAnswer:
    """Build the answer of a job that edits a film."""
    report = json.loads(fields["report"]) if "report" in fields else None
    return FilmJobAnswer.model_validate(
        _common(fields, position)
        | {
            "directions": json.loads(fields["directions"]),
            "progress": film_progress(fields),
            "film": report,
        }
    )


def _common(fields: Fields, position: int | None) -> dict[str, object]:
    path = f"/jobs/{fields['id']}"
    error = None
    if "error_type" in fields:
        error = JobError(type=fields["error_type"], detail=fields.get("error", ""))
    return {
        "id": fields["id"],
        "state": fields["state"],
        "created": _time(fields["created"]),
        "started": _time(fields.get("started")),
        "finished": _time(fields.get("finished")),
        "position": position,
        "attempts": fields["attempts"],
        "error": error,
        "urls": {"self": path}
        | {name: f"{path}/{name}" for name in ("events", "preview", "result")},
    }


def progress_of(fields: Fields) -> JobProgress | FilmProgress:
    """Build a job's progress from the fields of its hash or of an event."""
    return film_progress(fields) if fields.get("kind") == FILM else job_progress(fields)


def film_progress(fields: Fields) -> FilmProgress:
    """Build a film's progress."""
    is_running = fields["state"] == "running"
    return FilmProgress.model_validate(
        {
            "phase": fields.get("phase") or None,
            "done": fields.get("done", 0),
            "total": fields.get("total") or None,
            "eta_s": (fields.get("eta_s") or None) if is_running else None,
        }
    )


def job_progress(fields: Fields) -> JobProgress:
    """Build a refine job's progress."""
    figures = {name: fields.get(name) or None for name in FIGURES}
    if fields["state"] != "running":  # left by a worker that handed the job back
        figures["eta_s"] = None
    similarity = figures["identity_similarity"]
    return JobProgress.model_validate(
        figures
        | {
            "same_person": is_same_person(None if similarity is None else float(similarity)),
            "phase": fields.get("phase") or None,
            "step": fields.get("step"),
            "steps": fields.get("steps"),
            "warming_up": fields["state"] == "running" and figures["eta_s"] is None,
        }
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromtimestamp(float(text), UTC)
