"""Parse request bodies (multipart, raw, JSON) into options and inputs."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, cast

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from model_core.errors import WplusError
from service.errors import EmptyBodyError, InvalidRequestError, UnsupportedMediaTypeError
from service.handlers.context import Named, RequestContext, begin, missing
from service.handlers.runtime import Runtime
from service.wire.forms import MAX_FIELDS, MULTIPART, URLENCODED, read_form
from service.wire.json_text import read_json
from service.wire.options import Options
from service.wire.problems import MAX_PART, invalid_request
from service.wire.sources import RefusedSource, Source, source_of_file, source_of_text

MAX_DEPTH = 5  # nesting of a code: body, sources, source, code, rows
MAX_SHOWN = 40  # characters of a value in a message
FORMS = (MULTIPART, URLENCODED)
ENOUGH = "seed"  # the option that makes a body unnecessary
FILES = ("application/octet-stream", "application/x-npy", "application/vnd.safetensors")
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")

Opts = TypeVar("Opts", bound=Options)
T = TypeVar("T")


class Body(Protocol):
    """A JSON body: options with sources among its members."""

    def sources(self) -> Named:
        """Return its sources with their names, in order."""
        ...


async def read_request(
    request: Request,
    runtime: Runtime,
    options: type[Opts],
    body: type[Body],
    names: tuple[str, ...],
    *,
    raw: str | None = None,
    several: bool = False,
) -> RequestContext[Opts]:
    """Read a request.

    Args:
        request: The request, its body not yet read.
        runtime: The service's parts.
        options: Model of the options, from the query and from a form's other fields.
        body: Model of the JSON body, a subclass of `options`.
        names: Form fields that are sources.
        raw: Name of the source that a raw body holds; None if the endpoint takes no raw body.
        several: Whether each of several sources has an answer of its own: one that cannot be read
            is then a `RefusedSource`.

    Raises:
        EmptyBodyError: If the endpoint needs a body and there is none.
        UnsupportedMediaTypeError: If the endpoint does not read this Content-Type.
        InvalidRequestError: If a field is invalid.
    """
    model, sources = await _read(request, runtime, options, body, names, raw)
    for _, source in sources:
        if isinstance(source, RefusedSource) and not several:
            raise source.error
    return begin(request, runtime, model, sources)


async def _read(
    request: Request,
    runtime: Runtime,
    options: type[Opts],
    body: type[Body],
    names: tuple[str, ...],
    raw: str | None,
) -> tuple[Opts, Named]:
    check_coding(request)
    query = once(request.query_params.multi_items())
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in FORMS:
        form = await _read_form(request, runtime, media, names)
        if form is not None:
            fields, sources = form
            return validate(options, once([*query.items(), *fields])), sources
    data = b"" if media in FORMS else await request.body()
    if not data and query.get(ENOUGH):
        return validate(options, query), []
    if not data:
        raise EmptyBodyError("body must not be empty, got 0 bytes")
    if media == "application/json":
        return await runtime.in_worker(_read_json, data, query, body)
    if raw is not None and (media.startswith("image/") or media in FILES):
        return validate(options, query), [(raw, source_of_file(raw, data))]
    takes = f"{MULTIPART}, application/json" + (", image/*" if raw else "")
    raise UnsupportedMediaTypeError(f"Content-Type must be one of {takes}, got {media or 'none'}")


def check_coding(request: Request) -> None:
    """Refuse a compressed body: its unpacked size would have to be bounded too."""
    given = ",".join(request.headers.getlist("content-encoding")).split(",")
    codings = [coding.strip().lower() for coding in given]
    wrong = [coding for coding in codings if coding not in ("", "identity")]
    if wrong:
        raise UnsupportedMediaTypeError(
            f"Content-Encoding must be identity, got {', '.join(wrong)[:MAX_SHOWN]}: "
            "send the body uncompressed"
        )


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Collect options, each of which may be given once, or repeated with the same value.

    Raises:
        InvalidRequestError: If one has two values.
    """
    fields: dict[str, str] = {}
    for name, value in pairs:
        known = fields.get(name)
        if known and value and known != value:
            raise _twice(name, known, value)
        fields[name] = value or known or ""
    return fields


