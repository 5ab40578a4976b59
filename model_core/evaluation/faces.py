"""The faces that are measured: held-out photographs, or faces that anyone can make again."""

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
    """Read the first held-out photos that can be read, held out as in training.

    Raises:
        InvalidInputError: If none is held out, or none of them can be read.
    """
    photos = Photos.split(folders, persons)[1]
    if not len(photos):
        raise InvalidInputError("photos must hold out at least one person, got none")
    faces = photos.read_first(count, lambda line: print(line, file=sys.stderr))
    if not len(faces):
        raise InvalidInputError(f"photos must be readable images, got {len(photos)} that are not")
    return faces


def public_faces(generator: Generator, render: Render, landmarks: Path, count: int) -> ByteImages:
    """Make faces that need no photos: a portrait in the public domain, then generated ones.

    Args:
        generator: Codes are sampled as in training, from seeds of their own.
        render: Its images at 256 px.
        landmarks: dlib's 68-point predictor, for the portrait's alignment.
        count: Faces in all, one or more.
    """
    random = seeded(0, "evaluation", 0)
    with torch.no_grad():
        ws = sample_codes(generator, Mixture(), max(count - 1, 1), random)[: count - 1]
        generated = [to_uint8(render(code)) for code in ws.split(1)] if count > 1 else []
    return torch.cat([portrait(landmarks), *generated])


def portrait(landmarks: Path) -> UInt8[Tensor, "1 3 size size"]:
    """Return NASA's portrait of Eileen Collins, aligned: in the public domain, in scikit-image."""
    # Brings dlib, which may be missing where photographs are given.
    from model_core.alignment.ffhq import FaceAligner

    photo = astronaut()  # type: ignore[no-untyped-call]
    aligned = FaceAligner(landmarks).crop(photo, size=FACE_PX)
    return torch.from_numpy(aligned.image.copy()).permute(2, 0, 1)[None]
