"""Measure the similarity at which two photos count as one person's.

    python -m model_core.evaluation.identity_threshold DIR ... [--persons TSV]

Pairs of photos of one person are compared with pairs of strangers, by the recogniser that judges
identity. Photos are aligned, as `python -m model_core.alignment` cuts them. A person is what the
table says, or the data set's own, or else the folder that a photo lies in.
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
"""Photos of one person whose thumbnails are nearer than this are copies of one picture."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """What was measured.

    Attributes:
        similarity: The threshold: the given share of strangers is at or above it.
        persons: Persons in the photos.
        photos: Photos.
        same_pairs: Pairs of one person, without copies.
        copies: Pairs that were left out as copies of one picture.
        stranger_pairs: Pairs of two persons.
        accepted: Share of the pairs of one person at or above the threshold.
        same_mean: Their mean similarity.
        stranger_mean: The strangers' mean similarity.
        area: Area under the ROC curve: how often a pair of one person is above one of strangers.
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
    """Compare all photos with each other; memory grows with their number squared.

    Args:
        descriptors: One for each photo.
        thumbnails: Pixels in [-1, 1], to tell copies by.
        persons: Who is in each photo.
        false_accepts: Share of strangers that may be taken for one person.

    Raises:
        InvalidInputError: If no two photos are of one person, or none of two persons.
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
            "photos must show some persons twice, and several persons, got "
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
    """Yield the photos of some folders with the persons in them; those without one are left out.

    Args:
        folders: Folders of photos, or folders of such folders.
        table: TSV as of `read_persons`; it stands over all else.

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
    """Compute descriptors and thumbnails of the photos that can be read, with their persons."""
    photos = Photos([file for file, _ in people])
    described, thumbnails, persons = [], [], []
    for i, (_, person) in enumerate(tqdm(people, unit="photo")):
        try:
            img = to_float(photos.read([i]))
        except ImageRejectedError as err:
            print(f"left out: {err}", file=sys.stderr)
            continue
        described.append(recogniser.descriptor(img))
        thumbnails.append(F.adaptive_avg_pool2d(img, THUMBNAIL_PX).flatten(1))
        persons.append(person)
    if not persons:
        raise InvalidInputError(f"photos must be readable, got {len(people)} that are not")
    return torch.cat(described), torch.cat(thumbnails), persons


def main(arguments: Sequence[str], cache: Path) -> int:
    """Measure from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model_core.evaluation.identity_threshold")
    parser.add_argument("photos", type=Path, nargs="+", help="aligned photos, a folder per person")
    parser.add_argument(
        "--persons", type=Path, help="TSV with file and person, in place of folders"
    )
    parser.add_argument(
        "--false-accepts",
        type=_share,
        default=FALSE_ACCEPTS,
        help="share of strangers that may be taken for one person; default %(default)s",
    )
    options = parser.parse_args(arguments)
    try:
        recogniser = load_judge(cache)
        if recogniser is None:
            raise CheckpointError(
                f"{DEFAULT_JUDGE} must be in {cache}, got none; "
                f"`python -m model_core.checkpoints pull {DEFAULT_JUDGE}` fetches it"
            )
        people = list(find_people(options.photos, options.persons))
        found = find_threshold(*describe(recogniser, people), options.false_accepts)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    print(
        f"threshold {found.similarity:.3f} at {options.false_accepts:.3g} false accepts\n"
        f"{found.persons} persons, {found.photos} photos\n"
        f"{found.same_pairs} pairs of one person (and {found.copies} copies, left out): mean "
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
