"""The state of a pickle that is being read: cursor, stack, memo, and what it may still cost."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model_core.errors import CheckpointError

MAX_INSTRUCTIONS = 5_000_000
MAX_TEXT_BYTES = 1 << 16
COPY_ALLOWANCE = 4
"""Bytes that may be made, in multiples of those in the file: text and arrays are copies."""

MARK = object()

CLASS_OF_OBJECT = re.compile(rb"(?:q.|r....|\x94)?\)\x81", re.DOTALL)
"""What follows a class of which an object is made without arguments: memo, empty tuple, NEWOBJ."""


@dataclass(frozen=True, slots=True)
class Name:
    """A module and a name out of a pickle; only ever compared."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return the dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Budget:
    """What a file may still cost; shared by all pickles in it.

    Attributes:
        instructions: Instructions left.
        bytes: Bytes of copies left.
    """

    bytes: int
    instructions: int = MAX_INSTRUCTIONS

    @classmethod
    def of(cls, size_bytes: int) -> "Budget":
        """Return the budget of a file of that size."""
        return cls(COPY_ALLOWANCE * size_bytes + (1 << 20))

    def spend(self, count: int) -> None:
        """Take bytes off.

        Raises:
            CheckpointError: If too few are left.
        """
        self.bytes -= count
        if self.bytes < 0:
            raise CheckpointError("pickle must not grow beyond its file, got one that does")


Construct = Callable[[tuple[Any, ...], Budget], Any]
"""Arguments and budget to a value; ours, in place of what a name stands for."""

Find = Callable[[Name], Construct | None]
"""A name to its constructor, or None where the name may not stand in a pickle."""


class Record(dict[str, Any]):
    """The state of an object whose class is not used: what its attributes were."""

    def set_state(self, state: object, _budget: Budget) -> None:
        """Take an object's state: a dict, or a pair of dicts where the class had slots."""
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.update({key: value for key, value in part.items() if isinstance(key, str)})


@dataclass(slots=True)
class PickleMachine:
    """One pickle's stack and memo.

    Args:
        data: The file, or the part of it in which the pickle lies.
        find: Table of the names that are known.
        persistent: Resolves persistent ids, by which torch refers to its storages; None refuses.
        budget: What may be spent.
        at: Where the pickle begins; later, the next byte.
    """

    data: memoryview
    find: Find
    persistent: Callable[[object], Any] | None
    budget: Budget
    at: int
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        if count < 0 or count > len(self.data) - self.at:
            raise CheckpointError(f"pickle must be whole, got an end at byte {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, fmt: str) -> Any:
        """Return the next number."""
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))[0]

    def line(self) -> str:
        """Return the text up to the end of the line."""
        window = bytes(self.data[self.at : self.at + MAX_TEXT_BYTES])
        end = window.index(b"\n")
        self.at += end + 1
        return window[:end].decode()

    def copy(self, count: int) -> bytes:
        """Return the next bytes as an object of their own."""
        view = self.take(count)
        self.budget.spend(count)
        return bytes(view)

    def pop_to_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = len(self.stack) - 1
        while self.stack[start] is not MARK:
            start -= 1
            if start < 0:
                raise CheckpointError("pickle must be whole, got a missing mark")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def name(self, module: str, name: str) -> Name:
        """Check a name; nothing is imported.

        Raises:
            CheckpointError: If it is not in the table.
        """
        found = Name(module, name)
        self.checked(found)
        return found

    def checked(self, value: Any) -> Any:
        """Return a value; one that is an unknown name only where it is the class of an object.

        Such an object comes out as a record of its attributes: its class is not looked at.

        Raises:
            CheckpointError: If an unknown name is anything else: what is called, or a value.
        """
        if isinstance(value, Name) and self.find(value) is None and not self._names_a_class():
            raise CheckpointError(
                f"pickle must name nothing but tensors and containers, got {str(value)[:100]!r}; "
                "it was not run: save the state dict alone (torch.save of network.state_dict()), "
                "or its tensors as safetensors"
            )
        return value

    def _names_a_class(self) -> bool:
        """Tell whether a name that has just been read is that of an object's class."""
        if self.stack[-1:] == ["module"] and len(self.stack) > 1 and self.stack[-2] is MARK:
            return True  # in the persistent id by which torch's old format refers to classes
        return CLASS_OF_OBJECT.match(self.data[self.at : self.at + 8]) is not None

    def new_object(self, name: object, arguments: object) -> Any:
        """Make a record in place of an object of an unknown class, or what is made for a known."""
        if isinstance(name, Name) and self.find(name) is None and arguments == ():
            return Record()
        return self.construct(name, arguments)

    def construct(self, name: object, arguments: object) -> Any:
        """Make what our constructor for a name makes."""
        construct = self.find(name) if isinstance(name, Name) else None
        if construct is None or not isinstance(arguments, tuple):
            raise CheckpointError("pickle must call nothing but known names, got another call")
        return construct(arguments, self.budget)
