"""What the device thread runs: each operation on a batch, and all of them to warm up.

Inputs and outputs are on the CPU: uint8 images as numpy arrays, codes as float32 tensors
(num_ws, w_dim).
"""

import numpy as np
import torch

from model_core.latents.latent import Detail, Latent
from model_core.metrics.quality import Quality
from model_core.predictor import Predictor
from model_core.shapes import DetailTensor, Face, SquarePixels, Ws

Blend = tuple[Latent, Latent, float, Ws]
"""The latents of lam = 1 and lam = 0, lam, and the code between."""


def embed(predictor: Predictor, faces: list[Face]) -> list[Ws]:
    """Compute the codes of aligned faces."""
    return list(predictor.embed(np.stack(faces)))


def merge(predictor: Predictor, pairs: list[tuple[Face, Face]]) -> list[Ws]:
    """Compute codes that combine the identity of one face with the attributes of another."""
    identity, attribute = zip(*pairs, strict=True)
    return list(predictor.merge(np.stack(identity), np.stack(attribute)))


def detail(predictor: Predictor, pairs: list[tuple[Face, Ws]]) -> list[DetailTensor]:
    """Compute what codes leave out of their faces."""
    faces, codes = zip(*pairs, strict=True)
    return list(predictor.encode_detail(np.stack(faces), torch.stack(codes)))


def blend(predictor: Predictor, blends: list[Blend]) -> list[Latent]:
    """Move the details of each pair of latents to the code between them, and blend them."""
    return [predictor.blend(*each) for each in blends]


def synthesize(predictor: Predictor, latents: list[Latent]) -> list[SquarePixels]:
    """Render latents."""
    return list(predictor.render(latents))


def quality(predictor: Predictor, pairs: list[tuple[Face, SquarePixels]]) -> list[Quality]:
    """Compare aligned faces with their reconstructions."""
    faces, images = zip(*pairs, strict=True)
    return predictor.quality(np.stack(faces), np.stack(images))


def sample(predictor: Predictor, draws: list[tuple[int, float]]) -> list[Ws]:
    """Draw codes, each of a seed and a truncation psi."""
    return [predictor.sample(seed, psi)[0] for seed, psi in draws]


def warm_up(predictor: Predictor, size: int) -> None:
    """Warm up every operation as requests run it: compilers specialise on strides and layout."""
    faces = [np.full((256, 256, 3), 127, np.uint8)] * size
    code = predictor.sample(0, 0.7)[0]
    codes = embed(predictor, faces) if predictor.embeds else [code] * size
    images = synthesize(predictor, [Latent(code) for code in codes])
    if predictor.detail_shape:
        details = detail(predictor, list(zip(faces, codes, strict=True)))
        latents = [Latent(*pair) for pair in zip(codes, map(Detail, details, codes), strict=True)]
        synthesize(predictor, [latent.moved_to(latent.ws + 0.1) for latent in latents])
        blend(predictor, [(latents[0], latents[0], 0.5, codes[0])])
    if predictor.merges:
        merge(predictor, list(zip(faces, faces, strict=True)))
    quality(predictor, list(zip(faces, images, strict=True)))
    if predictor.polishes and size == 1:
        predictor.polishing(faces[0][None], code[None]).go_on(0.0)
