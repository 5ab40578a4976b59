"""Folders of aligned photographs, split by person into training and held-out ones."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from model_core.errors import InvalidInputError

PHOTO_PX = 256
HELD_OUT_ONE_IN = 5
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class Photos:
    """Aligned photographs by position, read when asked for.

    Args:
        files: Photos in a fixed order.
    """

    def __init__(self, files: Sequence[Path]):
        self.files = list(files)

    @classmethod
    def split_each(
        cls, folders: Sequence[Path], persons: Path | None = None
    ) -> list[tuple["Photos", "Photos"]]:
        """Split folder by folder, as `split` does.

        Raises:
            InvalidInputError: As split, and if there are folders but none holds a photo out.
        """
        parts = [cls.split([folder], persons) for folder in folders]
        if parts and not any(len(held_out) for _, held_out in parts):
            raise InvalidInputError(
                "photos must be enough to hold out one person in "
                f"{HELD_OUT_ONE_IN}, got {sum(len(p) for p, _ in parts)} photos and none held out"
            )
        return parts

    @classmethod
    def drawn(cls, folders: Iterable["Photos"]) -> "Photos":
        """Join folders in an order drawn by the files' names."""
        files = [file for photos in folders for file in photos.files]
        return cls(sorted(files, key=lambda file: _number(file.name)))

    def __len__(self) -> int:
        return len(self.files)

    @classmethod
    def split(
        cls, folders: Sequence[Path], persons: Path | None = None
    ) -> tuple["Photos", "Photos"]:
        """Find the photos of some folders; one person in five is held out.

        Args:
            folders: Folders of aligned photos.
            persons: TSV with the columns `file` (relative to the TSV) and `person`: all photos of a
                person fall on one side, those without a person are for training. Without it each
                file is a person of its own.

        Returns:
            Photos for training, and held-out ones in an order drawn by the files' names.
        Raises:
            InvalidInputError: If a folder holds no photo, or the TSV cannot be
                read or lacks a column.
        """
        owner = _read_persons(persons) if persons else None
        training: list[Path] = []
        held_out: list[Path] = []
        for folder in folders:
            files = sorted(f for f in folder.glob("*") if f.suffix.lower() in SUFFIXES)
            if not files:
                raise InvalidInputError(f"photos must be folders with images, got {folder}")
            for file in files:
                person = file.name if owner is None else owner.get(file.resolve(), "")
                held = person and _number(person) % HELD_OUT_ONE_IN == 0
                (held_out if held else training).append(file)
        return cls(training), cls.drawn([cls(held_out)])

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "batch 3 size size"]:
        """Decode photos, one or more, to 256 px.

        Raises:
            InvalidInputError: If a file is not a readable image.
        """
        return torch.stack([_read(self.files[i]) for i in indices])


def _read(file: Path) -> UInt8[Tensor, "3 size size"]:
    try:
        with Image.open(file) as photo:
            rgb = photo.convert("RGB")
    except OSError as err:
        raise InvalidInputError(f"photos must be readable images, got {file.name}: {err}") from err
    if rgb.size != (PHOTO_PX, PHOTO_PX):
        rgb = rgb.resize((PHOTO_PX, PHOTO_PX), Image.Resampling.BOX)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)


def _read_persons(table: Path) -> dict[Path, str]:
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
    """Hash a text to a number that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