def _twice(name: str, first: str, second: str) -> InvalidRequestError:
    shown = f"{first[:MAX_SHOWN]} and {second[:MAX_SHOWN]}"
    return missing(name, f"{name[:MAX_PART]} must be given once, got {shown}")


def validate(options: type[Opts], fields: object) -> Opts:
    """Validate options.

    Raises:
        InvalidRequestError: If a field is invalid, or there are too many.
    """
    _check_sizes(fields)
    try:
        return options.model_validate(fields)
    except ValidationError as err:
        names = [field.alias or name for name, field in options.model_fields.items()]
        raise invalid_request(err.errors(include_url=False), names) from err


def _check_sizes(value: object, depth: int = MAX_DEPTH) -> None:
    """Refuse objects with very many members, each of which would be an error of its own.

    Only the first entries of a list are checked: a list that may hold objects is bounded in
    length elsewhere.
    """
    if not depth:
        return
    if isinstance(value, dict):
        if len(value) > MAX_FIELDS:
            raise InvalidRequestError(
                f"object must have at most {MAX_FIELDS} members, got {len(value)}"
            )
        for member in value.values():
            _check_sizes(member, depth - 1)
    elif isinstance(value, list):
        for entry in value[:MAX_FIELDS]:
            _check_sizes(entry, depth - 1)


def _read_json(data: bytes, query: dict[str, str], body: type[Body]) -> tuple[Any, Named]:
    try:
        members = read_json(data)
    except ValueError as err:
        raise InvalidRequestError(f"body must be JSON, got {err}") from err
    if not isinstance(members, dict):
        raise InvalidRequestError(f"body must be a JSON object, got {type(members).__name__}")
    _check_sizes(members)
    for name in sorted(query.keys() & members.keys()):
        value = members[name]
        text = value if isinstance(value, str) else json.dumps(value)
        if query[name] and value not in (None, "") and text != query[name]:
            raise _twice(name, query[name], text)
    given = {n: v for n, v in members.items() if n not in query or v not in (None, "")}
    model = validate(cast(type[Options], body), query | given)
    return model, cast(Body, model).sources()


def _readable(read: Callable[[str, T], Source], name: str, value: T) -> Source:
    """Read one of a form's sources; one that cannot be read becomes a `RefusedSource`."""
    try:
        return read(name, value)
    except WplusError as err:
        return RefusedSource(err)


async def _read_form(
    request: Request, runtime: Runtime, media: str, names: tuple[str, ...]
) -> tuple[list[tuple[str, str]], Named] | None:
    """Read a form: the fields called `names` are sources, all others options; None if it is empty.

    A source without a value counts as absent: browsers send fields that were left empty that way.
    """
    if media == URLENCODED and (await request.body()).startswith(IMAGE_STARTS):
        raise UnsupportedMediaTypeError(
            "Content-Type must be image/*, got that of a form (with curl: "
            "-H 'Content-Type: image/jpeg' --data-binary @photo.jpg, or -F image=@photo.jpg)"
        )
    form = await read_form(request, media, runtime.settings.max_upload_bytes * 3 // 2)
    if form is None:
        return None
    fields: list[tuple[str, str]] = []
    sources: Named = []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                data = await value.read()
                if not data and not value.filename:
                    continue
                if name not in names:
                    rule = f"must be one of {', '.join(names)}, got a file"
                    raise missing(name, f"{name[:MAX_PART]} {rule}")
                sources.append((name, _readable(source_of_file, name, data)))
            elif name not in names:
                fields.append((name, value))
            elif value.strip():
                sources.append((name, _readable(source_of_text, name, value)))
    finally:
        await form.close()
    if len(sources) == 1 and isinstance(only := sources[0][1], RefusedSource):
        raise only.error
    return fields, sources
