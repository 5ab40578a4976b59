"""The contents of other projects' checkpoints, in our terms."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from model_core.errors import CheckpointError

MAX_PREFIX = 500


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
                "parts of a network must differ and have names of at most "
                f"{MAX_PREFIX} characters, got {prefix[:40]}"
            )
        met.add(id(part))
        yield prefix, part
        waiting += [
            (f"{prefix}{name}{separator}", each)
            for name, each in part[inner].items()
            if each is not None
        ]
