"""The result table of a folder: Parquet files, each written atomically.

Each face is a row; a photo without faces has a row with the reason. The files in OUT/table form one
table: Parquet readers accept the folder.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model_core.atomic_file import partial_file, publish
from model_core.batch.output_folder import OutputFolder

LANDMARKS = 68
TABLE = "table"
_PART_NAME = re.compile(r"part-([0-9]{5,})\.parquet")


def part_name(number: int) -> str:
    """Return the name of a part's file."""
    return f"part-{number:05d}.parquet"


def numbered(names: Iterable[str]) -> dict[int, str]:
    """Return the file names that are those of parts, by number, in order."""
    found = (_PART_NAME.fullmatch(name) for name in names)
    return dict(sorted((int(each[1]), each.string) for each in found if each))


def schema(code_shape: tuple[int, int], about: Mapping[str, Any]) -> pa.Schema:
    """Describe the table's columns.

    Args:
        code_shape: Rows and columns of a code, which is stored row by row.
        about: Provenance of the table, stored in the files' metadata.
    """
    rows, columns = code_shape
    fields = [
        pa.field("file", pa.string(), nullable=False),
        pa.field("face", pa.int16()),
        pa.field("faces", pa.int16(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("box", pa.list_(pa.float32(), 4)),
        pa.field("landmarks", pa.list_(pa.float32(), 2 * LANDMARKS)),
        pa.field("score", pa.float32()),
        pa.field("psnr", pa.float32()),
        pa.field("ssim", pa.float32()),
        pa.field("lpips", pa.float32()),
        pa.field("identity_similarity", pa.float32()),
        pa.field("same_person", pa.bool_()),
        pa.field("code", pa.list_(pa.float32(), rows * columns)),
    ]
    return pa.schema(fields, metadata={"wplus": json.dumps(about, sort_keys=True)})


class Table:
    """The Parquet files of a folder, which no other process writes until it is left.

    Args:
        folder: The parts are in its subfolder `table`; created if missing.
        columns: From `schema`.
        settings: Everything the rows depend on; a table started with others is refused.

    Raises:
        InvalidInputError: If the folder holds a table that was started with other settings, or
            another process writes it.
    """

    def __init__(self, folder: Path, columns: pa.Schema, settings: Mapping[str, Any]):
        self._parts_folder, self._columns = folder / TABLE, columns
        self._output = OutputFolder(folder, settings)
        self._parts_folder.mkdir(exist_ok=True)
        self._next = 1 + max(self._names(), default=-1)

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_error: object) -> None:
        self._output.leave()

    def finished(self) -> set[str]:
        """Return the names of the photos that are in the table."""
        return {name for part in self._parts(["file"]) for name in part.column(0).to_pylist()}

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows as one file, which is on disk when this returns."""
        part = pa.Table.from_pylist([dict(row) for row in rows], self._columns)
        target = self._parts_folder / part_name(self._next)
        with partial_file(target) as file:
            # Codes do not compress; the other columns are small.
            pq.write_table(part, file, compression="none")
            publish(file, target)
        self._next += 1

    def list_skipped(self) -> int:
        """Write the photos without faces, with the reasons, to skipped.tsv; return their number."""
        reasons = {}
        for part in self._parts(["file", "reason"]):
            for row in part.filter(pc.is_valid(part["reason"])).to_pylist():
                reasons[row["file"]] = row["reason"]
        return self._output.list_skipped(reasons)

    def _names(self) -> dict[int, str]:
        return numbered(file.name for file in self._parts_folder.iterdir())

    def _parts(self, columns: list[str]) -> Iterator[pa.Table]:
        for name in self._names().values():
            yield pq.read_table(self._parts_folder / name, columns=columns)
