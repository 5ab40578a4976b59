"""Contact sheets of edits: morphs, merges and colorizations (figures 8, 9 and 10)."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.evaluation.sheets import draw_grid
from model_core.images import to_float, to_uint8
from model_core.inversion.iterator import Render
from model_core.latents.editing import colorize, interpolate
from model_core.shapes import ByteImages

MORPH_STEPS = 6
GRID_FACES = 4
# ITU-R BT.601 luma weights, used by JPEG and most image software.
LUMA = (0.299, 0.587, 0.114)


@torch.no_grad()
def draw_morphs(faces: ByteImages, network: EmbeddingNetwork, render: Render, path: Path) -> None:
    """Draw blends between neighbouring faces' codes, lambda from 1 to 0 (figure 8)."""
    rows = []
    for i in range(min(GRID_FACES, len(faces) - 1)):
        left, right = network(to_float(faces[i : i + 1])), network(to_float(faces[i + 1 : i + 2]))
        frames = interpolate(left, right, MORPH_STEPS)
        rows.append([faces[i], *(_show(render, ws) for ws in frames), faces[i + 1]])
    titles = [f"lambda {1 - i / (MORPH_STEPS - 1):.1f}" for i in range(MORPH_STEPS)]
    draw_grid([*titles, "right"], rows, path, first="left")


@torch.no_grad()
def draw_merges(faces: ByteImages, network: EmbeddingNetwork, render: Render, path: Path) -> None:
    """Draw merges of identities (columns) and attributes (rows) inside the network (figure 9)."""
    some = faces[:GRID_FACES]
    identities, attributes = to_float(some), to_float(some)
    blank = torch.full_like(some[0], 255)
    rows = [[blank, *some]]
    for face, x in zip(some, attributes, strict=True):
        merged = [network(x[None], identity[None]) for identity in identities]
        rows.append([face, *(_show(render, ws) for ws in merged)])
    draw_grid(["identity from"] * len(some), rows, path, first="attributes from")


@torch.no_grad()
def draw_colorizations(
    faces: ByteImages, network: EmbeddingNetwork, render: Render, path: Path
) -> None:
    """Draw grey faces (rows) with the fine code rows of coloured ones (columns) (figure 10)."""
    some = faces[:GRID_FACES]
    luma = torch.tensor(LUMA, device=some.device).view(3, 1, 1)
    grey = (some.float() * luma).sum(1, keepdim=True).expand_as(some).round().byte()
    colours = [network(x[None]) for x in to_float(some)]
    blank = torch.full_like(some[0], 255)
    rows = [[blank, *some]]
    for face in grey:
        ws = network(to_float(face[None]))
        rows.append([face, *(_show(render, colorize(ws, colour)) for colour in colours)])
    draw_grid(["colours from"] * len(some), rows, path, first="grey")


def _show(render: Render, ws: Float[Tensor, "1 num_ws w_dim"]) -> UInt8[Tensor, "3 size size"]:
    return to_uint8(render(ws))[0]
