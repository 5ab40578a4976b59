"""Generated pairs: W+ codes and the faces they render, produced while training runs."""

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
    """Generated pairs in an on-disk ring buffer; training steps draw from its newest part.

    An existing ring of another size is emptied.

    Args:
        folder: Folder of the ring.
        slots: Number of pairs it holds.
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
            # Delete the count first and write it last: a kill in between leaves an empty ring.
            (folder / "pairs_count.npy").unlink(missing_ok=True)
            for name, (shape, dtype) in shapes.items():
                np.lib.format.open_memmap(folder / name, mode="w+", dtype=dtype, shape=shape)
        self._images, self._codes, self._count = (
            np.lib.format.open_memmap(folder / name, mode="r+") for name in shapes
        )

    @property
    def count(self) -> int:
        """Number of pairs written so far, by any process."""
        return int(self._count[0])

    @classmethod
    def open(cls, folder: Path) -> "PairRing":
        """Open the ring of an existing run.

        Raises:
            InvalidInputError: If the folder has none.
        """
        try:
            codes = np.load(folder / "pairs_ws.npy", mmap_mode="r")
        except (OSError, EOFError, ValueError) as err:  # missing, empty or truncated
            raise InvalidInputError(
                f"pairs must be the folder of a run that has generated pairs, got {folder}"
            ) from err
        return cls(folder, len(codes), codes.shape[1:])

    def append(
        self,
        img: UInt8[Tensor, "batch 3 size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> None:
        """Store the next pairs, overwriting the oldest."""
        slots = np.arange(self.count, self.count + len(ws)) % self.slots
        self._images[slots] = img.cpu().numpy()
        self._codes[slots] = ws.cpu().numpy()
        self._count[0] += len(ws)

    def draw(
        self, oldest: int, newest: int, count: int, random: torch.Generator
    ) -> tuple[UInt8[Tensor, "batch 3 size size"], Float[Tensor, "batch num_ws w_dim"]]:
        """Draw pairs with replacement from indices oldest (inclusive) to newest (exclusive)."""
        return self.read(torch.randint(oldest, newest, (count,), generator=random).numpy())

    def read(
        self, indices: Sequence[int] | np.ndarray
    ) -> tuple[UInt8[Tensor, "batch 3 size size"], Float[Tensor, "batch num_ws w_dim"]]:
        """Read pairs by index."""
        slots = np.asarray(indices) % self.slots
        return torch.from_numpy(self._images[slots]), torch.from_numpy(self._codes[slots])


def _is_there(path: Path, shape: tuple[int, ...]) -> bool:
    """Return whether the file holds a complete array of that shape."""
    try:
        stored: tuple[int, ...] = np.load(path, mmap_mode="r").shape
    except (OSError, EOFError, ValueError):  # missing, empty or truncated
        return False
    return stored == shape


def make_render(
    generator: Generator,
    device: torch.device,
    compiled: bool,
    dtype: torch.dtype = torch.float32,
) -> Render:
    """Return a function that renders codes to uint8 images of 256 px, resized by area.

    Codes may be on any device; images come back on the CPU. The compiled function always renders
    RENDER_CHUNK codes, padding smaller batches, so that it compiles for one size only.

    Args:
        generator: Generator to copy; the original stays on its device.
        device: Device to render on.
        compiled: Whether to compile the generator.
        dtype: Precision to compute in.
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
    """Render one or more codes in chunks of at most RENDER_CHUNK."""
    return torch.cat([render(chunk) for chunk in ws.split(RENDER_CHUNK)])
