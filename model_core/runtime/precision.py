"""Decide the precision in which networks run: by the processor's units and a probe."""

import functools
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional as F

from model_core.errors import InvalidInputError

DtypeName = Literal["auto", "float32", "bfloat16"]
"""Precisions that may be requested; auto measures."""

CLEAR_WIN = 0.8
"""bfloat16 is used if it takes at most this share of float32's time."""

PROBE_CHANNELS, PROBE_PX, PROBE_ROUNDS = 128, 64, 10
AMPERE = (8, 0)
"""The first CUDA compute capability with bfloat16 units."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The precision of the networks.

    Attributes:
        dtype: torch.float32 or torch.bfloat16.
        reason: Why it was chosen, for the log and for /version.
    """

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> Literal["float32", "bfloat16"]:
        """The dtype's name."""
        return "bfloat16" if self.dtype is torch.bfloat16 else "float32"

    def autocast(self, device_type: str) -> torch.autocast:
        """Return a context in which float32 networks compute in the dtype where that is safe."""
        return torch.autocast(device_type, torch.bfloat16, enabled=self.dtype is torch.bfloat16)


FLOAT32 = Precision(torch.float32, "float32 was requested")
BFLOAT16 = Precision(torch.bfloat16, "bfloat16 was requested")


@functools.cache
def choose_precision(device: str = "cpu", asked: str = "auto") -> Precision:
    """Choose the precision of all networks on a device; measured once per process.

    Args:
        device: "cpu" or a CUDA device.
        asked: A `DtypeName`. float32 and bfloat16 are used unchecked. auto uses bfloat16 only if
            the processor reports units for it and a convolution of the generator's kind is clearly
            faster in it: without such units bfloat16 is emulated, at 5 to 25 times float32's time.
    Raises:
        InvalidInputError: If the name is none of these.
    """
    if asked == "float32":
        return FLOAT32
    if asked == "bfloat16":
        return BFLOAT16
    if asked != "auto":
        raise InvalidInputError(f"dtype must be auto, float32 or bfloat16, got {asked}")
    units = bfloat16_units(device)
    if not units:
        return Precision(torch.float32, f"{device} has no bfloat16 units")
    float32_s, bfloat16_s = probe(device)
    figures = (
        f"{device} has {', '.join(units)}, and the probe took {bfloat16_s * 1e3:.1f} ms in "
        f"bfloat16 and {float32_s * 1e3:.1f} ms in float32"
    )
    wins = bfloat16_s <= CLEAR_WIN * float32_s
    return Precision(torch.bfloat16 if wins else torch.float32, figures)


def bfloat16_units(device: str) -> list[str]:
    """Return the names of a device's bfloat16 units, as the processor reports them."""
    if torch.device(device).type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return [f"compute capability {capability[0]}.{capability[1]}"] * (capability >= AMPERE)
    stated = torch.cpu.get_capabilities()
    return sorted(name for name, there in stated.items() if "bf16" in name and there is True)


@torch.inference_mode()
def probe(device: str) -> tuple[float, float]:
    """Time a depthwise and a pointwise convolution in float32 and bfloat16, seconds each.

    Uses one thread: several wait for each other, for longer than they work on a busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _race(device)
    finally:
        torch.set_num_threads(threads)


def _race(device: str) -> tuple[float, float]:
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for i in range(PROBE_ROUNDS + 1):
        for dtype, took in seconds.items():
            took_s = time_convolution(device, dtype)
            if i:  # the first round builds kernels
                took.append(took_s)
        if i and min(seconds[torch.bfloat16]) > 4 * min(seconds[torch.float32]):
            break  # emulated: each further round would take a tenth of a second
    return min(seconds[torch.float32]), min(seconds[torch.bfloat16])


def time_convolution(device: str, dtype: torch.dtype) -> float:
    """Run what each of the generator's layers consists of; return seconds.

    On a CPU these are CPU seconds, which distinguish the two even on a busy machine.
    """
    channels, px = PROBE_CHANNELS, PROBE_PX
    x = torch.ones(1, channels, px, px, device=device, dtype=dtype)
    x = x.to(memory_format=torch.channels_last)
    depthwise = torch.ones(channels, 1, 3, 3, device=device, dtype=dtype)
    pointwise = torch.ones(channels, channels, 1, 1, device=device, dtype=dtype)
    on_cuda = torch.device(device).type == "cuda"
    clock = time.perf_counter if on_cuda else time.process_time
    if on_cuda:
        torch.cuda.synchronize(device)
    started_s = clock()
    F.conv2d(F.conv2d(x, depthwise, padding=1, groups=channels), pointwise)
    if on_cuda:
        torch.cuda.synchronize(device)
    return clock() - started_s
