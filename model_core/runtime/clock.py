"""The time at which a device has finished its work."""

import time

import torch


def read_clock(device: torch.device) -> float:
    """Wait until a device is idle; return the time in seconds, on `time.monotonic`'s scale.

    Calls to a CUDA device return once the work is queued, so a clock read without this measures
    launches instead of work.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()
