"""What is found in another project's checkpoint, in our terms, and how its tensors are taken."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_core.errors import CheckpointError

NOISE_SEED = 0
MAX_PREFIX = 500
COPY_ALLOWANCE, COPY_GRANT_BYTES = 4, 1 << 20
"""Bytes that may be taken, in multiples of those in a file and on top: smaller types grow."""


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
        converted: dict[int, Tensor] = {}
        for name, value in content.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                # A copy in the machine's byte order: arrays of a file may have any. One for all
                # its names, or a small file could take all memory.
                if id(value) not in converted:
                    order = value.dtype.newbyteorder("=")
                    converted[id(value)] = torch.from_numpy(np.array(value, order))
                value = converted[id(value)]
            elif isinstance(value, float):
                value = torch.tensor(value)
            if isinstance(value, Tensor):
                self.left[str(name)] = value
        storages = [value.untyped_storage() for value in self.left.values()]
        distinct = {each.data_ptr(): each.nbytes() for each in storages}
        self._budget = COPY_ALLOWANCE * sum(distinct.values()) + COPY_GRANT_BYTES

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> Tensor:
        """Take a tensor, float32 and apart from the file.

        Raises:
            CheckpointError: If it is missing, not finite, or one of too many on the same numbers.
        """
        if name not in self.left:
            raise CheckpointError(f"checkpoint must hold {name}, got none")
        self._budget -= 4 * self.left[name].numel()
        if self._budget < 0:
            raise CheckpointError("checkpoint must not grow beyond its file, got one that does")
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


def parts(
    root: Any, keys: tuple[str, ...], inner: str, separator: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a network's record and those inside it, each with what goes before its names.

    Args:
        root: The network's record.
        keys: Entries that each record must have.
        inner: Which of them holds the records inside, by name.
        separator: Stands between names.

    Raises:
        CheckpointError: If one is no such record, lies too deep, or is met twice: one that holds
            itself would have no end.
    """
    waiting, met = [("", root)], set()
    while waiting:
        prefix, part = waiting.pop()
        if not has_keys(part, *keys):
            raise CheckpointError(f"{prefix or 'generator'} must be a network, got another object")
        if id(part) in met or len(prefix) > MAX_PREFIX:
            raise CheckpointError(
                f"parts of a network must differ and have names of at most {MAX_PREFIX} letters, "
                f"got {prefix[:40]}"
            )
        met.add(id(part))
        yield prefix, part
        waiting += [(f"{prefix}{name}{separator}", each) for name, each in part[inner].items()]


def check_mapping(state: Mapping[str, Tensor], layers: int, w_dim: int) -> None:
    """Raise CheckpointError unless all mapping layers are as wide as a row of W+."""
    for i in range(layers):
        shape = tuple(state[f"mapping_network.layers.{i}.weight"].shape)
        if shape != (w_dim, w_dim):
            raise CheckpointError(f"mapping layer {i} must be {w_dim} wide, got {shape}")
