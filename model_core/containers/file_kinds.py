"""Recognise files that are not checkpoints, such as web pages from failed downloads or archives."""

import re

HEAD_BYTES = 4096
TEXT_SHOWN = 60

PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
MARKUP = re.compile(rb"\s*<\?xml\b|\s*<[A-Za-z]+[\s>]")
JSON = re.compile(rb"\s*[{\[]\s*(?:[\"'{\[}\]]|$)")

AGAIN = "download it again"
MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"version https://hawser", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself: run `git annex get`"),
    (b"\x1f\x8b", "a gzip archive: unpack it and pass the checkpoint inside"),
    (b"BZh", "a bzip2 archive: unpack it and pass the checkpoint inside"),
    (b"\xfd7zXZ\x00", "an xz archive: unpack it and pass the checkpoint inside"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it and pass the checkpoint inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it and pass the checkpoint inside"),
    (b"Rar!\x1a\x07", "a rar archive: unpack it and pass the checkpoint inside"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, TensorFlow 2), which is not supported"),
    (b"\x93NUMPY", "a NumPy array, not a network: use `latents` to read codes"),
    (b"GGUF", "a GGUF file, which is not supported"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
)
"""First bytes of each kind of file, and how messages describe it."""


def other_kind(head: bytes, size_bytes: int) -> str | None:
    """Describe a file whose first bytes rule out a checkpoint; None if it may be one.

    Args:
        head: The file's first `HEAD_BYTES` or fewer.
        size_bytes: Size of the whole file.
    """
    if not size_bytes:
        return f"an empty file: {AGAIN}"
    plain = head.removeprefix(b"\xef\xbb\xbf")
    if PAGE.match(plain):
        return (
            "a web page (HTML), such as a quota or login page, that the server sent instead of "
            f"the checkpoint; {AGAIN}"
        )
    for magic, said in MAGICS:
        if plain.startswith(magic):
            return said
    if MARKUP.match(plain):
        return f"an XML message{_quoted(plain)}: {AGAIN}"
    if not any(head):
        return f"a file of zeros only: {AGAIN}"
    return None


def text_kind(head: bytes) -> str | None:
    """Describe a text file; None if it is not text. Old pickles are text too, so try them first."""
    plain = head.removeprefix(b"\xef\xbb\xbf")
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        return None
    if not text.strip() or not all(each.isprintable() or each.isspace() for each in text):
        return None
    kind = "a JSON message" if JSON.match(plain) else "text"
    return f"{kind}{_quoted(plain)}: {AGAIN}"


def _quoted(head: bytes) -> str:
    text = " ".join(head.decode(errors="replace").split())
    return f" that begins with {text[:TEXT_SHOWN]!r}"


def is_safetensors(head: bytes, size_bytes: int) -> bool:
    """Whether a file begins like safetensors: the length of a JSON header, then the header."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and length <= size_bytes - 8
