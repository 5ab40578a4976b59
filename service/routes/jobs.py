"""GET and DELETE /jobs: the progress and results of jobs."""

import json
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from model_core.errors import ModelMismatchError
from model_core.latents.latent import Detail, Latent
from model_core.shapes import Pixels
from service.errors import (
    DeadlineExceededError,
    DrainingError,
    EngineDownError,
    FilmElsewhereError,
    InvalidRequestError,
    JobsUnavailableError,
    NoResultError,
    NotAcceptableError,
    NotReadyError,
    OverloadedError,
    UnauthorizedError,
    UnknownJobError,
)
from service.handlers.body import once, validate
from service.handlers.context import RequestContext, begin
from service.handlers.faces import Box, FaceCrop
from service.handlers.film_preview import film_preview
from service.handlers.film_result import film_result
from service.handlers.image_response import render
from service.handlers.job_response import job_response
from service.handlers.runtime import Owner, Runtime, Shared
from service.handlers.whole_photo import Change, check_output, write_whole_photo
from service.handlers.writer import Result, Writer
from service.jobs import sse
from service.jobs.film_folder import MEDIA
from service.jobs.payloads import CURVE, JobInput, Outcome
from service.jobs.schemas import (
    CurvePoint,
    EitherJob,
    JobsAnswer,
    RefineAnswer,
    job_answer,
    refine_answer,
)
from service.jobs.store import Fields
from service.openapi import describe_files, query_of
from service.redis_keys import FILM, TERMINAL
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import ListOptions, OutputOptions, ResultOptions, WholePhotoOptions
from service.wire.problems import responses
from service.wire.sources import PhotoSource

RESULT_OFFERS = (JSON, *IMAGES, *CODES)
LOOKUP_ERRORS = (UnknownJobError, UnauthorizedError, JobsUnavailableError)
RENDER_ERRORS = (
    *LOOKUP_ERRORS,
    NoResultError,
    ModelMismatchError,
    InvalidRequestError,
    NotAcceptableError,
    OverloadedError,
    NotReadyError,
    DrainingError,
    EngineDownError,
    DeadlineExceededError,
    FilmElsewhereError,
)
Opts = TypeVar("Opts", bound=OutputOptions)
JobId = Annotated[str, Path(description="Id of the job.")]
router = APIRouter(tags=["jobs"])


@router.get(
    "/jobs",
    summary="List jobs",
    responses=responses(UnauthorizedError, JobsUnavailableError, InvalidRequestError),
    openapi_extra={"parameters": query_of(ListOptions)},
)
async def list_jobs(request: Request, runtime: Shared, owner: Owner) -> JobsAnswer:
    """List the caller's jobs that are still kept, the newest first."""
    options = validate(ListOptions, once(request.query_params.multi_items()))
    rows = await runtime.jobs.store.list_of(owner, options.limit)
    return JobsAnswer(jobs=[job_answer(row) for row in rows])


@router.get(
    "/jobs/{job_id}",
    summary="Get job status",
    operation_id="get_job_status",
    response_model=EitherJob,
    responses=responses(*LOOKUP_ERRORS),
)
async def get_job(job_id: JobId, request: Request, runtime: Shared, owner: Owner) -> Response:
    """Get a job's status; with If-None-Match, only if it has changed."""
    fields = await runtime.jobs.store.get(job_id, owner)
    return await job_response(request, runtime, fields)


@router.delete(
    "/jobs/{job_id}",
    summary="Cancel job",
    response_model=EitherJob,
    responses=responses(*LOOKUP_ERRORS, FilmElsewhereError),
)
async def cancel_job(job_id: JobId, request: Request, runtime: Shared, owner: Owner) -> Response:
    """Cancel a job: at once if it is waiting, after its current step if it is running.

    Of a job that has ended, the photo that was kept, or the film, is deleted.
    """
    store = runtime.jobs.store
    await store.get(job_id, owner)
    await store.cancel(job_id, owner)
    fields = await store.get(job_id, owner)
    if fields.get("kind") == FILM and fields["state"] in TERMINAL:
        await runtime.jobs.films.remove(job_id)
    return await job_response(request, runtime, fields)


@router.get(
    "/jobs/{job_id}/events",
    summary="Stream job events",
    operation_id="stream_job_events",
    response_class=StreamingResponse,
    responses=describe_files(("text/event-stream",))
    | {204: {"description": "The client already has the last event."}}
    | responses(*LOOKUP_ERRORS, OverloadedError, DrainingError),
)
async def watch_job(job_id: JobId, request: Request, runtime: Shared, owner: Owner) -> Response:
    """Stream `progress` events and a final `end`, from the first or from after Last-Event-ID.

    A client that has the last event of an ended job gets 204, which stops browsers from retrying.
    """
    jobs = runtime.jobs
    await jobs.store.get(job_id, owner)
    after = await sse.resume_point(jobs.store, job_id, request.headers.get("last-event-id"))
    if after is None:
        return Response(status_code=204)
    events = sse.stream(jobs.store, job_id, after, lambda: runtime.gate.draining)
    return sse.EventStream(events, jobs.streams)


