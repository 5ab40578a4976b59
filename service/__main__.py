"""Runs the service: `python -m service`. The only module here that reads the environment."""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CollectorRegistry, start_http_server
from pydantic import ValidationError

from model_core.heap import keep_freed_memory
from service import logs
from service.admission import Gate
from service.keys import KeyFileError
from service.settings import (
    PREFIX,
    ExposedError,
    Settings,
    UnknownVariableError,
    check_exposure,
    check_names,
)

if TYPE_CHECKING:
    from service.deps import Runtime

logger = logging.getLogger("service")


class Server(uvicorn.Server):
    """A server that, told to stop, first answers whom it has let in, and lets nobody else in.

    Until then it goes on listening, so that probes and newcomers hear 503 and not silence.

    Args:
        config: uvicorn's settings.
        gate: The gate that is shut.
        grace_s: Seconds that answering may take.
    """

    def __init__(self, config: uvicorn.Config, gate: Gate, grace_s: float) -> None:
        super().__init__(config)
        self._gate = gate
        self._grace_s = grace_s
        self._told: tuple[int, float] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: SIGINT and SIGTERM finish what is under way, a second SIGINT does not."""
        if self._gate.draining:
            self._told, self.should_exit = None, True
            super().handle_exit(sig, frame)
            return
        self._gate.drain()
        self._told = sig, time.monotonic() + self._grace_s

    async def on_tick(self, counter: int) -> bool:
        """Answer whether to stop listening, ten times a second."""
        if self._told is not None:
            sig, end_s = self._told
            left_s = end_s - time.monotonic()
            if not self._gate.inflight or left_s <= 0:
                self._told = None
                self.config.timeout_graceful_shutdown = max(1, int(left_s))
                super().handle_exit(sig, None)
        return await super().on_tick(counter)


def describe() -> str:
    """List the settings for --help."""
    rows = [
        f"  {PREFIX + name.upper():24} {field.description or ''} "
        f"({field.get_default(call_default_factory=True)})"
        for name, field in Settings.model_fields.items()
    ]
    return "settings, from the environment:\n" + "\n".join(rows)


def read_settings() -> Settings:
    """Read the settings from the environment; end the process with a message if one is wrong."""
    try:
        check_names(os.environ)
        settings = Settings()
    except UnknownVariableError as err:
        sys.exit(f"wplus: {err}")
    except ValidationError as err:
        rows = [
            f"{PREFIX}{'_'.join(map(str, row['loc'])).upper()}: {row['msg']}, got {row['input']}"
            for row in err.errors()
        ]
        sys.exit("wplus: " + "\nwplus: ".join(rows))
    return settings


def prepare(settings: Settings) -> None:
    """Set up what must stand before torch is imported."""
    # torch's threads wait for each other by spinning, unless told before it is imported not to. As
    # decoding and encoding want the same cores, that made a call up to ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What is compiled at the first start is found again at the next one.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(settings.cache / "compiled"))
    keep_freed_memory()


def leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once: while modules are imported there is nothing to finish.

    An exception would not do, as extension modules turn it into errors of their own.
    """
    logger.info("stopped")
    logging.shutdown()
    os._exit(0)


def serve_metrics(settings: Settings, field: str, registry: CollectorRegistry) -> None:
    """Serve /metrics alone on the port of a setting, if it has one; end the process if taken."""
    port = getattr(settings, field)
    if port is None:
        return
    try:
        server, _ = start_http_server(port, settings.host, registry)
    except OSError as err:
        sys.exit(f"wplus: {PREFIX}{field.upper()} must be free, got {port}: {err}")
    logger.info("metrics on http://%s:%d/metrics", settings.host, server.server_port)


def serve(settings: Settings) -> tuple[int, bool]:
    """Serve until told to stop; answer the exit status, and whether the device is still at work."""
    from service.app import create_app  # torch takes seconds to import: the log comes first
    from service.jobs.embedded import Embedded

    # What uvicorn does with a signal once it has stopped is to raise it anew.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    failures: list[BaseException] = []

    def fail(failure: BaseException) -> None:
        failures.append(failure)
        server.should_exit = True

    try:
        app = create_app(settings, embedded=Embedded(settings), on_failure=fail)
    except KeyFileError as err:
        sys.exit(f"wplus: {err}")
    runtime: Runtime = app.state.runtime
    serve_metrics(settings, "metrics_port", runtime.telemetry.registry)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    server = Server(config, runtime.gate, settings.shutdown_grace_s)
    status = 0
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    except SystemExit as ended:  # uvicorn's own, as when the port is taken, has 3
        status = ended.code if isinstance(ended.code, int) else 1
    return 1 if failures else status, runtime.engine.busy_s > 0


def main() -> int:
    """Read the settings, then serve; answer the process's exit status."""
    argparse.ArgumentParser(
        prog="python -m service",
        description=__doc__.partition(":")[0] + ".",
        epilog=describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_settings()
    try:
        check_exposure(settings)
    except ExposedError as err:
        sys.exit(f"wplus: {err}")
    logs.set_up(settings.log_level, settings.log_format)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    prepare(settings)
    logger.info("starting, Ctrl-C stops")
    status, busy = serve(settings)
    logger.info("stopped")
    # A call that takes minutes must not hold the exit up, and a thread that still compiles crashes
    # when it outlives the interpreter.
    if busy or any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
