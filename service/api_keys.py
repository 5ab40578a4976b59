"""API keys: the file that names their owners, and the search for the owner of a key.

A line of the file holds an owner's name and the SHA-256 of a key, hexadecimal; an owner may have
several lines, as while keys are exchanged. Empty lines and those that begin with # are passed over.
The keys themselves stand nowhere.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

ANONYMOUS = "anonymous"  # the owner of everything where no keys are asked for
PUBLIC = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
PUBLIC_FOLDER = "/static/"
LINE = re.compile(r"(?P<owner>[A-Za-z0-9._-]{1,64})\s+(?P<digest>[0-9a-fA-F]{64})")


class KeyFileError(ValueError):
    """The file of keys cannot be read, or a line of it breaks the rule."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys that open the service.

    Attributes:
        entries: An owner and the SHA-256 digest of a key, each.
    """

    entries: tuple[tuple[str, bytes], ...]

    def owner_of(self, key: str) -> str | None:
        """Find the owner of a key, None if it opens nothing.

        Every digest is compared, each in constant time, so that the time tells nothing.
        """
        presented = hashlib.sha256(key.encode()).digest()
        owner = None
        for name, digest in self.entries:
            if hmac.compare_digest(digest, presented):
                owner = name
        return owner


def read_keys(path: Path) -> KeyRing:
    """Read the file of keys.

    Raises:
        KeyFileError: If it cannot be read, holds no key, or a line breaks the rule. The message
            names the line by number only: a line that breaks the rule may be a key.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise KeyFileError(f"key file {path} must be readable text: {type(err).__name__}") from err
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
