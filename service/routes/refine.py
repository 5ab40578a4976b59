"""POST /refine: submit a photo, and get a job that refines its code."""

import hashlib
import json

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.errors import (
    IdempotencyError,
    JobQueueFullError,
    JobsUnavailableError,
)
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.faces import FaceCrop, crop_face
from service.handlers.idempotency import idempotency_key
from service.handlers.job_response import job_response
from service.handlers.latents import resolve_code
from service.handlers.runtime import Shared
from service.jobs.payloads import JobInput
from service.jobs.schemas import JobAnswer
from service.jobs.store import Submission
from service.openapi import CODE_ERRORS, DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.wire.codes import read_code
from service.wire.json_bodies import RefineBody
from service.wire.negotiation import JSON, negotiate
from service.wire.options import RefineOptions
from service.wire.sources import CodeSource, LatentSource, PhotoSource, Source

FIELDS = ("image", "code", "latent_id")
router = APIRouter(tags=["jobs"])


@router.post(
    "/refine",
    summary="Start a refine job",
    **describe(
        RefineBody,
        FIELDS,
        (JSON,),
        (JobAnswer,),
        (
            *PHOTO_ERRORS,
            *CODE_ERRORS,
            *DEVICE_ERRORS,
            IdempotencyError,
            JobQueueFullError,
            JobsUnavailableError,
        ),
        photos=1,
        raw=True,
        status=202,
    ),
)
async def refine(request: Request, runtime: Shared) -> Response:
    """Submit a photo, optionally with a code or latent id to start from; the answer is a job.

    A request that is repeated with the same `Idempotency-Key` gets the same job.
    """
    negotiate(request, (JSON,))
    store = runtime.jobs.store
    key = idempotency_key(request)
    context = await read_request(request, runtime, RefineOptions, RefineBody, FIELDS, raw="image")
    owner = context.owner
    photo, known = _sources(context)
    start = "code" if known else context.options.start or "embedding"
    fingerprint = await runtime.in_worker(_fingerprint, context, start)
    job_id = await store.find(owner, key, fingerprint)
    if job_id is None:
        face = await crop_face(context, photo)
        job = Submission(
            owner,
            await _input(context, face, known),
            _fields(context, start, face),
            key,
            fingerprint,
            photo.data if context.options.keep_photo else None,
        )
        job_id, is_new = await store.submit(job)
        runtime.telemetry.jobs_submitted.inc(is_new)
    fields = await store.get(job_id, owner)
    return await job_response(request, runtime, fields, status=202)


def _sources(
    context: RequestContext[RefineOptions],
) -> tuple[PhotoSource, CodeSource | LatentSource | None]:
    """Return the photo and the code to start from, if there is one."""
    (photo,) = context.only("image")
    if not isinstance(photo, PhotoSource):
        raise missing(
            "image", "image must be a photo, got a code: send a code to start from as code"
        )
    others: list[Source] = [source for name, source in context.sources if name != "image"]
    if len(others) > 1:
        raise missing("code", f"at most one of code and latent_id must be given, got {len(others)}")
    known = others[0] if others else None
    if known is not None and not isinstance(known, CodeSource | LatentSource):
        raise missing("code", "code must be a code, got a photo")
    start = context.options.start
    if (known is None and start == "code") or (known is not None and start not in (None, "code")):
        raise missing("start", f"start must be code if and only if a code is given, got {start}")
    return photo, known


async def _input(
    context: RequestContext[RefineOptions],
    face: FaceCrop,
    known: CodeSource | LatentSource | None,
) -> JobInput:
    """Find the code to start from."""
    engine, timings = context.runtime.engine, context.timings
    if known is not None:
        return JobInput(face.input, (await resolve_code(context, known)).ws)
    if context.options.start == "mean":
        answer = await engine.sample(0, 0.0, context.deadline_s)  # psi 0: the mean
        return JobInput(face.input, timings.take("sample", answer))
    embedded = await engine.embed(face.input, context.deadline_s)
    return JobInput(face.input, timings.take("encode", embedded))


def _fields(
    context: RequestContext[RefineOptions], start: str, face: FaceCrop
) -> dict[str, str | int | float]:
    """Collect the options that the worker and the job's owner need."""
    options = context.options
    rows: dict[str, str | int | float | None] = {
        "steps": options.steps,
        "start": start,
        "detail": int(options.detail),
        "time_budget_s": options.time_budget_s,
        "target_lpips": options.target_lpips,
        "fingerprint": context.loaded.generator.fingerprint,
        "align": options.align,
        "face": options.rank,
    }
    if options.keep_photo and face.found is not None:  # to find the face again in the photo
        rows["face_box"] = json.dumps(face.found.box)
    return {name: value for name, value in rows.items() if value is not None}


def _fingerprint(context: RequestContext[RefineOptions], start: str) -> str:
    """Hash the request's content, in whatever format: form or JSON, base64 or numbers.

    A latent id counts by its name, because it may have expired when the request is repeated.
    """
    asked = context.options.model_dump(include=set(RefineOptions.model_fields)) | {"start": start}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for name, source in sorted(context.sources, key=lambda pair: pair[0]):
        match source:
            case PhotoSource(data):
                content = data
            case LatentSource(latent_id):
                content = latent_id.encode()
            case CodeSource(value):
                content = read_code(value, context.loaded.generator).numpy().tobytes()
        kind = type(source).__name__
        digest.update(f"{'' if kind == 'CodeSource' else name} {kind} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()
