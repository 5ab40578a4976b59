"""The time when a device has done its work."""

import time

import torch


def read_clock(device: torch.device) -> float:
    """Return the time in seconds, on `time.monotonic`'s scale, when a device has become idle.

    Calls to a CUDA device return when the work is queued, so a clock read without this measures
    launches instead of work.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()
