"""What runs in the processes that Ray starts: load the networks once, then embed shard by shard.

These processes have no `__main__` of ours, so the cache's folder is read from the environment here.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from model_core.batch.codes import about_results
from model_core.batch.command import find_models, load_predictor
from model_core.batch.embedding import Row, Wanted, rows_of
from model_core.batch.preparation import Look
from model_core.batch.shared_table import RUN, write_part
from model_core.batch.storage import Folder, prepare_object
from model_core.batch.table import schema
from model_core.batch.workers import Models, PhotoWorkers
from model_core.errors import InvalidInputError, ModelMismatchError
from model_core.predictor import Predictor
from model_core.weights.cache import cache_folder


@dataclass(frozen=True, slots=True)
class Description:
    """What a machine would write.

    Attributes:
        version: Version of wplus.
        about: What codes and figures depend on.
        second_glance: Whether its cache has the second detector.
    """

    version: str
    about: Row
    second_glance: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What the actors of a run do.

    Attributes:
        source: Address of the folder of photos.
        target: Address of the table's folder.
        run: Id of the run.
        networks: What to load: the options of `command.add_network_options`.
        wanted: What to write.
        threads: Threads of the networks.
        readers: Processes that read photos.
        compiles: Whether to compile the networks in the background.
        expected: What the driver would write; every machine must write the same.
    """

    source: str
    target: str
    run: str
    networks: argparse.Namespace
    wanted: Wanted
    threads: int
    readers: int
    compiles: bool
    expected: Description


def describe(networks: argparse.Namespace) -> Description:
    """Return what this machine would write; loads the networks, on the CPU, to find out.

    Raises:
        CheckpointError: If its cache lacks a file.
    """
    plain = {"device": "cpu", "backend": "eager", "dtype": "float32"}
    predictor = load_predictor(_cache(), argparse.Namespace(**(vars(networks) | plain)))
    return _description(predictor, find_models(_cache()))


def _description(predictor: Predictor, models: Models) -> Description:
    second_glance = models.second_glance is not None
    return Description(version("wplus"), about_results(predictor), second_glance)


def _cache() -> Path:
    return cache_folder(os.environ.get("WPLUS_CACHE"))


class ShardEmbedder:
    """An actor: embeds shards of photos and writes their files.

    Raises:
        CheckpointError: If the machine's cache lacks a file.
        ModelMismatchError: If its weights, or its wplus, differ from the driver's.
        InvalidInputError: If it does not see the folders.
    """

    def __init__(self, task: Task):
        torch.set_num_threads(task.threads)
        self._task = task
        self._source, self._target = Folder.open(task.source), Folder.open(task.target)
        self._check_folders()
        models = find_models(_cache())
        reads = None if self._source.local else partial(prepare_object, task.source)
        self._workers = PhotoWorkers(task.readers, models, reads)
        self._workers.start()
        self._predictor = load_predictor(_cache(), task.networks)
        found = _description(self._predictor, models)
        if found != task.expected:
            raise ModelMismatchError(
                f"machines must have the same wplus and weights, got {found} on "
                f"{os.uname().nodename}, and {task.expected}"
            )
        self._columns = schema((self._predictor.num_ws, self._predictor.w_dim), found.about)
        if task.compiles:
            self._predictor.import_compiler()
            self._predictor.start_compiling()

    def __call__(self, shard: Row) -> Row:
        """Embed a shard's photos and write its file.

        Args:
            shard: Its `number`, and its photos' `places` and `names`.

        Returns:
            Its number, and how many photos and faces it has.
        """
        local = self._source.local is not None
        photos = [
            (Path(place) if local else str(place), str(name))
            for place, name in zip(shard["places"], shard["names"], strict=True)
        ]
        rows: list[Row] = []
        faces = 0
        with self._files() as folder:
            prepared = self._workers.prepare(photos, Look(self._task.wanted.which))
            embedded = rows_of(prepared, self._predictor, folder, self._task.wanted)
            for photo, its_rows in embedded:
                rows += its_rows
                faces += len(photo.faces)
            self._publish(folder)
        number = int(shard["number"])
        write_part(self._target, self._task.run, number, rows, self._columns)
        return {"number": number, "photos": len(photos), "faces": faces}

    def _check_folders(self) -> None:
        for folder, seen in (
            (self._source, self._source.local is None or self._source.local.is_dir()),
            (self._target, self._target.read(RUN) == self._task.run.encode()),
        ):
            if not seen:
                raise InvalidInputError(
                    f"{folder.address} must be a folder that all machines see, got a machine "
                    f"that does not, {os.uname().nodename}"
                )

    @contextmanager
    def _files(self) -> Iterator[Path]:
        """Give the folder for images and codes: OUT, or one whose files go there later."""
        if self._target.local is not None:
            yield self._target.local
        else:
            with tempfile.TemporaryDirectory(prefix="wplus-") as folder:
                yield Path(folder)

    def _publish(self, folder: Path) -> None:
        if self._target.local is None:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                self._target.write(file.relative_to(folder).as_posix(), file.read_bytes())
