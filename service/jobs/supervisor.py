"""Child processes that are restarted when they die, and that die with this process."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PARENT_DEATH = Path(__file__).with_name("parent_death.py")
POLL_S = 0.2
MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
KILLED_S = 5.0  # a killed process that waits for a disk may take longer
SETTLED_S = 60.0  # a child that lived longer did not die of what killed the one before

logger = logging.getLogger("service.jobs.supervisor")


class Child:
    """One child process.

    It runs in a process group of its own, because Ctrl-C signals our whole group and stopping the
    child is up to us.

    Args:
        name: What the log calls it.
        command: Program, with its full path, and arguments.
        environment: Variables added to ours.
        files: Open files that it inherits.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        files: Sequence[int] = (),
    ) -> None:
        self._name, self._command, self._files = name, command, files
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = MIN_PAUSE_S

    @property
    def pid(self) -> int | None:
        """Its process id; None if it is not running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it; call from the main thread, because the child dies when that thread ends."""
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        guard = [sys.executable, "-I", str(PARENT_DEATH), str(os.getpid()), *variables, "--"]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*guard, *self._command],
            stdin=subprocess.DEVNULL,
            pass_fds=self._files,
            process_group=0,
        )
        self._started_s = time.monotonic()

    async def keep(self) -> None:
        """Restart it whenever it has died, after a growing pause; runs until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._process is None or self._process.poll() is None:
                continue
            if time.monotonic() - self._started_s > SETTLED_S:
                self._pause_s = MIN_PAUSE_S
            logger.warning(
                "%s ended with status %d; restarting it in %.1f s",
                self._name,
                self._process.returncode,
                self._pause_s,
            )
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
            self.start()

    async def stop(self, grace_s: float) -> None:
        """Ask it to end; kill it after the grace period."""
        if self._process is None:
            return
        self._process.terminate()
        end_s = time.monotonic() + grace_s
        while self._process.poll() is None and time.monotonic() < end_s:
            await asyncio.sleep(POLL_S / 4)
        if self._process.poll() is None:
            logger.warning("%s did not end within %g s; killing it", self._name, grace_s)
            self._kill()
        while self._process.poll() is None and time.monotonic() < end_s + KILLED_S:
            await asyncio.sleep(POLL_S / 4)
        self._process = None

    def _kill(self) -> None:
        """Kill it and everything that it started, such as compilers."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
