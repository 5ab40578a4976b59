"""The OpenAPI document: bodies that handlers parse themselves, answers, and problems."""

from collections.abc import Iterable
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from model_core.errors import (
    BrokenImageError,
    InvalidInputError,
    ModelMismatchError,
    NoEmbedderError,
    NoFaceError,
    TooManyPixelsError,
    TooSmallError,
    UnsupportedImageError,
)
from service.api_keys import PUBLIC
from service.errors import (
    DeadlineExceededError,
    DrainingError,
    EmptyBodyError,
    EngineDownError,
    InvalidCodeError,
    InvalidRequestError,
    LatentsUnavailableError,
    NotAcceptableError,
    NotReadyError,
    OverloadedError,
    RateLimitedError,
    TooLargeError,
    UnauthorizedError,
    UnknownLatentError,
    UnsupportedMediaTypeError,
    UploadTimeoutError,
)
from service.jobs.schemas import FilmJobAnswer, JobAnswer
from service.wire.examples import BODIES, FILM_JOB, FORM_FIELDS
from service.wire.json_bodies import (
    ColorizeBody,
    EditBody,
    EmbedBody,
    GenerateBody,
    MergeBody,
    MorphBody,
    QualityBody,
    RefineBody,
)
from service.wire.many import EmbedManyAnswer
from service.wire.negotiation import JSON, NPY, SAFETENSORS
from service.wire.problems import Problem, responses
from service.wire.schemas import CodeAnswer, EmbedAnswer, FramesAnswer, QualityAnswer

