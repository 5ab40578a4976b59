"""The named tensors of another project's file, read under our names."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_core.errors import CheckpointError

MAX_SERIES = 500
NAMES_SHOWN = 4
COPY_ALLOWANCE, COPY_GRANT_BYTES = 4, 1 << 20
"""Limit of bytes taken: a multiple of the file's size (float16 grows) plus a constant."""

HALF_TYPES = (torch.float16, torch.bfloat16)


class Tensors:
    """Named tensors of a file; each is taken once, so that none is overlooked.

    Args:
        content: Names to tensors or arrays; other values are ignored.
        spell: Translates our name of a tensor to the file's.
        turn: Converts a tensor of that name (ours) from the file's axes to ours.
    """

    def __init__(
        self,
        content: Mapping[Any, Any],
        spell: Callable[[str], str] = str,
        turn: Callable[[str, Tensor], Tensor] = lambda _, value: value,
    ):
        self.left: dict[str, Tensor] = {}
        self._spell, self._turn = spell, turn
        self._halves: set[str] = set()
        converted: dict[int, Tensor] = {}
        for name, value in content.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                # Copy to the machine's byte order; a file's arrays may have either. Share the copy
                # between names of one array, or a small file could fill all memory.
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
        return self._spell(name) in self.left

    def spelling(self, name: str) -> str:
        """Return the file's name of a tensor, given ours."""
        return self._spell(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in our axes.

        Raises:
            CheckpointError: If it is missing.
        """
        self.require([name])
        return tuple(self._turn(name, self.left[self._spell(name)]).shape)

    def require(self, names: Iterable[str]) -> None:
        """Raise CheckpointError, with the missing names, unless all these (our names) are there."""
        missing = [self._spell(name) for name in names if name not in self]
        if missing:
            raise CheckpointError(f"checkpoint must hold {shown(missing)}, got none")

    def all_or_none(self, names: Iterable[str]) -> bool:
        """Return whether optional tensors are present.

        Raises:
            CheckpointError: If only some of them are.
        """
        wanted = list(names)
        if not any(name in self for name in wanted):
            return False
        self.require(wanted)
        return True

    def take(self, name: str) -> Tensor:
        """Take a tensor by our name, as a float32 copy.

        Raises:
            CheckpointError: If it is missing, not finite, or too many tensors share its data.
        """
        theirs = self._spell(name)
        if theirs not in self.left:
            raise CheckpointError(f"checkpoint must hold {theirs}, got none")
        value = self.left.pop(theirs)
        if value.is_complex() or value.is_quantized or value.layout is not torch.strided:
            raise CheckpointError(f"{theirs} must hold plain real numbers, got {value.dtype}")
        self._budget -= 4 * value.numel()
        if self._budget < 0:
            raise CheckpointError("checkpoint must not grow beyond its file, got one that does")
        if value.dtype in HALF_TYPES:
            self._halves.add(str(value.dtype).removeprefix("torch."))
        value = value.to(torch.float32, copy=True)
        if not value.isfinite().all():
            raise CheckpointError(f"{theirs} must be finite, got NaN or infinity")
        return self._turn(name, value)

    def drop(self, pattern: str) -> None:
        """Ignore tensors that do not affect the image, by full match of the file's names."""
        self.left = {k: v for k, v in self.left.items() if not re.fullmatch(pattern, k)}

    def count(self, pattern: str, parts: Iterable[str]) -> int:
        """Return the length of a numbered series: one more than the highest number present.

        Args:
            pattern: Our name with `{}` for the number, such as `mapping.fc{}`.
            parts: Suffixes, such as `.weight`.
        """
        ends = list(parts)
        numbers = range(min(len(self.left), MAX_SERIES) + 1)
        found = [n for n in numbers if any(pattern.format(n) + end in self for end in ends)]
        return found[-1] + 1 if found else 0

    def finish(self, what: str) -> list[str]:
        """Check that every tensor was taken.

        Args:
            what: The network that was read, for the message.

        Returns:
            Remarks on the tensors.

        Raises:
            CheckpointError: If any is left over; the message names it.
        """
        if self.left:
            raise CheckpointError(
                f"checkpoint must hold only {what}, got {shown(self.left)}: it is another network"
            )
        return [
            f"the file stores weights in {kind}, rounded to 3 digits or fewer, so images differ "
            "from the original's by up to about 0.01"
            for kind in sorted(self._halves)
        ]


def shown(names: Iterable[str]) -> str:
    """List the first few names and count the rest."""
    listed = list(names)
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(name[:100] for name in listed[:NAMES_SHOWN]) + more
