"""Forms, read by Starlette's parsers, which trust two things that are checked here: that the
form is complete, and that the codec its sender names is one for text.
"""

import re
from collections.abc import AsyncGenerator, Callable
from typing import BinaryIO

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
MAX_FILES = 64  # the body limit bounds their bytes, and the settings their number
MAX_FIELDS = 24
FILE_NAME_ONLY_ENCODED = re.compile(rb";\s*filename\*(?:\d+\*?)?\s*=", re.IGNORECASE)
FILE_TYPES = (b"image/", b"application/octet-stream", b"application/x-np", b"application/vnd.")
PLAIN_ENCODINGS = (b"binary", b"8bit", b"7bit", b"identity", b"")


OpenPart = Callable[[str], BinaryIO]
"""Returns what the bytes of a file are written to, by the name of its field."""


async def read_form(
    request: Request, media: str, max_text_bytes: int, open_part: OpenPart | None = None
) -> FormData | None:
    """Read a form; None if the body has no bytes.

    Args:
        request: The request, its body not yet read.
        media: MULTIPART or URLENCODED.
        max_text_bytes: Most bytes of a field that is not a file.
        open_part: Where files go; if None, to temporary ones.

    Raises:
        HTTPException: 400, if the form is damaged, truncated or has too many parts.
    """
    body = _Counted(request)
    try:
        if media == URLENCODED:
            fields = FormParser(
                request.headers, body.stream(), max_fields=MAX_FIELDS, max_part_size=max_text_bytes
            )
            form = await fields.parse()
        else:
            form = await _parse_parts(request, body, max_text_bytes, open_part)
    except MultiPartException as err:
        raise HTTPException(400, f"The form cannot be read: {err.message}") from err
    return form if body.size else None


class _Counted:
    """The body of a request, which counts its bytes."""

    def __init__(self, request: Request) -> None:
        self.size = 0
        self._request = request

    async def stream(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._request.stream():
            self.size += len(chunk)
            yield chunk


async def _parse_parts(
    request: Request, body: _Counted, max_text_bytes: int, open_part: OpenPart | None
) -> FormData:
    parser = _PartParser(
        _boundary_alone(request.headers["content-type"]),
        body.stream(),
        max_files=MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=max_text_bytes,
    )
    parser.open_part = open_part
    form = await parser.parse()
    if body.size and not parser.whole:
        parser.close()
        raise MultiPartException("it is cut off before its closing boundary.")
    return form


def _boundary_alone(content_type: str) -> Headers:
    """Drop all parameters but the boundary: names and values are UTF-8, whatever the header says.

    RFC 7578 defines no charset for a form, and Python's codecs are not all for text.
    """
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"").decode("latin-1")
    if not boundary:
        return Headers({"content-type": MULTIPART})
    quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
    return Headers({"content-type": f'{MULTIPART}; boundary="{quoted}"'})


class _PartParser(MultiPartParser):
    """Starlette's parser, which also notes the closing boundary and finds files without `filename`.

    Attributes:
        whole: Whether the closing boundary has come.
        open_part: Where files go; if None, to temporary ones.
    """

    whole = False
    open_part: OpenPart | None = None
    _unnamed_files = 0

    def on_headers_finished(self) -> None:
        """Begin a part: it is a file if it has a file name in any spelling, or a file's type."""
        part = self._current_part
        headers = dict(part.item_headers)
        for name in (b"content-transfer-encoding", b"content-encoding"):
            encoding = headers.get(name, b"").strip().lower()
            if encoding not in PLAIN_ENCODINGS:
                shown = encoding[:20].decode("latin-1")
                raise MultiPartException(f"{name.decode()} of a part must be binary, got {shown}.")
        disposition = part.content_disposition or b""
        _, options = parse_options_header(disposition)
        named = b"filename" in options
        is_file = FILE_NAME_ONLY_ENCODED.search(disposition) or headers.get(
            b"content-type", b""
        ).lower().startswith(FILE_TYPES)
        if not named and is_file:
            part.content_disposition = disposition + b'; filename="file"'
        super().on_headers_finished()
        if part.file is not None and self.open_part is not None:
            part.file.file.close()  # the temporary one
            part.file.file = self.open_part(part.field_name)
        if named and not options[b"filename"]:  # what browsers send where no file was chosen
            self._current_files -= 1
            self._unnamed_files += 1
            if self._unnamed_files > MAX_FIELDS:
                raise MultiPartException(f"Too many files without a name: over {MAX_FIELDS}.")

    def close(self) -> None:
        """Close the files of all parts, including those that have not ended."""
        for file in self._files_to_close_on_error:
            file.close()

    def on_end(self) -> None:
        """Note the closing boundary."""
        self.whole = True
