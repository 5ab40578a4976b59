"""The embedders that are compared: faces in, W+ codes out."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.perceptual import Perceptual

ITERATOR_LR = 0.05

Faces = Float[Tensor, "batch 3 height width"]
Codes = Float[Tensor, "batch num_ws w_dim"]


def mean_codes(generator: Generator, faces: Faces) -> Codes:
    """Give every face the mean code."""
    return generator.w_mean.repeat(len(faces), generator.num_ws, 1)


@torch.no_grad()
def network_codes(network: EmbeddingNetwork, faces: Faces) -> Codes:
    """Embed faces one by one in float32."""
    return torch.cat([network(face[None]) for face in faces])


def iterate(
    generator: Generator,
    lpips: Perceptual,
    face: Float[Tensor, "1 3 height width"],
    start: Float[Tensor, "1 num_ws w_dim"],
    steps: int,
) -> Iterator[Float[Tensor, "1 num_ws w_dim"]]:
    """Optimise a code by Adam on MSE + LPIPS at 256 px through the generator's full output.

    Yields:
        The code after each step.
    Source: Guan et al. 2020, equation 1 with alpha = 1; the learning rate is ours.
    """
    ws = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([ws], lr=ITERATOR_LR)
    wanted = [feature.detach() for feature in lpips.features(face)]
    for _ in range(steps):
        img = F.adaptive_avg_pool2d(generator.synthesis(ws), face.shape[-1])
        loss = (img - face).square().mean() + lpips.distance(lpips.features(img), wanted).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield ws.detach().clone()


def iterator_codes(
    generator: Generator,
    lpips: Perceptual,
    faces: Faces,
    marks: list[int],
    progress: Callable[[int], None],
) -> dict[int, Codes]:
    """Run the iterator from the mean code on each face.

    Args:
        generator: Frozen.
        lpips: The perceptual part of its loss.
        faces: Aligned faces in [-1, 1].
        marks: Numbers of steps whose codes are kept.
        progress: Called with 1 after each step.

    Returns:
        Codes of all faces by number of steps.
    """
    kept: dict[int, list[Tensor]] = {mark: [] for mark in marks}
    for face in faces:
        start = mean_codes(generator, face[None])
        for step, ws in enumerate(iterate(generator, lpips, face[None], start, max(marks)), 1):
            progress(1)
            if step in kept:
                kept[step].append(ws)
    return {mark: torch.cat(codes) for mark, codes in kept.items()}
