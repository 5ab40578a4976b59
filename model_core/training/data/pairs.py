"""Generated pairs: W+ codes and the faces they render, made continuously while training goes on."""

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.images import FACE_PX, to_uint8
from model_core.runtime.backends import compile_lazily, frozen_weights

RENDER_CHUNK = 8

Render = Callable[[Float[Tensor, "batch num_ws w_dim"]], UInt8[Tensor, "batch 3 size size"]]


class PairRing:
    """Generated pairs on disk, in a ring from whose newest part training steps draw.

    A ring of other sizes than those asked for is emptied.

    Args:
        folder: Where the ring lies.
        slots: Pairs that it holds.
        code_shape: (num_ws, w_dim).
    """

    def __init__(self, folder: Path, slots: int, code_shape: tuple[int, int]):
        self.slots, self.code_shape = slots, code_shape
        shapes = {
            "pairs_img.npy": ((slots, 3, FACE_PX, FACE_PX), np.uint8),
            "pairs_ws.npy": ((slots, *code_shape), np.float32),
            "pairs_count.npy": ((1,), np.int64),
        }
        if not all(_is_there(folder / name, shape) for name, (shape, _) in shapes.items()):
            # The count goes first and comes last, so that a kill in between leaves none.
            (folder / "pairs_count.npy").unlink(missing_ok=True)
            for name, (shape, dtype) in shapes.items():
                np.lib.format.open_memmap(folder / name, mode="w+", dtype=dtype, shape=shape)
        self._images, self._codes, self._count = (
            np.lib.format.open_memmap(folder / name, mode="r+") for name in shapes
        )

    @property
    def count(self) -> int:
        """Pairs written so far, by any process."""
        return int(self._count[0])

    @classmethod
    def open(cls, folder: Path) -> "PairRing":
        """Open the ring of a run.

        Raises:
            InvalidInputError: If the folder has none.
        """
        try:
            codes = np.load(folder / "pairs_ws.npy", mmap_mode="r")
        except (OSError, EOFError, ValueError) as err:  # missing, empty, or cut off
            raise InvalidInputError(
                f"pairs must be the folder of a run that has generated some, got {folder}"
            ) from err
        return cls(folder, len(codes), codes.shape[1:])

    def append(
        self,
        img: UInt8[Tensor, "batch 3 size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> None:
        """Store the next pairs, over the oldest ones."""
        slots = np.arange(self.count, self.count + len(ws)) % self.slots
        self._images[slots] = img.cpu().numpy()
        self._codes[slots] = ws.cpu().numpy()
        self._count[0] += len(ws)

    def draw(
        self, oldest: int, newest: int, count: int, random: torch.Generator
    ) -> tuple[UInt8[Tensor, "batch 3 size size"], Float[Tensor, "batch num_ws w_dim"]]:
        """Draw pairs with an index from oldest up to below newest, with replacement."""
        return self.read(torch.randint(oldest, newest, (count,), generator=random).numpy())

    def read(
        self, indices: Sequence[int] | np.ndarray
    ) -> tuple[UInt8[Tensor, "batch 3 size size"], Float[Tensor, "batch num_ws w_dim"]]:
        """Read pairs by index."""
        slots = np.asarray(indices) % self.slots
        return torch.from_numpy(self._images[slots]), torch.from_numpy(self._codes[slots])


def _is_there(path: Path, shape: tuple[int, ...]) -> bool:
    """Tell whether a whole array of that shape is stored."""
    try:
        stored: tuple[int, ...] = np.load(path, mmap_mode="r").shape
    except (OSError, EOFError, ValueError):  # missing, empty, or cut off
        return False
    return stored == shape


def make_render(
    generator: Generator,
    device: torch.device,
    compiled: bool,
    dtype: torch.dtype = torch.float32,
) -> Render:
    """Return a function that renders codes to uint8 images of 256 px, by area.

    Codes may lie on any device; images come back on the CPU. Compiled, it renders RENDER_CHUNK
    codes whatever fewer it is given, so that it is compiled for one size.

    Args:
        generator: Copied; stays where it is.
        device: Where to render.
        compiled: Whether the generator is compiled.
        dtype: What it computes in.
    """
    generator = copy.deepcopy(generator)
    network = generator.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def synthesize(ws: Tensor) -> Tensor:
        img = network.synthesis(ws.to(device, dtype)).float()
        img = F.adaptive_avg_pool2d(img, FACE_PX)
        return to_uint8(img)

    run = compile_lazily(synthesize) if compiled else synthesize

    @torch.no_grad()
    def render(ws: Tensor) -> Tensor:
        filler = ws[-1:].expand(RENDER_CHUNK - len(ws) if compiled else 0, -1, -1)
        with frozen_weights() if compiled else nullcontext():
            return run(torch.cat([ws, filler]))[: len(ws)].cpu()

    return render


def render_all(
    render: Render, ws: Float[Tensor, "batch num_ws w_dim"]
) -> UInt8[Tensor, "batch 3 size size"]:
    """Render any number of codes, one or more, in chunks of RENDER_CHUNK at most."""
    return torch.cat([render(chunk) for chunk in ws.split(RENDER_CHUNK)])
