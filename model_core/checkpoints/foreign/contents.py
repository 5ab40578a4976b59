"""What is found in another project's checkpoint, in our terms, and how its tensors are taken."""

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
"""Bytes that may be taken, in multiples of those in a file and on top: smaller types grow."""

HALF_TYPES = (torch.float16, torch.bfloat16)


@dataclass(slots=True)
class Foreign:
    """A network out of another project's file.

    Attributes:
        layout: Whose layout it was.
        family: Which of our networks it is: stylegan, stylegan2, style-encoder and so on.
        config: Sizes of that network.
        state: Its weights under our names, float32.
        remarks: What was missing, assumed or unusual, and what is done about it.
        companions: Further networks of the same file, such as an encoder beside its generator.
        origins: Our names to those that the file has, where a tensor has one.
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
    """A network's tensors inside a file's content, and what lies around them.

    Attributes:
        state: Names to tensors, arrays or numbers.
        around: Entries of the dict that holds the network: mean codes, options.
        module: The record of a pickled network, with its settings; None for a bare state dict.
        path: Names that lead to it from the top of the file.
    """

    state: Mapping[str, Any]
    around: Mapping[Any, Any]
    module: Any = None
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout that can be read.

    Attributes:
        name: Whose it is.
        names: Matches in full each name that a tensor of it may have.
        read: Reads what has these names.
        reads_around: Entries beside the network that are read too.
        marker: Matches in full at least one name of each file, where others share most names.
    """

    name: str
    names: re.Pattern[str]
    read: Callable[[Found], Foreign]
    reads_around: tuple[str, ...] = ()
    marker: re.Pattern[str] = re.compile(r".*", re.DOTALL)

    def share(self, state: Iterable[str]) -> float:
        """Return which part of these names the layout has, from 0 to 1."""
        names = list(state)
        if not any(map(self.marker.fullmatch, names)):
            return 0.0
        return sum(self.names.fullmatch(name) is not None for name in names) / len(names)


class Tensors:
    """Named tensors of a file, each taken once, so that none stays unnoticed.

    Args:
        content: Names to tensors or arrays; anything else is left out.
        spell: Our name for a tensor to the one that the file has.
        turn: Brings a tensor of that name (ours) from the file's axes into ours.
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
        return self._spell(name) in self.left

    def spelling(self, name: str) -> str:
        """Return how the file calls what we call this."""
        return self._spell(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in our axes.

        Raises:
            CheckpointError: If it is missing.
        """
        self.require([name])
        return tuple(self._turn(name, self.left[self._spell(name)]).shape)

    def require(self, names: Iterable[str]) -> None:
        """Raise CheckpointError unless all these (our names) are there; it names what is not."""
        missing = [self._spell(name) for name in names if name not in self]
        if missing:
            raise CheckpointError(f"checkpoint must hold {shown(missing)}, got none")

    def all_or_none(self, names: Iterable[str]) -> bool:
        """Tell whether what a file may leave out is there; a part of it is damage.

        Raises:
            CheckpointError: If some are there and others are not.
        """
        wanted = list(names)
        if not any(name in self for name in wanted):
            return False
        self.require(wanted)
        return True

    def take(self, name: str) -> Tensor:
        """Take a tensor by our name, float32 and apart from the file.

        Raises:
            CheckpointError: If it is missing, not finite, or one of too many on the same numbers.
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
        """Leave aside what has no part in the image: the file's names that match in full."""
        self.left = {k: v for k, v in self.left.items() if not re.fullmatch(pattern, k)}

    def count(self, pattern: str, parts: Iterable[str]) -> int:
        """Return how long a series is: one more than the highest number that has any part.

        Args:
            pattern: Our name with `{}` for the number, such as `mapping.fc{}`.
            parts: What follows it, such as `.weight`.
        """
        ends = list(parts)
        numbers = range(min(len(self.left), MAX_SERIES) + 1)
        found = [n for n in numbers if any(pattern.format(n) + end in self for end in ends)]
        return found[-1] + 1 if found else 0

    def finish(self, what: str) -> list[str]:
        """Make sure that every tensor was taken.

        Args:
            what: Which network has been read, for the message.

        Returns:
            Remarks on what was taken.
        Raises:
            CheckpointError: If one is left over; it is named.
        """
        if self.left:
            raise CheckpointError(
                f"checkpoint must hold nothing but {what}, got {shown(self.left)}: the network is "
                "another one"
            )
        return [
            f"weights are {kind} in the file: they were rounded when it was saved (to 3 digits or "
            "fewer), so images differ from the original's by up to about 0.01"
            for kind in sorted(self._halves)
        ]


