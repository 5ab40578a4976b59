"""Everything about films that lives as long as the application: their folder, places, the sweep."""

import asyncio
import logging
from pathlib import Path

from anyio.to_thread import run_sync

from model_core.errors import MissingExtraError
from service.errors import FilmElsewhereError, FilmsOffError, JobsUnavailableError
from service.jobs.film_folder import FilmFolder
from service.jobs.film_root import find_kept, find_root
from service.jobs.film_sweep import IdleFolders, sweep_foreign
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
        return await self._open(find_root(self._settings))

    async def kept(self) -> FilmFolder:
        """Open the folder of films that were taken before, even if no more are.

        Raises:
            FilmElsewhereError: If it is not known where they are, or it cannot be written to.
            JobsUnavailableError: If Redis does not answer.
        """
        return await self._open(find_kept(self._settings, await self._queue()))

    async def _open(self, root: Path) -> FilmFolder:
        if self._opened is None:
            limits = self._settings.max_film_bytes, self._settings.max_films_bytes
            self._opened = await run_sync(FilmFolder, root, await self._queue(), *limits)
        return self._opened

    async def _queue(self) -> str:
        return await self._store.queue_id() if self._opened is None else self._opened.queue

    async def remove(self, job_id: str) -> None:
        """Delete the files of a job.

        Raises:
            FilmElsewhereError: If it is not known where they are.
        """
        await run_sync((await self.kept()).remove, job_id)

    async def keep(self) -> None:
        """Sweep, and publish how much there is, every minute; runs until cancelled.

        Films that were taken before expire even where no more are taken.
        """
        told = ""
        while not is_cancelled():
            try:
                find_root(self._settings)
            except (FilmsOffError, MissingExtraError) as err:
                if str(err) != told:
                    told = str(err)
                    logger.info("no films: %s", told)
            try:
                await self.sweep()
            except (JobsUnavailableError, FilmElsewhereError):  # counted where raised; none is kept
                pass
            except OSError as err:
                logger.warning("the folder of films cannot be swept: %s", err)
            if not is_cancelled():
                await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Delete what no job needs any more, and publish how much is left."""
        films = await self.kept()
        await run_sync(films.show_alive)
        idle = await run_sync(IdleFolders, films.folder)
        try:
            states = await self._store.results_of(idle.job_ids)
            count = await run_sync(idle.delete_unneeded, states)
        finally:
            idle.close()
        count += await run_sync(sweep_foreign, films)
        self._telemetry.films_swept.inc(count)
        self._telemetry.films_bytes.set(await run_sync(films.used_bytes))
        if count:
            logger.info("removed the files of %d films", count)
