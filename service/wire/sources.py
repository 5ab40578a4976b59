"""How a caller may name a face: by a photo, a W+ code or a latent id."""

import re
from dataclasses import dataclass

from model_core.errors import WplusError
from service.errors import EmptyBodyError, InvalidCodeError, InvalidRequestError
from service.wire.base64_text import DATA_URL, URL, read_base64
from service.wire.codes import is_code_file
from service.wire.json_text import BYTE_ORDER_MARK

LATENT_ID = re.compile(r"[A-Za-z0-9_-]{22}")
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """The bytes of a photo, not yet decoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CodeSource:
    """A code in any form that `codes.read_code` takes, not yet read."""

    value: object


@dataclass(frozen=True, slots=True)
class LatentSource:
    """The id of a code that the service stores."""

    latent_id: str


@dataclass(frozen=True, slots=True)
class RefusedSource:
    """One of several sources that could not be read, and why; the others are served."""

    error: WplusError


Source = PhotoSource | CodeSource | LatentSource | RefusedSource


def source_of_file(name: str, data: bytes) -> Source:
    """Tell a code file from a photo by its first bytes.

    Raises:
        EmptyBodyError: If the file is empty.
        InvalidCodeError: If it should be a code, but is neither a code nor a photo.
    """
    if not data:
        raise EmptyBodyError(f"{name} must not be empty, got 0 bytes")
    if is_code_file(data):
        return CodeSource(data)
    if name == "code" and not data.startswith(IMAGE_STARTS) and data[4:8] != b"ftyp":
        raise InvalidCodeError("code must be JSON, .npz, .npy or safetensors, got another file")
    return PhotoSource(data)


def source_of_text(name: str, text: str) -> Source:
    """Tell a JSON code, a latent id and a photo in a data: URL apart in a form's text field.

    Raises:
        InvalidRequestError: If it is none of these, as when curl's @ before a file name is missing.
    """
    if text.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in ("{", "["):
        return CodeSource(text)
    text = text.strip()
    if name == "latent_id" or LATENT_ID.fullmatch(text):
        return LatentSource(text)
    got = f"other text (with curl a file needs an @: -F {name}=@photo.jpg)"
    try:
        if DATA_URL.match(text):
            return PhotoSource(read_base64(text))
        if URL.match(text):
            got = "a URL: nothing is fetched here, so send the file itself"
    except ValueError as err:
        got = str(err)
    detail = f"{name} must be a file, a JSON code or a latent id, got {got}"
    raise InvalidRequestError(detail, [{"pointer": f"#/{name}", "detail": detail}])
