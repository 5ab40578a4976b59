"""What the service and the worker share as processes: settings, environment, metrics, exit."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from prometheus_client import CollectorRegistry, start_http_server
from pydantic import ValidationError

from model_core.runtime.allocator import keep_freed_memory
from service.settings import PREFIX, Settings, UnknownVariableError, check_names

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
KILL_ROUNDS = 3  # a compiler's threads may start another child meanwhile

logger = logging.getLogger("service")


def read_settings() -> Settings:
    """Read the settings from the environment; end the process with a message if one is wrong."""
    try:
        check_names(os.environ)
        settings = Settings()
    except UnknownVariableError as err:
        sys.exit(f"wplus: {err}")
    except ValidationError as err:
        rows = [
            f"{PREFIX}{'_'.join(map(str, row['loc'])).upper()}: "
            f"{row['msg'].removeprefix('Value error, ')}, got {row['input']}"
            for row in err.errors()
        ]
        sys.exit("wplus: " + "\nwplus: ".join(rows))
    return settings


def compiled_folder(settings: Settings) -> Path:
    """Path of the compiled code that is kept between starts."""
    return Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or settings.cache / "compiled")


def prepare(settings: Settings) -> None:
    """Set up the environment, before torch is imported."""
    # torch's threads busy-wait for each other unless this is set before it is imported. As
    # decoding and encoding need the same cores, that made a call up to ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What is compiled at the first start is reused at the next one.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(compiled_folder(settings))
    keep_freed_memory()


def serve_metrics(settings: Settings, field: str, registry: CollectorRegistry) -> None:
    """Serve /metrics alone on the port in a setting, if set; end the process if it is taken."""
    port = getattr(settings, field)
    if port is None:
        return
    try:
        server, _ = start_http_server(port, settings.host, registry)
    except OSError as err:
        sys.exit(f"wplus: {PREFIX}{field.upper()} must be free, got {port}: {err}")
    logger.info("metrics on http://%s:%d/metrics", settings.host, server.server_port)


def end(status: int, release: Callable[[], None] = lambda: None) -> NoReturn:
    """End the process and its descendants at once; safe to call from a signal handler.

    Nothing is unwound: threads that compute cannot be interrupted, and one that is still compiling
    crashes when it outlives the interpreter.

    Args:
        status: The exit status.
        release: Called first, to remove what the process would leave on disk.
    """
    try:
        kill_descendants()
        release()
        logger.info("stopped")
        logging.shutdown()
    finally:
        os._exit(status)


def end_on_signals() -> None:
    """Make SIGINT and SIGTERM end the process at once, while it has nothing to finish.

    An exception would not do, because extension modules turn it into errors of their own.
    """

    def leave(_signal: int, _frame: FrameType | None) -> None:
        end(0)

    for number in STOP_SIGNALS:
        signal.signal(number, leave)


def stop_on_signals() -> Callable[[], bool]:
    """Make SIGINT or SIGTERM ask the process to stop; a second one ends it at once.

    Python runs its handlers on the main thread only, and once for signals that arrive close
    together, so a computation in C would delay them and could swallow the second. A thread reads
    the bytes that the interpreter writes as each signal arrives.

    Returns:
        Whether to stop.
    """
    stopping = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        while number := reader.recv(1):
            if number[0] not in STOP_SIGNALS:
                continue
            if stopping.is_set():
                end(128 + number[0])
            stopping.set()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: writer)  # holds the socket open for the interpreter
    return stopping.is_set


def kill_descendants() -> None:
    """Kill the processes that this one started, and theirs; on Linux only.

    Compilers are among them, and would run on for minutes.
    """
    for _ in range(KILL_ROUNDS):
        found = descendants(os.getpid())
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def descendants(pid: int) -> list[int]:
    """List the descendants of a process, parents first; empty on systems other than Linux.

    Zombies, which have ended but not been waited for, are not included.
    """
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold anything: state and parent follow the last bracket.
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = list(children.get(pid, ()))
    for each in found:  # grows during the loop
        found += children.get(each, ())
    return found
