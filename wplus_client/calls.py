"""The service's operations as requests, without I/O: both clients send them."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, cast

import httpx2 as httpx

from wplus_client.answers import read_face, read_frames, read_members
from wplus_client.face import Face
from wplus_client.sources import FilmFile, Source, write_part

T = TypeVar("T")
Sources = list[tuple[str, Source]]
Options = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and how its answer is read.

    Attributes:
        method: GET, POST or DELETE.
        path: Path of the endpoint.
        read: Turns the answer into the result.
        request: The rest of the request, as httpx2 takes it.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    request: dict[str, Any] = field(default_factory=dict)


def embed(photo: Source, options: Options) -> Call[Face]:
    """Find the code of the face in a photo."""
    return _face_call("/embed", [("image", photo)], options)


def quality(photo: Source, face: Source, options: Options) -> Call[dict[str, Any]]:
    """Measure how close a code comes to a photo."""
    form = _form([("image", photo), ("code", face)], options)
    return Call("POST", "/quality", lambda answer: dict(read_members(answer)["quality"]), form)


def morph(first: Source, second: Source, lam: float | None, options: Options) -> Call[Face]:
    """Blend two faces."""
    return _face_call("/morph", [("image", first), ("image", second)], options | {"lam": lam})


def morph_frames(first: Source, second: Source, options: Options) -> Call[list[Face]]:
    """Blend two faces in as many frames as the option `steps` asks for."""
    form = _form([("image", first), ("image", second)], options | {"return": "both"})
    return Call("POST", "/morph", read_frames, form)


def colorize(gray: Source, color: Source, options: Options) -> Call[Face]:
    """Give one face the colours of another."""
    return _face_call("/colorize", [("gray", gray), ("color", color)], options)


def merge(identity: Source, attribute: Source, options: Options) -> Call[Face]:
    """Combine one person's identity with the pose, hair and light of another photo."""
    return _face_call("/merge", [("identity", identity), ("attribute", attribute)], options)


def edit(
    source: Source,
    direction: str | None,
    strength: float | None,
    values: Mapping[str, float] | None,
    photo: Source | None,
    options: Options,
) -> Call[Face]:
    """Move a face along one direction or several, and put it into a photo if there is one."""
    several = values and _directions(values)
    asked = options | {"direction": direction, "strength": strength, "directions": several}
    sources: Sources = [("image", source)]
    if photo is not None:
        sources.append(("photo", photo))
        asked = {"output": "photo"} | asked
    return _face_call("/edit", sources, asked)


def directions() -> Call[list[dict[str, Any]]]:
    """List the directions, with their units and safe ranges."""

    def read(answer: httpx.Response) -> list[dict[str, Any]]:
        return list(read_members(answer)["directions"])

    return Call("GET", "/directions", read)


def generate(code: Source | None, seed: int | None, options: Options) -> Call[Face]:
    """Render a code, or a random face from a seed."""
    sources: Sources = [] if code is None else [("code", code)]
    return _face_call("/generate", sources, options | {"seed": seed})


def refine(photo: Source, steps: int, start: Source | None, options: Options) -> Call[str]:
    """Start a refine job; the answer is its id."""
    sources: Sources = [("image", photo)] + ([] if start is None else [("code", start)])
    form = _form(sources, options | {"steps": steps})
    # A second attempt finds the job that the first one started.
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    return Call(
        "POST",
        "/refine",
        lambda answer: str(read_members(answer)["id"]),
        form | {"headers": headers},
    )


def edit_film(
    film: str | Path, values: Mapping[str, float], unsafe: bool, options: Options
) -> Call[str]:
    """Start a job that edits a film; the answer is its id."""
    asked = options | {"directions": _directions(values), "unsafe": unsafe or None}
    form = _form([], asked) | {"files": [("film", ("film", cast(BinaryIO, FilmFile(film))))]}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    return Call(
        "POST",
        "/films",
        lambda answer: str(read_members(answer)["id"]),
        form | {"headers": headers},
    )


def jobs(limit: int) -> Call[list[tuple[str, str]]]:
    """List the ids and kinds of the caller's jobs."""

    def read(answer: httpx.Response) -> list[tuple[str, str]]:
        return [(row["id"], row.get("kind", "refine")) for row in read_members(answer)["jobs"]]

    return Call("GET", "/jobs", read, {"params": {"limit": limit}})


def job_status(job_id: str) -> Call[dict[str, Any]]:
    """Get the status of a job."""
    return Call("GET", f"/jobs/{job_id}", read_members)


def job_result(job_id: str, options: Options) -> Call[Face]:
    """Get the result of a job."""
    asked = {name: _text(value) for name, value in options.items() if value is not None}
    return Call("GET", f"/jobs/{job_id}/result", read_face, {"params": asked})


def cancel_job(job_id: str) -> Call[None]:
    """Cancel a job."""
    return Call("DELETE", f"/jobs/{job_id}", lambda _answer: None)


def version() -> Call[dict[str, Any]]:
    """Get the versions, the generator, the directions and the digests of the weights."""
    return Call("GET", "/version", read_members)


def _face_call(path: str, sources: Sources, options: Options) -> Call[Face]:
    return Call("POST", path, read_face, _form(sources, options | {"return": "both"}))


def _form(sources: Sources, options: Options) -> dict[str, Any]:
    fields = {name: _text(value) for name, value in options.items() if value is not None}
    return {"files": [(name, write_part(source)) for name, source in sources], "data": fields}


def _directions(values: Mapping[str, float]) -> str:
    return ",".join(f"{name}:{value}" for name, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
