"""Films as they arrive: received onto the disk, checked, and read into options."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, cast

import anyio
from anyio.to_thread import run_sync
from starlette.datastructures import UploadFile
from starlette.requests import Request

from model_core.errors import BrokenFilmError, FilmTooLargeError, UnsupportedFilmError
from model_core.films.header import CODECS, CONTAINERS, FORMATS
from model_core.films.limits import FilmLimits
from service.errors import EmptyBodyError, UnsupportedMediaTypeError
from service.handlers.body import check_coding, once, validate
from service.handlers.context import missing
from service.jobs import film_probe
from service.jobs.film_folder import FilmFolder
from service.jobs.film_upload import Upload
from service.wire.forms import MULTIPART, read_form
from service.wire.options import FilmOptions
from service.wire.problems import MAX_PART

FIELD = "film"
FILE = "application/octet-stream"
MAX_TEXT_BYTES = 100_000
WRITE_BYTES = 1_000_000  # collected before a thread writes them
PROBE_S = 15.0


@asynccontextmanager
async def receive(request: Request, films: FilmFolder, job_id: str) -> AsyncIterator[Upload]:
    """Make a place on disk for a request's film; on leaving it is deleted unless kept.

    Raises:
        TooLargeError: If the request says that it is too large.
        FilmsFullError: If there is no room for it.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else None
    upload = await run_sync(Upload, films, job_id, size)
    try:
        yield upload
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(upload.close)


async def read_film(request: Request, upload: Upload) -> FilmOptions:
    """Write a request's film to disk as it arrives; return the request's options.

    Raises:
        EmptyBodyError: If there is no film.
        UnsupportedMediaTypeError: If the body is neither a form nor a film.
        InvalidRequestError: If a field is invalid.
        TooLargeError: If the film has too many bytes.
        FilmsFullError: If the disk is full.
    """
    check_coding(request)
    query = once(request.query_params.multi_items())
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == MULTIPART:
        fields = await _read_form(request, upload)
        options = validate(FilmOptions, once([*query.items(), *fields]))
    elif media.startswith("video/") or media == FILE:
        options = validate(FilmOptions, query)  # before the film, which may take minutes
        await _read_raw(request, upload)
    else:
        raise UnsupportedMediaTypeError(
            f"Content-Type must be one of {MULTIPART}, video/*, got {media or 'none'}"
        )
    if not upload.size:
        raise EmptyBodyError("film must not be empty, got 0 bytes")
    return options


async def check_film(path: Path) -> None:
    """Decode a film's first frame, in a process of its own, which a hostile film may break.

    What is found further in is found by the worker.

    Raises:
        UnsupportedFilmError: If it is no film in a known format.
        BrokenFilmError: If its first frame cannot be decoded.
        FilmTooLargeError: If it is too long, or its frames are too large.
    """
    limits = FilmLimits()
    command = (film_probe.__file__, path, ",".join(CONTAINERS), ",".join(CODECS), limits.max_px)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # imports what this process would, and nothing of the script's folder
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        with anyio.fail_after(PROBE_S):
            out, _ = await process.communicate()
        found = json.loads(out)
    except (TimeoutError, ValueError):  # it hung, or was ended by what it read
        raise BrokenFilmError("the film breaks the decoder") from None
    finally:
        if process.returncode is None:
            process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
    match found["problem"]:
        case "unsupported":
            raise UnsupportedFilmError(
                f"film must be {FORMATS} with moving pictures in one of {', '.join(CODECS)}, got "
                "another file"
            )
        case "broken":
            raise BrokenFilmError("the film is damaged: its first frame cannot be decoded")
    width, height = found["size_px"]
    if width * height > limits.max_px:
        raise FilmTooLargeError(
            f"the film's frames must have at most {limits.max_px} pixels, got {width}x{height}"
        )
    if found["seconds"] > limits.max_seconds or found["frames"] > limits.max_frames:
        raise FilmTooLargeError(
            f"the film must have at most {limits.max_seconds:g} s and {limits.max_frames} frames, "
            f"got {found['seconds']:.0f} s and {found['frames']}"
        )


async def _read_raw(request: Request, upload: Upload) -> None:
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= WRITE_BYTES:
            await run_sync(upload.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await run_sync(upload.write, bytes(waiting))
    await run_sync(upload.seek, 0)


async def _read_form(request: Request, upload: Upload) -> list[tuple[str, str]]:
    """Read a form; its film goes to disk, its other fields are options."""
    given = 0

    def open_part(name: str) -> BinaryIO:
        nonlocal given
        if name != FIELD:
            raise missing(name, f"{name[:MAX_PART]} must be {FIELD}, got a file")
        given += 1
        if given > 1:
            raise missing(FIELD, f"{FIELD} must be given once, got {given}")
        return cast(BinaryIO, upload)

    form = await read_form(request, MULTIPART, MAX_TEXT_BYTES, open_part)
    pairs = [] if form is None else form.multi_items()
    if any(name == FIELD and not isinstance(value, UploadFile) for name, value in pairs):
        raise missing(
            FIELD, f"{FIELD} must be a file, got text (with curl a file needs an @: film=@film.mp4)"
        )
    return [(name, value) for name, value in pairs if not isinstance(value, UploadFile)]
