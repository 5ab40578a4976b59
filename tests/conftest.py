"""Fixtures that every part's tests share."""

import os
from pathlib import Path

import pytest

from model_core.weights.cache import cache_folder
from model_core.weights.packs import pull
from model_core.weights.progress import ConsoleProgress


@pytest.fixture(scope="session")
def cache() -> Path:
    """The cache of pretrained weights, filled if it is not."""
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    pull(folder, progress=ConsoleProgress())
    return folder
