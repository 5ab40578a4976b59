"""What a caller may name a face by: a photo, a W+ code or a latent id."""

import re
from dataclasses import dataclass

from service.codes import NPY_MAGIC
from service.errors import EmptyBodyError, InvalidRequestError

LATENT_ID = re.compile(r"[A-Za-z0-9_-]{22}")
SAFETENSORS_HEADER_BYTES = 100_000  # ours has 200


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """The bytes of a photo, not looked at yet."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CodeSource:
    """A code in any form that `codes.read_code` takes, not looked at yet."""

    value: object


@dataclass(frozen=True, slots=True)
class LatentSource:
    """The id of a code that the service keeps."""

    latent_id: str


Source = PhotoSource | CodeSource | LatentSource


def source_of_file(name: str, data: bytes) -> Source:
    """Tell a code file from a photo by its first bytes.

    Raises:
        EmptyBodyError: If there are none.
    """
    if not data:
        raise EmptyBodyError(f"{name} must not be empty, got 0 bytes")
    header_bytes = int.from_bytes(data[:8], "little")
    is_safetensors = data[8:9] == b"{" and header_bytes <= SAFETENSORS_HEADER_BYTES
    if data.startswith(NPY_MAGIC) or is_safetensors:
        return CodeSource(data)
    return PhotoSource(data)


def source_of_text(name: str, text: str) -> Source:
    """Tell a JSON code from a latent id in a form's text field.

    Raises:
        InvalidRequestError: If it is neither, as when curl's @ before a file name was forgotten.
    """
    if text.lstrip()[:1] in ("{", "["):
        return CodeSource(text)
    if name == "latent_id" or LATENT_ID.fullmatch(text):
        return LatentSource(text)
    detail = (
        f"{name} must be a file, a JSON code or a latent id, got other text "
        f"(with curl a file needs an @: -F {name}=@photo.jpg)"
    )
    raise InvalidRequestError(detail, [{"pointer": f"#/{name}", "detail": detail}])
