"""Read the service's answers, and what gateways send in its place."""

import base64
import binascii
from typing import Any

import httpx2 as httpx
import numpy as np

from wplus_client.errors import ServiceError
from wplus_client.face import Face

FLOATS = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}


def read_members(answer: httpx.Response) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ServiceError: If it is not one; then something other than wplus has answered.
    """
    try:
        members = answer.json()
    except ValueError:
        members = None
    if not isinstance(members, dict):
        media = answer.headers.get("content-type", "no type")
        detail = f"the answer must be JSON, got {media}: is {answer.url} wplus?"
        raise ServiceError("http-error", detail, answer.status_code)
    return members


def read_face(answer: httpx.Response) -> Face:
    """Read an answer that holds a code and its image.

    Raises:
        ServiceError: If the code or the image is missing.
    """
    return face_of(read_members(answer))


def read_frames(answer: httpx.Response) -> list[Face]:
    """Read the frames of a morph.

    Raises:
        ServiceError: If a frame lacks its code or image.
    """
    return [face_of(frame) for frame in read_members(answer).get("frames", [])]


def face_of(members: dict[str, Any]) -> Face:
    """Read the members that describe a face.

    Raises:
        ServiceError: If the code or the image is missing.
    """
    try:
        code, image = members["code"], base64.b64decode(members["image"]["data"])
        data = code["data"]
        if isinstance(data, str):
            values = np.frombuffer(base64.b64decode(data), FLOATS[code.get("dtype", "float32")])
        else:
            values = np.asarray(data, np.float32)
        ws = values.astype(np.float32).reshape(code["shape"])
    except (KeyError, TypeError, ValueError, binascii.Error) as err:
        detail = f"the answer must hold a code and an image, got one without ({err!r})"
        raise ServiceError("http-error", detail, 200) from err
    return Face(ws, image, members.get("latent_id"), members)


def read_refusal(answer: httpx.Response) -> ServiceError:
    """Read an error answer; a gateway's has a status and little else."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    code, detail = problem.get("code"), problem.get("detail") or problem.get("title")
    if answer.is_redirect:
        detail = f"the address has moved to {answer.headers.get('location')}"
    if not isinstance(detail, str):
        detail = answer.reason_phrase or f"status {answer.status_code}"
    return ServiceError(code if isinstance(code, str) else "http-error", detail, answer.status_code)
