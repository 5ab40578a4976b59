"""A worker on the tiny generator: `python -m tests.service.jobs.tiny`.

It reads the settings as the real one does, and TINY_STEP_S, the least time of a step. With
TINY_DETAIL it refines details too.
"""

import os
import sys

import torch

from service.jobs.worker.__main__ import work
from service.observability import logs
from service.settings import Settings
from tests.model_core.tiny import tiny_refiner

if __name__ == "__main__":
    torch.set_num_threads(1)
    settings = Settings()
    logs.set_up("info", "text")
    step_s = float(os.environ.get("TINY_STEP_S", "0"))
    refiner = tiny_refiner(step_s, detail="TINY_DETAIL" in os.environ)
    sys.exit(work(settings, settings.redis_url.get_secret_value(), refiner))
