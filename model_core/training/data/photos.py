"""Folders of aligned photographs, split by person into a training and a held-out set."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from model_core.errors import BrokenImageError, ImageRejectedError, InvalidInputError
from model_core.images import FACE_PX
from model_core.photos.reader import PhotoLimits, read_photo
from model_core.training.data.datasets import Dataset, read_dataset

HELD_OUT_ONE_IN = 5


class NotAlignedError(ImageRejectedError):
    """A photo is not an aligned face crop."""


class Photos:
    """A sequence of aligned photographs, read on demand.

    Args:
        files: Photos in a fixed order.
    """

    def __init__(self, files: Sequence[Path]):
        self.files = list(files)

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of each file; reads every file once."""
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files]

    @classmethod
    def split_each(
        cls,
        folders: Sequence[Path],
        persons: Path | None = None,
        report: Callable[[str], object] | None = None,
    ) -> list[tuple["Photos", "Photos"]]:
        """Split folder by folder, like `split`.

        Args:
            folders: See split.
            persons: See split.
            report: Receives one line per folder: which dataset it is, and the split.

        Raises:
            InvalidInputError: As in split, or if no folder yields a held-out photo.
        """
        owner = read_persons(persons) if persons else None
        parts = []
        for folder in folders:
            dataset = read_dataset(folder)
            training, held_out = cls._divide(dataset, owner)
            parts.append((training, held_out))
            if report:
                report(
                    f"{folder}: {dataset.name}, {len(training)} for training, "
                    f"{len(held_out)} held out"
                )
        if parts and not any(len(held_out) for _, held_out in parts):
            raise InvalidInputError(
                "photos must be enough to hold out one person in "
                f"{HELD_OUT_ONE_IN}, got {sum(len(p) for p, _ in parts)} photos, none held out"
            )
        return parts

    @classmethod
    def drawn(cls, folders: Iterable["Photos"]) -> "Photos":
        """Join folders in a pseudo-random order derived from the file names."""
        files = [file for photos in folders for file in photos.files]
        return cls(sorted(files, key=lambda file: _number(file.name)))

    def __len__(self) -> int:
        return len(self.files)

    @classmethod
    def split(
        cls, folders: Sequence[Path], persons: Path | None = None
    ) -> tuple["Photos", "Photos"]:
        """Find the photos of some folders and hold out one person in five.

        All photos of a person land on the same side; photos without a person are for training.

        Args:
            folders: Folders of aligned photos, either datasets known to
                model_core.training.data.datasets or any others. In the latter each file counts as
                a person of its own, unless persons is given.
            persons: TSV with the columns `file` (relative to the TSV) and `person`. It overrides
                the dataset's table; in other folders, files missing from it have no person.

        Returns:
            Photos for training, and held-out ones in a pseudo-random order derived from the file
            names.
        Raises:
            InvalidInputError: If a folder holds no photo, or the TSV cannot be
            read or lacks a column.
        """
        owner = read_persons(persons) if persons else None
        datasets = [read_dataset(folder) for folder in folders]
        parts = [cls._divide(dataset, owner) for dataset in datasets]
        training = [file for part, _ in parts for file in part.files]
        return cls(training), cls.drawn(part for _, part in parts)

    @classmethod
    def _divide(cls, dataset: Dataset, owner: dict[Path, str] | None) -> tuple["Photos", "Photos"]:
        """Split one folder's photos into training and held-out ones."""
        training: list[Path] = []
        held_out: list[Path] = []
        for file in dataset.files:
            person = dataset.persons.get(file, "")
            if owner is not None:
                person = owner.get(file.resolve(), person)
            elif not dataset.persons:
                person = file.name
            held = person and _number(person) % HELD_OUT_ONE_IN == 0
            (held_out if held else training).append(file)
        return cls(training), cls.drawn([cls(held_out)])

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "batch 3 size size"]:
        """Decode one or more photos to 256 px.

        Raises:
            ImageRejectedError: If a file is not a readable image, or not square.
        """
        return torch.stack([_read(self.files[i]) for i in indices])

    def read_first(
        self, count: int, report: Callable[[str], object] | None = None
    ) -> UInt8[Tensor, "batch 3 size size"]:
        """Decode the first `count` readable photos, or fewer if there are not enough.

        Args:
            count: Number of photos, 0 or more.
            report: Receives a line about each skipped photo.
        """
        read: list[Tensor] = []
        for file in self.files:
            if len(read) == count:
                break
            try:
                read.append(_read(file))
            except ImageRejectedError as err:
                if report:
                    report(f"left out: {err}")
        none = torch.empty(0, 3, FACE_PX, FACE_PX, dtype=torch.uint8)
        return torch.stack(read) if read else none


def _read(file: Path) -> UInt8[Tensor, "3 size size"]:
    try:
        pixels = read_photo(file.read_bytes(), PhotoLimits()).pixels
    except OSError as err:
        raise BrokenImageError(f"{file.name}: {err}") from err
    except ImageRejectedError as err:
        raise type(err)(f"{file.name}: {err}") from err
    height, width, _ = pixels.shape
    if height != width:
        raise NotAlignedError(
            f"{file.name}: photo must be square, got {width}x{height}; "
            "crop faces with `python -m model_core.alignment`"
        )
    rgb = Image.fromarray(pixels)
    if rgb.size != (FACE_PX, FACE_PX):
        rgb = rgb.resize((FACE_PX, FACE_PX), Image.Resampling.BOX)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)


def read_persons(table: Path) -> dict[Path, str]:
    """Read a TSV with the columns `file` (relative to the TSV) and `person`.

    Raises:
        InvalidInputError: If it cannot be read or lacks a column.
    """
    try:
        with table.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, delimiter="\t")
            rows, columns = list(reader), list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise InvalidInputError(f"persons must be a readable TSV, got {table}: {err}") from err
    if not {"file", "person"} <= set(columns):
        raise InvalidInputError(
            f"{table.name} must have the columns file and person, got {columns}"
        )
    return {(table.parent / row["file"]).resolve(): row["person"] or "" for row in rows}


def _number(text: str) -> int:
    """Hash a text to a number, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
