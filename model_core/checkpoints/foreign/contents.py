"""The contents of other projects' checkpoints, in our terms."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_core.errors import CheckpointError

NOISE_SEED = 0
MAX_PREFIX, MAX_SERIES = 500, 500
NAMES_SHOWN = 4
COPY_ALLOWANCE, COPY_GRANT_BYTES = 4, 1 << 20
"""Limit of bytes taken: a multiple of the file's size (float16 grows) plus a constant."""

HALF_TYPES = (torch.float16, torch.bfloat16)


@dataclass(slots=True)
class Foreign:
    """A network read from another project's file.

    Attributes:
        layout: Name of the file's layout.
        family: Family of our network: stylegan, stylegan2, style-encoder and so on.
        config: Sizes of that network.
        state: Its weights under our names, float32.
        remarks: What was missing, assumed or unusual, and how it is handled.
        companions: Further networks in the same file, such as an encoder with its generator.
        origins: Our tensor names to the file's, where a tensor comes from the file.
    """

    layout: str
    family: str
    config: dict[str, Any]
    state: dict[str, Tensor]
    remarks: list[str] = field(default_factory=list)
    companions: list["Foreign"] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A network's tensors found in a file, with their surroundings.

    Attributes:
        state: Names to tensors, arrays or numbers.
        around: Entries of the dict that contains the network: mean codes, options.
        module: The record of a pickled network, with its settings; None for a bare state dict.
        path: Keys that lead to it from the top of the file.
    """

    state: Mapping[str, Any]
    around: Mapping[Any, Any]
    module: Any = None
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A supported layout.

    Attributes:
        name: Name of the layout.
        names: Full match of every tensor name the layout allows.
        read: Reads a network in this layout.
        reads_around: Entries next to the network that are read too.
        marker: Full match of at least one tensor name, to tell the layout from similar ones.
    """

    name: str
    names: re.Pattern[str]
    read: Callable[[Found], Foreign]
    reads_around: tuple[str, ...] = ()
    marker: re.Pattern[str] = re.compile(r".*", re.DOTALL)

    def share(self, state: Iterable[str]) -> float:
        """Return the fraction of these names that the layout knows, from 0 to 1."""
        names = list(state)
        if not any(map(self.marker.fullmatch, names)):
            return 0.0
        return sum(self.names.fullmatch(name) is not None for name in names) / len(names)


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
    """List the first few names and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(name[:100] for name in listed[:NAMES_SHOWN]) + more


def expect(name: str, got: object, *known: object) -> None:
    """Refuse a setting that changes images in a way our networks do not support.

    Raises:
        CheckpointError: If it has none of the known values; the message names both.
    """
    if got not in known:
        rule = " or ".join(map(str, known))
        raise CheckpointError(f"{name} must be {rule}, got {str(got)[:60]}: it is not supported")


def drawn_noise(sizes: Iterable[int]) -> list[Tensor]:
    """Draw noise maps for a file without any: (1, 1, size, size), the same on every machine."""
    random = np.random.default_rng(NOISE_SEED)
    return [torch.from_numpy(random.standard_normal((1, 1, n, n))).float() for n in sizes]


def has_keys(content: object, *names: str) -> bool:
    """Whether the content is a dict with these keys."""
    return isinstance(content, dict) and all(name in content for name in names)


def parts(
    root: Any, keys: tuple[str, ...], inner: str, separator: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a network's record and those nested in it, each with its name prefix.

    Args:
        root: The network's record.
        keys: Keys that every record must have.
        inner: The key that holds the nested records by name.
        separator: Separator between names.

    Raises:
        CheckpointError: If a nested value is not such a record, is too deep, or occurs twice (a
            record that contains itself would not end).
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
        waiting += [
            (f"{prefix}{name}{separator}", each)
            for name, each in part[inner].items()
            if each is not None
        ]


def check_mapping(source: Tensors, pattern: str, layers: int, w_dim: int) -> None:
    """Raise CheckpointError unless there are mapping layers, all as wide as a row of W+.

    Args:
        source: The tensors.
        pattern: Our name of a layer's weight, with `{}` for its number.
        layers: Number of layers.
        w_dim: Width of the styles' input.
    """
    source.require([pattern.format(i) for i in range(max(layers, 1))])
    for i in range(layers):
        name = source.spelling(pattern.format(i))
        shape = source.shape(pattern.format(i))
        if i == 0 and len(shape) == 2 and shape[1] != w_dim:
            raise CheckpointError(
                f"{name} must take z_dim = w_dim = {w_dim} inputs, got {shape[1]}: a "
                "generator with another z_dim, or with class labels, is not supported"
            )
        if i == layers - 1 and len(shape) == 2 and shape[0] != w_dim and shape[0] % w_dim == 0:
            raise CheckpointError(
                f"{name} must output one row of {w_dim}, got {shape[0]}: a network that maps to "
                "all rows at once is not supported"
            )
        if shape != (w_dim, w_dim):
            raise CheckpointError(f"{name} must be {w_dim} x {w_dim}, got {shape}")


def check_image(name: str, channels: int) -> None:
    """Raise CheckpointError unless an image layer outputs RGB."""
    if channels != 3:
        kind = {1: " (grey)", 4: " (RGBA)"}.get(channels, "")
        raise CheckpointError(f"{name} must have 3 output channels (RGB), got {channels}{kind}")


def check_constant(name: str, shape: tuple[int, ...]) -> None:
    """Raise CheckpointError unless a constant, (1, channels, height, width), is 4 x 4."""
    if len(shape) != 4 or shape[0] != 1 or shape[2:] != (4, 4):
        raise CheckpointError(f"{name} must be one constant of 4 x 4, got {shape}")


def check_filter(name: str, taps: Tensor, usual: tuple[int, ...]) -> None:
    """Refuse a low-pass filter other than our generator's.

    Args:
        name: The file's name of it.
        taps: One or two axes, or (channels, 1, size, size).
        usual: Our generator's taps, unscaled.

    Raises:
        CheckpointError: If the filter differs.
    """
    row = torch.tensor(usual, dtype=torch.float32)
    row = row / row.sum()
    squares = (
        torch.outer(taps, taps)[None] if taps.ndim == 1 else taps.reshape(-1, *taps.shape[-2:])
    )
    for square in squares:
        total = square.sum()
        if square.shape != (len(usual),) * 2 or not torch.allclose(
            square / total, torch.outer(row, row), atol=1e-4
        ):
            listed = ", ".join(map(str, usual))
            raise CheckpointError(f"{name} must be the filter of {listed}, got another")


def spread_remark(source: Tensors, first: str, mapping_lr: float) -> list[str]:
    """Return a warning if mapping weights do not fit the assumed learning rate multiplier.

    They start as normal samples divided by it, and training changes them little.

    Args:
        source: The tensors.
        first: Our name of the first mapping layer's weight.
        mapping_lr: The assumed multiplier.
    """
    spread = float(source.left[source.spelling(first)].float().std())
    if spread and not 1 / 4 < spread * mapping_lr < 4:
        return [
            f"mapping weights have a standard deviation of {spread:.3g}, but the assumed learning "
            f"rate multiplier of {mapping_lr:g} gives {1 / mapping_lr:g}: if the generator was "
            f"trained with another one (lr_mlp), about {1 / spread:.2g}, its codes will be wrong"
        ]
    return []
