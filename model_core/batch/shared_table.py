"""The result table that the workers of a cluster write together.

Its layout, settings and schema are those of `model_core.batch.table`, so each continues what the
other began. Workers write whole files under numbers that the driver has given out.
"""

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_core.batch.output_folder import (
    SETTINGS,
    OutputFolder,
    other_settings,
    settings_text,
)
from model_core.batch.storage import Folder
from model_core.batch.table import TABLE, numbered, part_name
from model_core.errors import WplusError
from model_core.skipped import SKIPPED, skipped_lines

RUN = ".run"
READERS = 16  # an object store answers a request in tens of milliseconds, many at once


class SupersededError(WplusError):
    """Another run has begun to write the table."""


class SharedTable:
    """The driver's view of the table: what is finished, which numbers are free.

    On a disk it holds the lock that `wplus embed` on one machine holds; an object store has none.
    In both, the run's id is in OUT/.run, and a worker of an earlier run writes nothing any more.

    Args:
        folder: OUT.
        settings: Everything the rows depend on; a table started with others is refused.

    Attributes:
        run: This run's id.

    Raises:
        InvalidInputError: If the folder holds a table that was started with other settings, or
            another process writes it.
    """

    def __init__(self, folder: Folder, settings: Mapping[str, Any]):
        self._folder = folder
        self._output: OutputFolder | None = None
        if folder.local is not None:
            self._output = OutputFolder(folder.local, settings)
        else:
            self._check(settings)
        self.run = uuid.uuid4().hex
        folder.write(RUN, self.run.encode())

    def __enter__(self) -> "SharedTable":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._output is not None:
            self._output.leave()

    def finished(self) -> set[str]:
        """Return the names of the photos that are in the table."""
        return {name for part in self._read(["file"]) for name in part.column(0).to_pylist()}

    def free_numbers(self, wanted: int) -> list[int]:
        """Return the lowest numbers that no part has.

        A run whose shards are lost computes them anew in the order of their photos, so each gets
        the number that it would have had.
        """
        taken = self._names()
        return list(islice((number for number in count() if number not in taken), wanted))

    def list_skipped(self) -> int:
        """Write the photos without faces, with the reasons, to skipped.tsv; return their number."""
        reasons = {
            row["file"]: row["reason"]
            for part in self._read(["file", "reason"])
            for row in part.filter(pc.is_valid(part["reason"])).to_pylist()
        }
        self._folder.write(SKIPPED, skipped_lines(reasons).encode())
        return len(reasons)

    def _check(self, settings: Mapping[str, Any]) -> None:
        stored = self._folder.read(SETTINGS)
        text = settings_text(settings)
        if stored is not None and stored.decode() != text:
            raise other_settings(self._folder.address)
        self._folder.write(SETTINGS, text.encode())

    def _names(self) -> dict[int, str]:
        return numbered(self._folder.names(TABLE))

    def _read(self, columns: list[str]) -> Iterator[pa.Table]:
        def read(name: str) -> pa.Table:
            place = self._folder.place(f"{TABLE}/{name}")
            return pq.read_table(place, columns=columns, filesystem=self._folder.files)

        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(read, self._names().values())


def write_part(
    folder: Folder, run: str, number: int, rows: Sequence[Mapping[str, Any]], columns: pa.Schema
) -> None:
    """Write the rows of a shard as one file, whole or not at all.

    Args:
        folder: OUT.
        run: The run that gave out the number.
        number: The file's number.
        rows: Its rows.
        columns: From `table.schema`.

    Raises:
        SupersededError: If another run has begun.
    """
    file = io.BytesIO()
    # Codes do not compress; the other columns are small.
    pq.write_table(
        pa.Table.from_pylist([dict(row) for row in rows], columns), file, compression="none"
    )
    if folder.read(RUN) != run.encode():
        raise SupersededError(f"another run has begun to write {folder.address}")
    folder.write(f"{TABLE}/{part_name(number)}", file.getvalue())
