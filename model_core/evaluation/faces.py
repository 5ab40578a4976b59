"""The evaluated faces: held-out photographs, or a reproducible public set."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from skimage.data import astronaut
from torch import Tensor

from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.generators.sampling import Mixture, sample_codes, seeded
from model_core.images import FACE_PX, to_uint8
from model_core.shapes import ByteImages
from model_core.training.data.photos import Photos

Render = Callable[[Float[Tensor, "batch num_ws w_dim"]], Float[Tensor, "batch 3 height width"]]


def photographs(folders: Sequence[Path], persons: Path | None, count: int) -> ByteImages:
    """Read the first readable held-out photos, split as in training.

    Raises:
        InvalidInputError: If no photo is held out, or none of those can be read.
    """
    photos = Photos.split(folders, persons)[1]
    if not len(photos):
        raise InvalidInputError("photos must hold out at least one person, got none")
    faces = photos.read_first(count, lambda line: print(line, file=sys.stderr))
    if not len(faces):
        raise InvalidInputError(
            f"photos must be readable images, got {len(photos)} unreadable ones"
        )
    return faces


def public_faces(generator: Generator, render: Render, landmarks: Path, count: int) -> ByteImages:
    """Return faces that need no photos: a public-domain portrait, then generated ones.

    Args:
        generator: Source of codes, sampled as in training but from other seeds.
        render: Renders its images at 256 px.
        landmarks: dlib's 68-point predictor, to align the portrait.
        count: Number of faces, 1 or more.
    """
    random = seeded(0, "evaluation", 0)
    with torch.no_grad():
        ws = sample_codes(generator, Mixture(), max(count - 1, 1), random)[: count - 1]
        generated = [to_uint8(render(code)) for code in ws.split(1)] if count > 1 else []
    return torch.cat([portrait(landmarks), *generated])


def portrait(landmarks: Path) -> UInt8[Tensor, "1 3 size size"]:
    """Return NASA's public-domain portrait of Eileen Collins (from scikit-image), aligned."""
    # Imported here because it needs dlib, which an evaluation on photographs does not.
    from model_core.alignment.ffhq import FaceAligner

    photo = astronaut()  # type: ignore[no-untyped-call]
    aligned = FaceAligner(landmarks).crop(photo, size=FACE_PX)
    return torch.from_numpy(aligned.image.copy()).permute(2, 0, 1)[None]