def shown(names: Iterable[str]) -> str:
    """List the first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(name[:100] for name in listed[:NAMES_SHOWN]) + more


def expect(name: str, got: object, *known: object) -> None:
    """Refuse a setting that changes images in a way that our networks do not have.

    Raises:
        CheckpointError: If it is none of the known values; the setting and its value are named.
    """
    if got not in known:
        rule = " or ".join(map(str, known))
        raise CheckpointError(f"{name} must be {rule}, got {str(got)[:60]}: it is not covered")


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
        layers: How many there are.
        w_dim: The width that the styles read.
    """
    source.require([pattern.format(i) for i in range(max(layers, 1))])
    for i in range(layers):
        name = source.spelling(pattern.format(i))
        shape = source.shape(pattern.format(i))
        if i == 0 and len(shape) == 2 and shape[1] != w_dim:
            raise CheckpointError(
                f"{name} must read z as wide as w, {w_dim} (z_dim = w_dim), got {shape[1]}: a "
                "generator with another z_dim, or with class labels, is not covered"
            )
        if i == layers - 1 and len(shape) == 2 and shape[0] != w_dim and shape[0] % w_dim == 0:
            raise CheckpointError(
                f"{name} must end in one row of {w_dim}, got {shape[0]}: a network that maps to "
                "every row at once is not covered"
            )
        if shape != (w_dim, w_dim):
            raise CheckpointError(f"{name} must be {w_dim} x {w_dim}, got {shape}")


def check_image(name: str, channels: int) -> None:
    """Raise CheckpointError unless an image layer gives RGB."""
    if channels != 3:
        kind = {1: " (grey)", 4: " (RGBA)"}.get(channels, "")
        raise CheckpointError(f"{name} must give 3 channels, RGB, got {channels}{kind}")


def check_constant(name: str, shape: tuple[int, ...]) -> None:
    """Raise CheckpointError unless a constant, (1, channels, height, width), is 4 x 4."""
    if len(shape) != 4 or shape[0] != 1 or shape[2:] != (4, 4):
        raise CheckpointError(f"{name} must be one constant of 4 x 4, got {shape}")


def check_filter(name: str, taps: Tensor, usual: tuple[int, ...]) -> None:
    """Refuse a low-pass filter other than the one that the generator has.

    Args:
        name: What the file calls it.
        taps: One axis or two, or (channels, 1, size, size).
        usual: Its taps, unscaled.

    Raises:
        CheckpointError: If it is another one.
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
    """Warn where mapping weights do not look as if they were trained with the assumed multiplier.

    They start as normals divided by it, and training moves them by little.

    Args:
        source: The tensors.
        first: Our name of the first mapping layer's weight.
        mapping_lr: The multiplier that is assumed.
    """
    spread = float(source.left[source.spelling(first)].float().std())
    if spread and not 1 / 4 < spread * mapping_lr < 4:
        return [
            f"mapping weights have a spread of {spread:.3g}, where the assumed learning rate "
            f"multiplier of {mapping_lr:g} starts with {1 / mapping_lr:g}: if the generator was "
            f"made with another (lr_mlp), about {1 / spread:.2g}, its codes differ"
        ]
    return []
