"""Find out who is in which photo, for the paper's datasets in the layout their authors ship.

CACD (Chen et al. 2014): the folder CACD2000 of AGE_NAME_NUMBER.jpg, next to
celebrity2000_meta.mat. CelebA-HQ (Karras et al. 2018), as CelebAMask-HQ (Lee et al. 2020) ships it:
the folder CelebA-HQ-img of 0.jpg to 29999.jpg, next to CelebA-HQ-to-CelebA-mapping.txt;
persons come from CelebA's identity_CelebA.txt.

Not covered: CelebA-HQ as TFRecords, which are shuffled, and celebrity2000.mat, which is HDF5.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from model_core.errors import InvalidInputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
CACD_FOLDER, CACD_TABLE = "CACD2000", "celebrity2000_meta.mat"
CACD_NAME = re.compile(r"\d+_(?P<person>.+)_\d{4}")
CELEBA_FOLDER, CELEBA_PERSONS = "CelebA-HQ-img", "identity_CelebA.txt"
CELEBA_TABLES = ("CelebA-HQ-to-CelebA-mapping.txt", "image_list.txt")
CELEBA_COUNT = 30_000
CELEBA_NAME = re.compile(r"\d{1,5}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The photos of a folder.

    Attributes:
        name: Name of the dataset; "photos" for any other folder.
        files: The photos in the order of their names.
        persons: Person by file, where known; empty if the folder has no table of persons.
    """

    name: str
    files: list[Path]
    persons: dict[Path, str]


def read_dataset(folder: Path) -> Dataset:
    """Recognise a folder of photos, as shipped or aligned (cropping keeps the file names).

    Args:
        folder: The folder of the photos, or its parent. Tables are in it, or in the parent if the
            photos' folder has the name its authors gave it.

    Raises:
        InvalidInputError: If there is no photo, or a dataset's table cannot be read or does not
            match its photos.
    """
    inner = [folder / name for name in (CACD_FOLDER, CELEBA_FOLDER)]
    photos = next((path for path in inner if path.is_dir()), folder)
    files = sorted(f for f in photos.glob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise InvalidInputError(f"photos must be folders of images, got {folder}")
    shipped = photos.name in (CACD_FOLDER, CELEBA_FOLDER)
    places = [photos, photos.resolve().parent] if shipped else [photos]
    mapping = _first(places, *CELEBA_TABLES)
    identities = _first(places, CELEBA_PERSONS, f"Anno/{CELEBA_PERSONS}")
    if mapping and identities and all(CELEBA_NAME.fullmatch(f.stem) for f in files):
        return Dataset("CelebA-HQ", files, _celeba_hq(files, mapping, identities))
    names = [CACD_NAME.fullmatch(file.stem) for file in files]
    if all(names):
        table = _first(places, CACD_TABLE)
        named = {f: name["person"] for f, name in zip(files, names, strict=True) if name}
        return Dataset("CACD", files, _cacd(files, table) if table else named)
    return Dataset("photos", files, {})


def _first(places: list[Path], *names: str) -> Path | None:
    """Return the first existing file among some names and folders, or None."""
    paths = [place / name for place in places for name in names]
    return next((path for path in paths if path.is_file()), None)


def _cacd(files: list[Path], table: Path) -> dict[Path, str]:
    """Look up photos in CACD's table, which may lack some."""
    try:
        images = loadmat(table, simplify_cells=True, variable_names=["celebrityImageData"])
        columns: dict[str, Any] = images["celebrityImageData"]
        names, persons = np.atleast_1d(columns["name"]), np.atleast_1d(columns["identity"])
        pairs = zip(names, persons, strict=True)
        persons_of = {Path(str(name)).stem: f"CACD {int(person)}" for name, person in pairs}
    except (MatReadError, OSError, NotImplementedError, LookupError, ValueError, TypeError) as err:
        raise InvalidInputError(
            f"{table.name} must be CACD's table of images and persons, got {err!r}"
        ) from err
    return {file: persons_of[file.stem] for file in files if file.stem in persons_of}


def _celeba_hq(files: list[Path], mapping: Path, identities: Path) -> dict[Path, str]:
    """Look up photos by number: first the CelebA file, then its person."""
    rows = [line.split() for line in _lines(mapping)]
    if not rows or rows[0][:3] != ["idx", "orig_idx", "orig_file"]:
        raise InvalidInputError(
            f"{mapping.name} must have the columns idx, orig_idx and orig_file, got {rows[:1]}"
        )
    originals = {row[0]: row[2] for row in rows[1:] if len(row) >= 3}
    persons = dict(row for row in (line.split() for line in _lines(identities)) if len(row) == 2)
    found = {}
    for file in files:
        original = originals.get(str(int(file.stem)))
        if original not in persons:
            raise InvalidInputError(
                f"photos of CelebA-HQ must be numbered from 0 to {CELEBA_COUNT - 1}, as in "
                f"{mapping.name}, with their originals in {identities.name}, got {file.name}"
            )
        found[file] = f"CelebA {persons[original]}"
    return found


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidInputError(f"{table.name} must be a readable text file, got {err}") from err
