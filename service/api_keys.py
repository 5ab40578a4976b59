"""API keys: the file that lists their owners, and the lookup of a key's owner.

A line of the file holds an owner's name and the SHA-256 of a key in hexadecimal; an owner may have
several lines, such as while keys are rotated. Blank lines and lines that begin with # are skipped.
The keys themselves are stored nowhere.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

ANONYMOUS = "anonymous"  # the owner of everything when no keys are required
PUBLIC = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
PUBLIC_FOLDER = "/static/"
LINE = re.compile(r"(?P<owner>[A-Za-z0-9._-]{1,64})\s+(?P<digest>[0-9a-fA-F]{64})")


class KeyFileError(ValueError):
    """The key file cannot be read, or one of its lines is malformed."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys that the service accepts.

    Attributes:
        entries: Pairs of an owner and the SHA-256 digest of a key.
    """

    entries: tuple[tuple[str, bytes], ...]

    def owner_of(self, key: str) -> str | None:
        """Find the owner of a key; None if the key is unknown.

        Every digest is compared, each in constant time, so that timing reveals nothing.
        """
        presented = hashlib.sha256(key.encode()).digest()
        owner = None
        for name, digest in self.entries:
            if hmac.compare_digest(digest, presented):
                owner = name
        return owner


def read_keys(path: Path) -> KeyRing:
    """Read the key file.

    Raises:
        KeyFileError: If it cannot be read, holds no key, or a line is malformed. The message names
            the line by number only, because a malformed line may be a key.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise KeyFileError(f"key file {path} must be text, got {type(err).__name__}") from err
    entries = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise KeyFileError(f"line {number} of {path} must be a name and a SHA-256, got other")
        entries.append((match["owner"], bytes.fromhex(match["digest"])))
    if not entries:
        raise KeyFileError(f"key file {path} must hold a key, got none")
    return KeyRing(tuple(entries))