REF = "#/components/schemas/{model}"
MODELS = (
    EmbedBody,
    QualityBody,
    MorphBody,
    ColorizeBody,
    MergeBody,
    EditBody,
    GenerateBody,
    RefineBody,
)
ANSWERS = (
    EmbedManyAnswer,
    EmbedAnswer,
    QualityAnswer,
    CodeAnswer,
    FramesAnswer,
    JobAnswer,
    FilmJobAnswer,
    Problem,
)
PHOTO_ERRORS: tuple[type[Exception], ...] = (
    TooLargeError,
    UnsupportedImageError,
    BrokenImageError,
    TooManyPixelsError,
    TooSmallError,
    NoFaceError,
    NoEmbedderError,
)
CODE_ERRORS: tuple[type[Exception], ...] = (
    TooLargeError,
    InvalidCodeError,
    ModelMismatchError,
    UnknownLatentError,
    LatentsUnavailableError,
)
DEVICE_ERRORS: tuple[type[Exception], ...] = (
    EmptyBodyError,
    UploadTimeoutError,
    InvalidRequestError,
    InvalidInputError,
    NotAcceptableError,
    UnsupportedMediaTypeError,
    UnauthorizedError,
    RateLimitedError,
    OverloadedError,
    NotReadyError,
    DrainingError,
    EngineDownError,
    DeadlineExceededError,
    Exception,
)
PHOTO_TYPES = tuple(
    f"image/{form}" for form in ("jpeg", "png", "webp", "avif", "gif", "tiff", "bmp")
)
FILM_TYPES = ("video/mp4", "video/quicktime", "video/webm", "video/x-matroska")
PHOTOS = "x-max-photos"
MANY = None  # photos, where the settings say how many
BINARY = {"type": "string", "format": "binary"}
TEXT_SOURCES = ("latent_id",)
NEVER_SENT = ("HTTPValidationError", "ValidationError")  # FastAPI's own
DESCRIPTION = """Turn a photo of a face into its latent code, and the code into images.

Send a multipart form, JSON, or (where one photo or code is enough) the file itself. Options are
fields of the form or members of the JSON; where the body is the file itself they are query
parameters of the same names, and the query is read with forms and JSON too. `Accept` selects the
format of the answer: an image, a code as a file, or JSON. Errors are `application/problem+json`
with a stable `code`.
"""
LICENCE = {"name": "Apache-2.0; the weights are for research only (weights/README.md)"}
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def describe(
    body: type[BaseModel],
    sources: tuple[str, ...],
    offers: tuple[str, ...],
    answers: tuple[type[BaseModel], ...],
    errors: tuple[type[Exception], ...],
    *,
    photos: int | None,
    raw: bool = False,
    status: int = 200,
) -> dict[str, Any]:
    """Describe an endpoint that parses its body and writes its answer itself.

    Args:
        body: Model of the JSON body.
        sources: Form fields that are photos, codes or latent ids.
        offers: Media types of the answer.
        answers: Models of the JSON answer, any of which may be returned.
        errors: Errors that it may raise.
        photos: Most photos in a body, which bounds its size; if MANY, a form may repeat `image`.
        raw: Whether the body may be the file itself.
        status: Status of a successful answer.
    """
    options = _properties(cast(type[BaseModel], body.__base__))  # those that the body inherits
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": _form(sources, options, photos is MANY)},
        JSON: {
            "schema": {"$ref": REF.format(model=body.__name__)},
            "example": BODIES[body.__name__],
        },
    }
    if raw:
        files = PHOTO_TYPES if "image" in sources else ()
        content |= {media: {"schema": BINARY} for media in files or (NPY, SAFETENSORS)}
    refs = [{"$ref": REF.format(model=model.__name__)} for model in answers]
    ok: dict[str, Any] = {JSON: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
    ok |= {media: {"schema": BINARY} for media in offers if media != JSON}
    return {
        "response_model": None,
        "status_code": status,
        "responses": {status: {"description": "The format that Accept selects.", "content": ok}}
        | responses(*errors),
        "openapi_extra": {
            PHOTOS: photos,
            "requestBody": {"content": content},
        },
    }


def describe_film(
    options: type[BaseModel], answer: type[BaseModel], errors: tuple[type[Exception], ...]
) -> dict[str, Any]:
    """Describe the endpoint that takes a film.

    Args:
        options: Model of the options.
        answer: Model of the answer.
        errors: Errors that it may raise.
    """
    form = _form(("film",), _properties(options), repeats=False)
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    content |= {media: {"schema": BINARY} for media in FILM_TYPES}
    ok = {JSON: {"schema": {"$ref": REF.format(model=answer.__name__)}, "example": FILM_JOB}}
    return {
        "response_model": None,
        "status_code": 202,
        "responses": {202: {"description": "The job.", "content": ok}} | responses(*errors),
        "openapi_extra": {"requestBody": {"content": content}},
    }


def photos_of(routes: Iterable[APIRoute], many: int) -> dict[str, int]:
    """Return the most photos that a body may hold, by path, for the routes that read one."""
    extras = ((route.path, route.openapi_extra or {}) for route in routes)
    found = {path: extra[PHOTOS] for path, extra in extras if PHOTOS in extra}
    return {path: many if photos is MANY else photos for path, photos in found.items()}


def query_of(options: type[BaseModel]) -> list[dict[str, Any]]:
    """Describe query options that the handler parses itself."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in _properties(options).items()
    ]


def describe_files(offers: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    """Describe an answer that may be one of several files."""
    content = {media: {"schema": BINARY} for media in offers}
    return {200: {"description": "The format that Accept selects.", "content": content}}


def install(app: FastAPI, *, secured: bool) -> None:
    """Add the models that only hand-parsed bodies use to the application's document.

    Args:
        app: The application.
        secured: Whether API keys are required.
    """

    def document() -> dict[str, Any]:
        """Build the document once, with the definitions that no route names."""
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=DESCRIPTION,
                license_info=LICENCE,
                servers=[{"url": "/", "description": "This service."}],
                routes=app.routes,
                tags=app.openapi_tags,
            )
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            inputs = [(model, "validation") for model in MODELS]
            outputs = [(model, "serialization") for model in ANSWERS]
            _, definitions = models_json_schema(cast(Any, [*inputs, *outputs]), ref_template=REF)
            components |= definitions["$defs"]
            _drop_never_sent(schema)
            if secured:
                schema["components"]["securitySchemes"] = KEYS
                schema["security"] = [{name: []} for name in KEYS]
                for path in PUBLIC & schema["paths"].keys():
                    for operation in schema["paths"][path].values():
                        operation["security"] = []
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _properties(options: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of the options, by name."""
    properties = options.model_json_schema()["properties"]
    return {
        name: {key: value for key, value in schema.items() if key != "title"}
        for name, schema in properties.items()
    }


def _form(sources: tuple[str, ...], options: dict[str, Any], repeats: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in sources:
        one = {"type": "string", "example": ""} if name in TEXT_SOURCES else BINARY
        several = name == "image" and repeats
        fields[name] = {"anyOf": [one, {"type": "array", "items": one}]} if several else dict(one)
        fields[name]["description"] = FORM_FIELDS[name]
    return {"type": "object", "properties": fields | {n: _unset(s) for n, s in options.items()}}


def _unset(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave a form's field empty in /docs, which would send an example as a value."""
    plain = {key: value for key, value in schema.items() if key != "examples"}
    return plain if plain.get("default") is not None else plain | {"example": ""}


def _drop_never_sent(schema: dict[str, Any]) -> None:
    """Remove FastAPI's own error bodies: every error is a problem, and any text may be an id."""
    for name in NEVER_SENT:
        schema["components"]["schemas"].pop(name, None)
    for path in schema["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            if JSON in answers.get("422", {}).get("content", {}):
                del answers["422"]
