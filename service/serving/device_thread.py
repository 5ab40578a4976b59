"""The thread that owns the device, and whether it is busy or lost."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import torch

T = TypeVar("T")

logger = logging.getLogger("service.serving.device_thread")


class DeviceThread:
    """One thread for all calls of a device.

    Attributes:
        lost: Whether the device no longer answers, as found out after a failed call.

    Args:
        device: "cpu" or a CUDA device, tested after a failure.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")
        self._busy_since_s: float | None = None
        self.lost = False

    @property
    def busy_s(self) -> float:
        """Seconds that the current call has been running; 0 when idle."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def idle(self) -> bool:
        """Whether no call is running."""
        return self._busy_since_s is None

    def memory_bytes(self, kind: Literal["allocated", "reserved"]) -> int:
        """Memory of a CUDA device that tensors use, or that torch has reserved."""
        measure = {
            "allocated": torch.cuda.memory_allocated,
            "reserved": torch.cuda.memory_reserved,
        }[kind]
        return measure(self._device)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function on the thread, after the calls made before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._timed, function, args)

    def close(self) -> None:
        """Release the thread after the current call; calls that wait are cancelled."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _timed(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        self._busy_since_s = time.monotonic()
        try:
            return function(*args)
        except RuntimeError:  # what torch raises, also when the device itself is lost
            self._check_device()
            raise
        finally:
            self._busy_since_s = None

    def _check_device(self) -> None:
        """Check after a failure whether the device still works at all."""
        try:
            torch.zeros(1, device=self._device).add_(1).item()
        except RuntimeError:
            logger.exception("device %s no longer answers", self._device)
            self.lost = True
