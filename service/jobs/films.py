"""Everything about films that lives as long as the application: their folder, places, the sweep."""

import asyncio
import logging

from anyio.to_thread import run_sync

from model_core.errors import MissingExtraError
from service.errors import FilmsOffError, JobsUnavailableError
from service.jobs.film_folder import FilmFolder
from service.jobs.film_root import find_root
from service.jobs.film_sweep import IdleFolders
from service.jobs.sse import Streams
from service.jobs.store import JobStore
from service.observability.metrics import Telemetry
from service.serving.concurrency import is_cancelled
from service.settings import Settings

SWEEP_S = 60.0
MAX_UPLOADS = 4
MAX_DOWNLOADS = 16

logger = logging.getLogger("service.jobs.films")


class Films:
    """The films of a service; without a folder or the packages for them, each call says so.

    Args:
        settings: The service's settings.
        telemetry: The metrics.
        store: The jobs.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, store: JobStore) -> None:
        self._settings, self._telemetry, self._store = settings, telemetry, store
        self._opened: FilmFolder | None = None
        self.uploads = Streams(MAX_UPLOADS, "film uploads")
        self.downloads = Streams(MAX_DOWNLOADS, "film downloads")

    async def folder(self) -> FilmFolder:
        """Open the folder of films.

        Raises:
            FilmsOffError: If the settings name none, or it cannot be written to.
            MissingExtraError: If the packages for films are not installed.
            JobsUnavailableError: If Redis does not answer.
        """
        root = find_root(self._settings)
        if self._opened is None:
            limits = self._settings.max_film_bytes, self._settings.max_films_bytes
            queue = await self._store.queue_id()
            self._opened = await run_sync(FilmFolder, root, queue, *limits)
        return self._opened

    async def remove(self, job_id: str) -> None:
        """Delete the files of a job."""
        await run_sync((await self.folder()).remove, job_id)

    async def keep(self) -> None:
        """Sweep, and publish how much there is, every minute; runs until cancelled."""
        told = ""
        while not is_cancelled():
            try:
                await self.sweep()
            except JobsUnavailableError:  # counted where it is raised
                pass
            except (FilmsOffError, MissingExtraError) as err:
                if str(err) != told:
                    told = str(err)
                    logger.info("no films: %s", told)
            except OSError as err:
                logger.warning("the folder of films cannot be swept: %s", err)
            if not is_cancelled():
                await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Delete what no job needs any more, and publish how much is left."""
        films = await self.folder()
        idle = await run_sync(IdleFolders, films.folder)
        try:
            states = await self._store.results_of(idle.job_ids)
            count = await run_sync(idle.delete_unneeded, states)
        finally:
            idle.close()
        count += await run_sync(films.sweep_foreign)
        self._telemetry.films_swept.inc(count)
        self._telemetry.films_bytes.set(await run_sync(films.used_bytes))
        if count:
            logger.info("removed the files of %d films", count)
