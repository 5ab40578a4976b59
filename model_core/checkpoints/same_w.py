"""Measure whether two generators share W: the same codes show the same person in both."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from model_core.errors import InvalidInputError
from model_core.generators.sampling import sample_w
from model_core.images import FACE_PX
from model_core.metrics.pixels import identity_similarity
from model_core.networks.loading import load_generator, load_identity

CODES = 100
FACES = 4
PSI = 0.7


@dataclass(frozen=True, slots=True)
class SharedW:
    """How similar the W spaces of two generators are.

    Attributes:
        w_distance: Largest difference in a component between both mappings of the same z.
        similarities: Cosine of face descriptors of the same code rendered by both, per face.
    """

    w_distance: float
    similarities: list[float]


@torch.inference_mode()
def compare_w(cache: Path, name: str, other: str) -> SharedW:
    """Map the same z with both generators, and render the first one's codes with both.

    Raises:
        CheckpointError: If a generator is missing or damaged.
        InvalidInputError: If their codes differ in shape.
    """
    (a, _), (b, _) = load_generator(cache, name), load_generator(cache, other)
    if (a.num_ws, a.w_dim) != (b.num_ws, b.w_dim):
        raise InvalidInputError(
            f"codes of {other} must be {a.num_ws} x {a.w_dim} like those of {name}, "
            f"got {b.num_ws} x {b.w_dim}"
        )
    codes = [sample_w(generator, range(CODES), psi=1.0) for generator in (a, b)]
    distance = float((codes[0] - codes[1]).abs().max())
    recogniser = load_identity(cache)
    similarities = []
    for code in sample_w(a, range(FACES), PSI):
        ws = code.expand(1, a.num_ws, -1)
        faces = [F.adaptive_avg_pool2d(g.synthesis(ws).clamp(-1, 1), FACE_PX) for g in (a, b)]
        descriptors = [recogniser.descriptor(face) for face in faces]
        similarities.append(float(identity_similarity(*descriptors)))
    return SharedW(distance, similarities)
