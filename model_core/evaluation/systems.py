"""The embedders that are compared: faces in, W+ codes out."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.iterator import Iterator, IteratorState, StepReport

Faces = Float[Tensor, "batch 3 height width"]
Codes = Float[Tensor, "batch num_ws w_dim"]


def mean_codes(generator: Generator, faces: Faces) -> Codes:
    """Give every face the mean code."""
    return generator.w_mean.repeat(len(faces), generator.num_ws, 1)


@torch.no_grad()
def network_codes(network: EmbeddingNetwork, faces: Faces) -> Codes:
    """Embed faces one by one in float32."""
    return torch.cat([network(face[None]) for face in faces])


def compiled_render(generator: Generator, size_px: int) -> Callable[[Codes], Faces]:
    """Return the generator's full output by area, compiled in bfloat16 and differentiable."""
    network = generator.to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def render(ws: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(network.synthesis(ws.to(torch.bfloat16)).float(), size_px)

    return torch.compile(render)


def iterator_codes(
    iterator: Iterator,
    faces: Faces,
    starts: Codes,
    marks: list[int],
    progress: Callable[[], object],
) -> dict[int, Codes]:
    """Run the iterator on each face.

    Args:
        iterator: What is run.
        faces: Aligned faces in [-1, 1].
        starts: One code per face.
        marks: Rising numbers of steps whose best codes are kept.
        progress: Called after each step.

    Returns:
        Codes of all faces by number of steps.
    """
    kept: dict[int, list[Tensor]] = {mark: [] for mark in marks}
    for face, start in zip(faces.split(1), starts.split(1), strict=True):
        state = IteratorState.start(start)
        for mark in marks:

            def on_step(_report: StepReport) -> bool:
                progress()
                return True

            iterator.run(state, face, mark - state.step, on_step)
            kept[mark].append(state.best_ws)
    return {mark: torch.cat(codes) for mark, codes in kept.items()}
