"""Fixtures that every part's tests share, and which tests may run at the same time."""

import os
from pathlib import Path
from typing import Any

import pytest

from model_core.weights.cache import cache_folder
from model_core.weights.packs import pull
from model_core.weights.progress import ConsoleProgress

ONE_AT_A_TIME = ("tests/browser/", "tests/e2e/", "tests/service/jobs/")
"""Tests that start real services, which have several processes each and share one warm service."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, and all tests of services in one; --dist is ignored.

    The last test of the shared service stops it, so their order must be that of collection.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(ONE_AT_A_TIME):
                return "services"
            return str(super()._split_scope(nodeid))

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def cache() -> Path:
    """The cache of pretrained weights, filled if it is not."""
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    pull(folder, progress=ConsoleProgress())
    return folder
