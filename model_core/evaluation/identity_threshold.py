"""Measure the similarity at which two photos count as one person's.

    python -m model_core.evaluation.identity_threshold DIR ... [--persons TSV]

Compares pairs of photos of one person with pairs of strangers, using the recogniser that judges
identity. Photos must be aligned crops, as `python -m model_core.alignment` makes them. The person
comes from the table, else from the dataset's own table, else from the photo's folder.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from model_core.encoders.faceres import FaceRes
from model_core.errors import CheckpointError, ImageRejectedError, InvalidInputError, WplusError
from model_core.images import to_float
from model_core.networks.loading import load_judge
from model_core.training.data.datasets import SUFFIXES, read_dataset
from model_core.training.data.photos import Photos, read_persons
from model_core.weights.cache import DEFAULT_JUDGE, cache_folder

FALSE_ACCEPTS = 0.01
THUMBNAIL_PX = 32
COPY_MSE = 0.02
"""Photos of one person whose thumbnails are closer than this count as copies of one photo."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A measured threshold.

    Attributes:
        similarity: The threshold: the given fraction of stranger pairs is at or above it.
        persons: Number of persons.
        photos: Number of photos.
        same_pairs: Pairs of one person, without copies.
        copies: Pairs skipped as copies of one photo.
        stranger_pairs: Pairs of two persons.
        accepted: Fraction of same-person pairs at or above the threshold.
        same_mean: Mean similarity of same-person pairs.
        stranger_mean: Mean similarity of stranger pairs.
        area: Area under the ROC curve: the probability that a same-person pair scores higher
            than a stranger pair.
    """

    similarity: float
    persons: int
    photos: int
    same_pairs: int
    copies: int
    stranger_pairs: int
    accepted: float
    same_mean: float
    stranger_mean: float
    area: float


def find_threshold(
    descriptors: Float[Tensor, "n d"],
    thumbnails: Float[Tensor, "n m"],
    persons: Sequence[str],
    false_accepts: float = FALSE_ACCEPTS,
) -> Threshold:
    """Compare all photos with each other; memory grows with the square of their number.

    Args:
        descriptors: One per photo.
        thumbnails: Pixels in [-1, 1], to detect copies.
        persons: Person in each photo.
        false_accepts: Fraction of stranger pairs that may be accepted.

    Raises:
        InvalidInputError: If there is no same-person pair or no stranger pair.
    """
    unit = F.normalize(descriptors)
    names = np.asarray(persons)
    upper = np.triu(np.ones((len(names), len(names)), bool), 1)  # each pair once
    same: Bool[np.ndarray, "n n"] = (names[:, None] == names) & upper
    alike = (unit @ unit.T).numpy()
    rows, columns = np.nonzero(same)
    apart = (thumbnails[rows] - thumbnails[columns]).square().mean(dim=1).numpy()
    own, strangers = alike[rows, columns][apart >= COPY_MSE], np.sort(alike[upper & ~same])
    if not len(own) or not len(strangers):
        raise InvalidInputError(
            "photos must show several persons, and some of them twice, got "
            f"{len(own)} pairs of one person and {len(strangers)} of strangers"
        )
    threshold = float(np.quantile(strangers, 1 - false_accepts))
    return Threshold(
        similarity=threshold,
        persons=len(set(persons)),
        photos=len(persons),
        same_pairs=len(own),
        copies=int((apart < COPY_MSE).sum()),
        stranger_pairs=len(strangers),
        accepted=float((own >= threshold).mean()),
        same_mean=float(own.mean()),
        stranger_mean=float(strangers.mean()),
        area=float((np.searchsorted(strangers, own) / len(strangers)).mean()),
    )


def find_people(folders: Sequence[Path], table: Path | None) -> Iterator[tuple[Path, str]]:
    """Yield photos with their persons; skip photos without one.

    Args:
        folders: Folders of photos, or folders of such folders.
        table: TSV, see `read_persons`; overrides all other sources.

    Raises:
        InvalidInputError: If a folder holds no photo, or the table cannot be read.
    """
    owner = read_persons(table) if table else {}
    for folder in folders:
        flat = any(file.suffix.lower() in SUFFIXES for file in folder.glob("*"))
        inner = [folder] if flat else sorted(each for each in folder.glob("*") if each.is_dir())
        for photos in inner or [folder]:
            layout = read_dataset(photos)
            for file in layout.files:
                fallback = layout.persons.get(file, "" if table or flat else photos.name)
                if person := owner.get(file.resolve(), fallback):
                    yield file, person


@torch.inference_mode()
def describe(
    recogniser: FaceRes, people: Sequence[tuple[Path, str]]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n m"], list[str]]:
    """Return descriptors, thumbnails and persons of the readable photos."""
    photos = Photos([file for file, _ in people])
    described, thumbnails, persons = [], [], []
    for i, (_, person) in enumerate(tqdm(people, unit="photo")):
        try:
            img = to_float(photos.read([i]))
        except ImageRejectedError as err:
            print(f"skipped: {err}", file=sys.stderr)
            continue
        described.append(recogniser.descriptor(img))
        thumbnails.append(F.adaptive_avg_pool2d(img, THUMBNAIL_PX).flatten(1))
        persons.append(person)
    if not persons:
        raise InvalidInputError(f"photos must be readable, got {len(people)} unreadable ones")
    return torch.cat(described), torch.cat(thumbnails), persons


def main(arguments: Sequence[str], cache: Path) -> int:
    """Measure the threshold from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model_core.evaluation.identity_threshold")
    parser.add_argument("photos", type=Path, nargs="+", help="aligned photos, a folder per person")
    parser.add_argument(
        "--persons", type=Path, help="TSV with file and person, used instead of folders"
    )
    parser.add_argument(
        "--false-accepts",
        type=_share,
        default=FALSE_ACCEPTS,
        help="fraction of stranger pairs that may be accepted; default %(default)s",
    )
    options = parser.parse_args(arguments)
    try:
        recogniser = load_judge(cache)
        if recogniser is None:
            raise CheckpointError(
                f"{DEFAULT_JUDGE} is not in {cache}; "
                f"run `python -m model_core.checkpoints pull {DEFAULT_JUDGE}`"
            )
        people = list(find_people(options.photos, options.persons))
        found = find_threshold(*describe(recogniser, people), options.false_accepts)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    print(
        f"threshold {found.similarity:.3f} at {options.false_accepts:.3g} false accepts\n"
        f"{found.persons} persons, {found.photos} photos\n"
        f"{found.same_pairs} pairs of one person ({found.copies} copies skipped): mean "
        f"{found.same_mean:.3f}, at or above the threshold {found.accepted:.3f}\n"
        f"{found.stranger_pairs} pairs of strangers: mean {found.stranger_mean:.3f}\n"
        f"area under the curve {found.area:.4f}"
    )
    return 0


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text}")
    return share


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
