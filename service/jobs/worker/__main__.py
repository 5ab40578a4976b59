"""Runs a worker of jobs: `python -m service.jobs.worker`. It reads the service's settings.

Nothing heavy is imported before logging is set up and signals are handled.
"""

import logging
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from model_core.errors import MissingExtraError, WplusError
from service.errors import FilmsOffError
from service.jobs.film_root import find_root
from service.jobs.lease import Leases
from service.observability import logs
from service.preflight import check_device, check_metrics_port, check_worker_files
from service.process import (
    compiled_folder,
    end,
    end_on_signals,
    prepare,
    read_settings,
    serve_metrics,
    stop_on_signals,
)
from service.redis_keys import connect
from service.settings import Settings
from service.wire.signing import load_signer

if TYPE_CHECKING:
    from model_core.inversion.refiner import Refiner
    from service.jobs.worker.film_editors import FilmEditors

NICENESS = 10  # below synchronous requests on the same processors

logger = logging.getLogger("service.jobs.worker")


def load_refiner(settings: Settings) -> "Refiner":
    """Load the refiner that the settings ask for."""
    from model_core.inversion.refiner import Refiner  # torch takes seconds to import

    return Refiner.load(
        settings.cache,
        settings.device,
        settings.backend,
        settings.generator,
        settings.refine_head_path,
        settings.dtype,
        settings.detail_encoder_path,
    )


def load_films(settings: Settings) -> "FilmEditors | None":
    """Make what edits films, if there is a folder and the packages for them; loads no networks.

    Raises:
        SigningError: If a certificate is configured that cannot sign.
    """
    try:
        root = find_root(settings)
    except (FilmsOffError, MissingExtraError) as err:
        logger.info("no films: %s", err)
        return None
    from service.jobs.worker.film_editors import FilmEditors

    return FilmEditors(settings, root, load_signer(settings, version("wplus")))


def work(
    settings: Settings, url: str, refiner: "Refiner", films: "FilmEditors | None" = None
) -> None:
    """Work through the queue until SIGINT or SIGTERM; a second signal ends the process at once."""
    from service.jobs.worker.held import Intervals
    from service.jobs.worker.loop import Worker
    from service.jobs.worker.metrics import WorkerTelemetry

    is_stopping = stop_on_signals()
    telemetry = WorkerTelemetry()
    serve_metrics(settings, "worker_metrics_port", telemetry.registry)
    leases = Leases(connect(url), settings.job_lease_s, settings.shared_device)
    intervals = Intervals(settings.job_beat_s, settings.job_save_s, settings.film_turn_s)
    logger.info("waiting for jobs")
    Worker(leases, refiner, intervals, telemetry, is_stopping, films).run()


def main() -> None:
    """Read the settings, load the refiner, work."""
    settings = read_settings()
    if settings.redis_url is None:
        sys.exit("wplus: WPLUS_REDIS_URL must name a Redis or Valkey, got none")
    end_on_signals()
    logs.set_up(settings.log_level, settings.log_format)
    try:
        check_metrics_port(settings, "worker_metrics_port")
        check_worker_files(settings, compiled_folder(settings))
        prepare(settings)
        check_device(settings.device)
    except WplusError as err:
        sys.exit(f"wplus: {err}")
    if settings.shared_device and settings.device == "cpu":
        os.nice(NICENESS)
    logger.info("starting")
    try:
        films = load_films(settings)
    except WplusError as err:
        sys.exit(f"wplus: {err}")
    work(settings, settings.redis_url.get_secret_value(), load_refiner(settings), films)
    end(0)  # torch's own shutdown is slow, and a compiler may be running


if __name__ == "__main__":
    main()
