"""What is found in another project's checkpoint, in our terms, and how its tensors are taken."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_core.errors import CheckpointError

NOISE_SEED = 0


@dataclass(slots=True)
class Foreign:
    """A network out of another project's file.

    Attributes:
        layout: Whose layout it was.
        family: Which of our networks it is: stylegan, stylegan2, style-encoder and so on.
        config: Sizes of that network.
        state: Its weights under our names, float32.
        remarks: What was missing or unusual, and what is done about it.
        companions: Further networks of the same file, such as an encoder beside its generator.
    """

    layout: str
    family: str
    config: dict[str, Any]
    state: dict[str, Tensor]
    remarks: list[str] = field(default_factory=list)
    companions: list["Foreign"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout that can be read.

    Attributes:
        name: Whose it is.
        matches: Whether a file's content has it.
        read: Reads a content that matches.
    """

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], Foreign]


class Tensors:
    """Named tensors of a file, each taken once, so that what was not read can be told.

    Args:
        content: Names to tensors or arrays; anything else is left out.
    """

    def __init__(self, content: Mapping[Any, Any]):
        self.left: dict[str, Tensor] = {}
        for name, value in content.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                # A copy in the machine's byte order: arrays of a file may have any.
                value = torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
            elif isinstance(value, float):
                value = torch.tensor(value)
            if isinstance(value, Tensor):
                self.left[str(name)] = value

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> Tensor:
        """Take a tensor, float32 and apart from the file.

        Raises:
            CheckpointError: If it is missing, or not finite.
        """
        if name not in self.left:
            raise CheckpointError(f"checkpoint must hold {name}, got none")
        value = self.left.pop(name).to(torch.float32, copy=True)
        if not value.isfinite().all():
            raise CheckpointError(f"{name} must be finite, got NaN or infinity")
        return value

    def rename(self, rename: Callable[[str], str | None]) -> "Tensors":
        """Return the tensors under other names; None leaves one out."""
        pairs = ((rename(name), value) for name, value in self.left.items())
        return Tensors({name: value for name, value in pairs if name is not None})

    def count(self, pattern: str) -> int:
        """Return how many there are in a series: `dense{}.weight` from 0 up."""
        n = 0
        while pattern.format(n) in self.left:
            n += 1
        return n

    def refuse(self, prefixes: Iterable[str], why: str) -> None:
        """Raise CheckpointError if a name begins or goes on with one of these."""
        for name in self.left:
            if any(prefix in name for prefix in prefixes):
                raise CheckpointError(f"checkpoint must not hold {name}: {why}")


def drawn_noise(sizes: Iterable[int]) -> list[Tensor]:
    """Draw noise maps for a file that has none: (1, 1, size, size) each, the same everywhere."""
    random = np.random.default_rng(NOISE_SEED)
    return [torch.from_numpy(random.standard_normal((1, 1, n, n))).float() for n in sizes]


def has_keys(content: object, *names: str) -> bool:
    """Whether a content is a dict with these entries."""
    return isinstance(content, dict) and all(name in content for name in names)


def check_mapping(state: Mapping[str, Tensor], layers: int, w_dim: int) -> None:
    """Raise CheckpointError unless all mapping layers are as wide as a row of W+."""
    for i in range(layers):
        shape = tuple(state[f"mapping_network.layers.{i}.weight"].shape)
        if shape != (w_dim, w_dim):
            raise CheckpointError(f"mapping layer {i} must be {w_dim} wide, got {shape}")
