"""Runs the service: `python -m service`. The only module here that reads the environment."""

import argparse
import logging
import os
import signal
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from service.settings import PREFIX, Settings, UnknownVariableError, check_names

logger = logging.getLogger("service")


class Server(uvicorn.Server):
    """A server that lets nobody in once it has been told to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: SIGINT and SIGTERM finish what is under way, a second SIGINT does not."""
        self._app.state.runtime.gate.drain()
        super().handle_exit(sig, frame)


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
        return Settings()
    except UnknownVariableError as err:
        sys.exit(f"wplus: {err}")
    except ValidationError as err:
        rows = [
            f"{PREFIX}{'_'.join(map(str, row['loc'])).upper()}: {row['msg']}, got {row['input']}"
            for row in err.errors()
        ]
        sys.exit("wplus: " + "\nwplus: ".join(rows))


def leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once: while modules are imported there is nothing to finish.

    An exception would not do, as extension modules turn it into errors of their own.
    """
    logger.info("stopped")
    logging.shutdown()
    os._exit(0)


def serve(settings: Settings) -> tuple[int, bool]:
    """Serve until told to stop; answer the exit status, and whether the device is still at work."""
    from service.app import create_app  # torch takes seconds to import: the log comes first

    # What uvicorn does with a signal once it has stopped is to raise it anew.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    failures: list[BaseException] = []

    def fail(failure: BaseException) -> None:
        failures.append(failure)
        server.should_exit = True

    app = create_app(settings, on_failure=fail)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    server = Server(config, app)
    status = 0
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    except SystemExit as ended:  # uvicorn's own, as when the port is taken, has 3
        status = ended.code if isinstance(ended.code, int) else 1
    return 1 if failures else status, app.state.runtime.engine.busy_s > 0


def main() -> int:
    """Read the settings, then serve; answer the process's exit status."""
    argparse.ArgumentParser(
        prog="python -m service",
        description=__doc__.partition(":")[0] + ".",
        epilog=describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_settings()
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)-8s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    # torch's threads wait for each other by spinning, unless told before it is imported not to. As
    # decoding and encoding want the same cores, that made a call up to ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What is compiled at the first start is found again at the next one.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(settings.cache / "compiled"))
    logger.info("starting, Ctrl-C stops")
    status, busy = serve(settings)
    logger.info("stopped")
    if busy:  # a call that takes minutes must not hold the exit up
        logging.shutdown()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