@router.get(
    "/jobs/{job_id}/preview",
    summary="Render job preview",
    operation_id="render_job_preview",
    response_class=Response,
    responses=describe_files(IMAGES) | responses(*RENDER_ERRORS),
    openapi_extra={"parameters": query_of(OutputOptions)},
)
async def preview(job_id: JobId, request: Request, runtime: Shared) -> Response:
    """Render the best code and detail as of the last saved state; at first, the starting code's.

    Of a film, it is a frame of the latest part that has been edited.
    """
    media = negotiate(request, IMAGES)
    context = _context(request, runtime, OutputOptions)
    store = runtime.jobs.store
    fields = await store.get(job_id, context.owner)
    if fields.get("kind") == FILM:
        return await Writer(context).write_frame(await film_preview(runtime, fields), media)
    _check_generator(context, fields)
    outcome = await store.outcome(job_id)
    given = await store.read_input(job_id) if outcome is None else None
    if outcome is not None:
        latent = _latent(context, outcome)
    elif given is not None:
        latent = await _starting_latent(context, fields, given)
    else:
        raise NoResultError(f"The job ended ({fields['state']}) before its first step.")
    pixels = await render(context, latent)
    return await Writer(context).write(Result(latent, None, pixels), media)


@router.get(
    "/jobs/{job_id}/result",
    summary="Get job result",
    operation_id="get_job_result",
    response_model=RefineAnswer,
    responses=describe_files((*IMAGES, *CODES, *MEDIA.values()))
    | {206: {"description": "The range of the film that was asked for."}}
    | responses(*RENDER_ERRORS),
    openapi_extra={"parameters": query_of(ResultOptions)},
)
async def result(job_id: JobId, request: Request, runtime: Shared, owner: Owner) -> Response:
    """Get the best code of a job that has ended, its image, and the curve.

    A cancelled or failed job also has a result if it completed any steps. With output=photo the
    image is the job's photo with the face in it, if it was submitted with keep_photo. Of a film
    that has been edited, it is the file, of which `Range` gives a part.
    """
    store = runtime.jobs.store
    fields = await store.get(job_id, owner)
    if fields.get("kind") == FILM:
        return await film_result(request, runtime, fields)
    media = negotiate(request, RESULT_OFFERS)
    context = _context(request, runtime, ResultOptions)
    outcome = await store.outcome(job_id) if fields["state"] in TERMINAL else None
    if outcome is None:
        raise NoResultError(f"job must have ended with a result, got one that is {fields['state']}")
    latent = _latent(context, outcome)
    if context.options.output == "photo":
        return await _whole_result(context, fields, outcome, latent, media)
    writer = Writer(context)
    pixels: Pixels | None = None
    if writer.wants_image(media):
        _check_generator(context, fields)
        pixels = await render(context, latent)
    found = Result(latent, await writer.keep(latent), pixels)
    job, curve = refine_answer(fields), _curve(outcome)
    return await writer.write(found, media, RefineAnswer, job=job, curve=curve)


def _context(request: Request, runtime: Runtime, model: type[Opts]) -> RequestContext[Opts]:
    """Read the options for writing a job's image or code."""
    options = validate(model, once(request.query_params.multi_items()))
    return begin(request, runtime, options, op="refine")


async def _whole_result(
    context: RequestContext[ResultOptions],
    fields: Fields,
    outcome: Outcome,
    latent: Latent,
    media: str,
) -> Response:
    """Answer the job's photo with the face of its result in it."""
    check_output(context, media, edits=False)
    _check_generator(context, fields)
    photo = await context.runtime.jobs.store.read_photo(fields["id"])
    if photo is None:
        raise NoResultError(
            "The job's photo is not kept: submit with keep_photo=true, or send the photo to /edit "
            "as photo with the result's latent_id, direction=smile, strength=0, output=photo and "
            "blend=render."
        )
    asked = context.options.model_dump(by_alias=True)
    where = {"align": fields.get("align"), "face": fields.get("face")}
    options = validate(WholePhotoOptions, asked | where)

    async def change(_face: FaceCrop) -> Change:
        return Change(latent)

    async def describe(_face: FaceCrop, _pixels: Pixels) -> dict[str, Any]:
        return {"job": refine_answer(fields), "curve": _curve(outcome)}

    whole = RequestContext(
        context.runtime, context.loaded, context.timings, options, [], context.owner
    )
    source = PhotoSource(photo)
    box = _face_box(fields)
    return await write_whole_photo(whole, source, media, change, RefineAnswer, describe, box=box)


def _face_box(fields: Fields) -> Box | None:
    """Read where a job's face was found; None if its photo was aligned, or an older service's."""
    if "face_box" not in fields:
        return None
    left, top, right, bottom = json.loads(fields["face_box"])
    return left, top, right, bottom


def _latent(context: RequestContext[OutputOptions], outcome: Outcome) -> Latent:
    """Combine code and detail, if the detail is wanted and belongs to the weights in use."""
    known = context.loaded.generator.detail
    if (
        outcome.detail is None
        or not context.options.detail
        or known is None
        or outcome.detail_fingerprint != known.fingerprint
    ):
        return Latent(outcome.ws)
    return Latent(outcome.ws, Detail(outcome.detail, outcome.ws))


async def _starting_latent(
    context: RequestContext[OutputOptions], fields: Fields, given: JobInput
) -> Latent:
    """Encode the detail that a job will start with, if it is wanted."""
    wanted = context.options.detail and fields.get("detail") != "0"
    if not wanted or context.loaded.generator.detail is None:
        return Latent(given.ws)
    answer = await context.runtime.engine.detail(given.target, given.ws, context.deadline_s)
    return Latent(given.ws, Detail(context.timings.take("detail", answer), given.ws))


def _check_generator(context: RequestContext[OutputOptions], fields: Fields) -> None:
    if fields["fingerprint"] != context.loaded.generator.fingerprint:
        raise ModelMismatchError("job must belong to the generator in use, got one of another")


def _curve(outcome: Outcome) -> list[CurvePoint]:
    rows = (dict(zip(CURVE, row, strict=True)) for row in outcome.curve.tolist())
    return [CurvePoint.model_validate(row) for row in rows]
