"""Runs the service: `python -m service`. The only module here that reads the environment."""

import argparse
import asyncio
import contextlib
import logging
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from model_core.errors import WplusError
from model_core.program import program_name
from service.api_keys import KeyFileError
from service.observability import logs
from service.preflight import check_device, check_files, check_metrics_port, listen
from service.process import (
    compiled_folder,
    end,
    end_on_signals,
    prepare,
    read_settings,
    serve_metrics,
)
from service.serving.gate import Gate
from service.settings import PREFIX, ExposedError, Settings, check_exposure
from service.wire.signing import load_signer

if TYPE_CHECKING:
    from service.handlers.runtime import Runtime

ECHO_S = 0.2  # timeout(1) signals the process, then its group; the echo is no second request

logger = logging.getLogger("service")


class Server(uvicorn.Server):
    """A server that finishes the requests in flight before it stops, and refuses new ones.

    Until then it keeps listening, so that probes and new clients get 503 rather than silence. A
    second signal ends the process at once.

    Args:
        config: uvicorn's settings.
        gate: Closed by the first signal.
        grace_s: Seconds that the requests in flight may take.
        abandon: Ends the process with a status, on the second signal.
    """

    def __init__(
        self, config: uvicorn.Config, gate: Gate, grace_s: float, abandon: Callable[[int], None]
    ) -> None:
        super().__init__(config)
        self._gate, self._grace_s, self._abandon = gate, grace_s, abandon
        self._signalled_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGINT or SIGTERM: the first stops the server, the second ends the process."""
        del frame
        now_s = time.monotonic()
        if self._signalled_s is None:
            self._signalled_s = now_s
            self._gate.drain()
        elif now_s - self._signalled_s > ECHO_S:
            self._abandon(128 + sig)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then log the address: uvicorn does not when it is given sockets."""
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            logger.info("running on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop listening; called ten times a second."""
        if self._signalled_s is not None and not self.should_exit:
            left_s = self._signalled_s + self._grace_s - time.monotonic()
            if not self._gate.inflight or left_s <= 0:
                self.config.timeout_graceful_shutdown = max(1, int(left_s))
                self.should_exit = True
        return await super().on_tick(counter)


def describe() -> str:
    """List the settings for --help."""
    rows = [
        f"  {PREFIX + name.upper():24} {field.description or ''} "
        f"({field.get_default(call_default_factory=True)})"
        for name, field in Settings.model_fields.items()
    ]
    return "settings, from the environment:\n" + "\n".join(rows)


def check(settings: Settings) -> list[socket.socket]:
    """Bind the port and check everything that can be known to fail, before torch is imported.

    Raises:
        WplusError: If the service cannot start like this; the message says what to do.
        ExposedError: If it would be open to strangers.
        KeyFileError: If a file of API keys is configured but cannot be read.
    """
    check_exposure(settings)
    with contextlib.ExitStack() as refused:
        sockets = listen(settings.host, settings.port)
        for each in sockets:
            refused.enter_context(each)
        check_metrics_port(settings, "metrics_port")
        check_files(settings, compiled_folder(settings))
        load_signer(settings, version("wplus"))
        refused.pop_all()
    return sockets


def serve(settings: Settings, sockets: list[socket.socket]) -> int:
    """Serve until signalled to stop; return the exit status."""
    from service.app import create_app  # torch takes seconds to import: the log comes first
    from service.jobs.embedded import Embedded

    failures: list[BaseException] = []

    def fail(failure: BaseException) -> None:
        failures.append(failure)
        server.should_exit = True

    embedded = Embedded(settings)
    app = create_app(settings, embedded=embedded, on_failure=fail)
    runtime: Runtime = app.state.runtime
    serve_metrics(settings, "metrics_port", runtime.telemetry.registry)
    config = uvicorn.Config(
        app,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    grace_s = settings.shutdown_grace_s
    server = Server(config, runtime.gate, grace_s, lambda status: end(status, embedded.abandon))
    # Not closed: that would wait for tasks that ignore cancellation, and the process ends here.
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())
    try:
        runner.run(server.serve(sockets))
    except SystemExit as ended:  # uvicorn's own, when the application cannot start
        return ended.code if isinstance(ended.code, int) else 1
    return 1 if failures else 0


def main() -> None:
    """Read the settings, check them, then serve."""
    argparse.ArgumentParser(
        prog=program_name("service"),
        description=__doc__.partition(":")[0] + ".",
        epilog=describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_settings()
    end_on_signals()
    try:
        sockets = check(settings)
        logs.set_up(settings.log_level, settings.log_format)
        prepare(settings)
        logger.info("starting; press Ctrl-C to stop")
        check_device(settings.device)
    except (WplusError, ExposedError, KeyFileError) as err:
        sys.exit(f"wplus: {err}")
    end(serve(settings, sockets))


if __name__ == "__main__":
    main()
