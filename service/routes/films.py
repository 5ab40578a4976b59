"""POST /films: submit a film, and get a job that edits the face in it."""

import hashlib
import json

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.errors import (
    BrokenFilmError,
    FilmTooLargeError,
    MissingExtraError,
    UnsupportedFilmError,
)
from service.directions import requested_values
from service.errors import (
    EmptyBodyError,
    FilmsFullError,
    FilmsOffError,
    IdempotencyError,
    JobQueueFullError,
    JobsUnavailableError,
    TooLargeError,
)
from service.handlers.films import check_film, read_film, receive
from service.handlers.idempotency import idempotency_key
from service.handlers.job_response import job_response
from service.handlers.runtime import Owner, Runtime, Shared
from service.jobs.film_folder import FilmFolder
from service.jobs.film_upload import Upload
from service.jobs.schemas import FilmJobAnswer
from service.jobs.store import Submission, new_job_id
from service.openapi import DEVICE_ERRORS, describe_film
from service.redis_keys import FILM
from service.wire.negotiation import JSON, negotiate
from service.wire.options import FilmOptions

router = APIRouter(tags=["jobs"])


@router.post(
    "/films",
    summary="Start to edit a film",
    operation_id="edit_film",
    **describe_film(
        FilmOptions,
        FilmJobAnswer,
        (
            *DEVICE_ERRORS,
            EmptyBodyError,
            BrokenFilmError,
            UnsupportedFilmError,
            FilmTooLargeError,
            TooLargeError,
            FilmsFullError,
            FilmsOffError,
            MissingExtraError,
            IdempotencyError,
            JobQueueFullError,
            JobsUnavailableError,
        ),
    ),
)
async def edit_film(request: Request, runtime: Shared, owner: Owner) -> Response:
    """Submit a film and what to change in its face; the answer is a job, as that of /refine.

    Send a form with the file as `film`, or the file itself with the options in the query. A request
    that is repeated with the same `Idempotency-Key` gets the same job.
    """
    negotiate(request, (JSON,))
    store, films = runtime.jobs.store, runtime.jobs.films
    folder = await films.folder()
    key = idempotency_key(request)
    job_id = new_job_id()
    with films.uploads.enter():
        async with receive(request, folder, job_id) as upload:
            options = await read_film(request, upload)
            fields = _fields(runtime, folder, options, upload)  # refuses unknown directions
            await check_film(upload.path)
            job = Submission(
                owner,
                None,
                fields,
                key,
                _fingerprint(options, upload.sha256),
                kind=FILM,
                job_id=job_id,
            )
            # Without an answer the job may be queued all the same; if not, the sweep finds out.
            upload.keep()
            try:
                job_id, is_new = await store.submit(job)
            except (IdempotencyError, JobQueueFullError):
                upload.drop()
                raise
            if is_new:
                runtime.telemetry.films_submitted.inc()
            else:
                upload.drop()
    return await job_response(request, runtime, await store.get(job_id, owner), status=202)


def _fields(
    runtime: Runtime, folder: FilmFolder, options: FilmOptions, upload: Upload
) -> dict[str, str | int | float]:
    """Collect what the worker and the job's owner need."""
    loaded = runtime.require_loaded()
    return {
        "queue": folder.queue,
        "fingerprint": loaded.generator.fingerprint,
        "directions": json.dumps(requested_values(loaded.directions, options)),
        "unsafe": int(options.unsafe),
        "face": options.face,
        "blend": options.blend,
        "source_bytes": upload.size,
    }


def _fingerprint(options: FilmOptions, sha256: str) -> str:
    """Hash the request's content, in whatever form it came."""
    asked = json.dumps(options.model_dump(), sort_keys=True)
    return hashlib.sha256(f"{asked} {sha256}".encode()).hexdigest()
