"""Who is in which photo of a folder, for the data sets of the paper as their authors ship them.

CACD (Chen et al. 2014): the folder CACD2000 of AGE_NAME_NUMBER.jpg, and beside it
celebrity2000_meta.mat. CelebA-HQ (Karras et al. 2018), as CelebAMask-HQ (Lee et al. 2020) ships it:
the folder CelebA-HQ-img of 0.jpg to 29999.jpg, and beside it CelebA-HQ-to-CelebA-mapping.txt;
persons are in CelebA's identity_CelebA.txt.

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
        name: Of the data set; "photos" where it is none of those above.
        files: In the order of their names.
        persons: By file, where they are known; empty where nothing says who is in which photo.
    """

    name: str
    files: list[Path]
    persons: dict[Path, str]


def read_dataset(folder: Path) -> Dataset:
    """Recognise a folder of photos, as shipped or aligned: cropping keeps the files' names.

    Args:
        folder: The photos, or the folder above them. Tables lie in it, or beside the photos where
            their folder has its authors' name.

    Raises:
        InvalidInputError: If there is no photo, or a data set's table cannot be read or does not
            fit its photos.
    """
    inner = [folder / name for name in (CACD_FOLDER, CELEBA_FOLDER)]
    photos = next((path for path in inner if path.is_dir()), folder)
    files = sorted(f for f in photos.glob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise InvalidInputError(f"photos must be folders with images, got {folder}")
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
    """Return the first file of some names in some folders, or None."""
    paths = [place / name for place in places for name in names]
    return next((path for path in paths if path.is_file()), None)


def _cacd(files: list[Path], table: Path) -> dict[Path, str]:
    """Look photos up in CACD's table, which need not have all of them."""
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
    """Look photos up by their number: first CelebA's file, then its person."""
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
                f"{mapping.name}, and their originals be in {identities.name}, got {file.name}"
            )
        found[file] = f"CelebA {persons[original]}"
    return found


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidInputError(f"{table.name} must be a readable text, got {err}") from err
