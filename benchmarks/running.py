"""Run the real service as a child process, on a free loopback port with its own job queue.

Not covered: systems without /proc, where the service cannot report its resident size.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx

from model_core.runtime.backends import can_compile
from model_core.weights.cache import cache_folder

ROOT = Path(__file__).parents[1]
START_S, STOP_S = 900, 60
LOG_END = 2000
OVERRIDING = ("WPLUS_", "TORCHINDUCTOR_CACHE_DIR")  # variables that would affect the measurement
# Compiled in the background, unless an earlier start found the fallback faster.
COMPILED = ("generator", "quality", "polisher", "embedding network", "first refiner", "refiner")
SETTLED = "is not compiled: here|compiled in|cannot be compiled"


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, its children left out."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    ticks = int(fields[11]) + int(fields[12])  # utime and stime, the 14th and 15th
    return ticks / os.sysconf("SC_CLK_TCK")


class Service:
    """`python -m service` with the default settings; entering waits until it runs at full speed.

    Args:
        compiled: Folder of compiled code; default: the cache's.
        compile_s: Seconds to wait for compilation after it is ready; by then it is measured as it
            is. None waits until it ends.
        settings: Fields of service.settings.Settings to override.

    Attributes:
        url: URL of the service.
        ready_s: Seconds from start until it reports ready, to a tenth.
        fast_s: Seconds from start until /version names the generator's final backend, to a tenth.
        settled_s: Seconds from start until everything is compiled, to a tenth; None if it is not.
        stopped_s: Seconds from SIGTERM until its process has ended, after leaving.
    """

    settled_s: float | None = None

    def __init__(
        self, compiled: Path | None = None, compile_s: float | None = None, **settings: object
    ) -> None:
        self._settings, self._compile_s = settings, compile_s
        self._device = str(settings.get("device", "cpu"))
        self._compiled = compiled or cache_folder(os.environ.get("WPLUS_CACHE")) / "compiled"

    def __enter__(self) -> "Service":
        self._folder = tempfile.TemporaryDirectory(prefix="wplus-bench-")
        folder = Path(self._folder.name)
        self._compiled.mkdir(exist_ok=True)
        (folder / "compiled").symlink_to(self._compiled.resolve())
        weights = cache_folder(os.environ.get("WPLUS_CACHE")) / "weights"
        (folder / "weights").symlink_to(weights.resolve())
        self._worker_port = _free_port()
        own = {"cache": folder, "port": 0, "worker_metrics_port": self._worker_port}
        variables = {f"WPLUS_{k.upper()}": str(v) for k, v in (own | self._settings).items()}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(OVERRIDING)}
        self._log = folder / "log"
        started_s = time.monotonic()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service"], cwd=ROOT, env=inherited | variables, stderr=log
            )
        try:
            self._wait_for(lambda: "running on" in self.log)
            self.url = re.findall(r"running on (http://[\d.:]+)", self.log)[0]
            with httpx.Client(
                base_url=self.url, timeout=60
            ) as http:  # creating a client takes 30 ms
                self._wait_for(lambda: http.get("/readyz").is_success)
                self.ready_s = time.monotonic() - started_s
                limit_s = self._compile_s
                if self._wait_for(
                    lambda: self._is_fast(http.get("/version").json()["backend"]), limit_s
                ):
                    self.fast_s = time.monotonic() - started_s
            if limit_s is not None:
                limit_s -= time.monotonic() - started_s - self.ready_s
            if self._wait_for(self._is_settled, limit_s):
                self.settled_s = time.monotonic() - started_s
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        signalled_s = time.monotonic()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.stopped_s = time.monotonic() - signalled_s
        self._folder.cleanup()

    @property
    def log(self) -> str:
        """The log so far."""
        return self._log.read_text()

    def cpu_s(self) -> float:
        """Return the processor time that the service has used, its refine worker's left out."""
        return processor_s(self._process.pid)

    def resident_bytes(self) -> dict[str, int]:
        """Return the resident size of its processes."""
        worker = f"http://127.0.0.1:{self._worker_port}"
        return {"service": _resident_bytes(self.url), "worker": _resident_bytes(worker)}

    def _is_fast(self, backend: str) -> bool:
        """Whether the generator runs on its final backend."""
        settled = re.search(f"generator ({SETTLED})", self.log)
        return backend == "compile" or not can_compile(self._device) or settled is not None

    def _is_settled(self) -> bool:
        """Whether background compilation is finished or has failed for every network."""
        log = self.log
        return "waiting for jobs" in log and (
            not can_compile(self._device)
            or all(re.search(f": {name} ({SETTLED})", log) for name in COMPILED)
        )

    def _wait_for(self, condition: Callable[[], bool], limit_s: float | None = None) -> bool:
        """Return whether it came true within the limit; without one, raise if it did not."""
        end_s = time.monotonic() + (START_S if limit_s is None else limit_s)
        while not condition():
            late = time.monotonic() > end_s
            if late and limit_s is not None:
                return False
            if late or self._process.poll() is not None:
                raise RuntimeError(
                    f"service must be ready within {START_S} s, got:\n{self.log[-LOG_END:]}"
                )
            time.sleep(0.1)
        return True


def _resident_bytes(url: str) -> int:
    text = httpx.get(f"{url}/metrics", timeout=60).text
    return int(float(re.findall(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)[0]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
