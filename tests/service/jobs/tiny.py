"""A worker on the tiny generator: `python -m tests.service.jobs.tiny`.

It reads the settings as the real one does, and TINY_STEP_S, the least time of a step. With
TINY_DETAIL it refines details too, and with TINY_FILMS it edits films by stand-ins, in short parts;
that is the least time of a frame.
"""

import os
import sys

import torch

from service.jobs.worker.__main__ import work
from service.observability import logs
from service.settings import Settings
from tests.model_core.tiny import tiny_refiner
from tests.service import films

if __name__ == "__main__":
    torch.set_num_threads(1)
    settings = Settings()
    logs.set_up("info", "text")
    step_s = float(os.environ.get("TINY_STEP_S", "0"))
    refiner = tiny_refiner(step_s, detail="TINY_DETAIL" in os.environ)
    editors = None
    if frame_s := os.environ.get("TINY_FILMS"):
        films.shorten_parts()
        editors = films.FakeFilmEditors(settings, settings.films_folder, delay_s=float(frame_s))
    sys.exit(work(settings, settings.redis_url.get_secret_value(), refiner, editors))
