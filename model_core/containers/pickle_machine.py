"""The state of reading a pickle: cursor, stack, memo and remaining budget."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model_core.errors import CheckpointError

MAX_INSTRUCTIONS = 5_000_000
MAX_TEXT_BYTES = 1 << 16
COPY_ALLOWANCE = 4
"""Limit of bytes copied (text and arrays), as a multiple of the file's size."""

MARK = object()

CLASS_OF_OBJECT = re.compile(rb"(?:q.|r....|\x94)?\)\x81", re.DOTALL)
"""Opcodes after a class that is instantiated without arguments: memo, empty tuple, NEWOBJ."""


@dataclass(frozen=True, slots=True)
class Name:
    """A module and a name from a pickle; only compared, never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return the dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Budget:
    """The remaining budget of a file, shared by all pickles in it.

    Attributes:
        instructions: Instructions left.
        bytes: Bytes of copies left.
    """

    bytes: int
    instructions: int = MAX_INSTRUCTIONS

    @classmethod
    def of(cls, size_bytes: int) -> "Budget":
        """Return the budget of a file of this size."""
        return cls(COPY_ALLOWANCE * size_bytes + (1 << 20))

    def spend(self, count: int) -> None:
        """Deduct bytes.

        Raises:
            CheckpointError: If the budget is exceeded.
        """
        self.bytes -= count
        if self.bytes < 0:
            raise CheckpointError("pickle must not grow beyond its file, got one that does")


Construct = Callable[[tuple[Any, ...], Budget], Any]
"""Our replacement for the callable of a name: takes arguments and budget, returns a value."""

Find = Callable[[Name], Construct | None]
"""Returns the constructor of a name, or None if the name is not allowed in a pickle."""


class Record(dict[str, Any]):
    """The attributes of an object whose class is ignored."""

    def set_state(self, state: object, _budget: Budget) -> None:
        """Store an object's state: a dict, or a pair of dicts if the class has slots."""
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.update({key: value for key, value in part.items() if isinstance(key, str)})


@dataclass(slots=True)
class PickleMachine:
    """One pickle's stack and memo.

    Args:
        data: The file, or the part of it that contains the pickle.
        find: Looks up the constructor of a name.
        persistent: Resolves persistent ids, which torch uses for its storages; None refuses them.
        budget: The remaining budget.
        at: Offset of the pickle; later, of the next byte.
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
            raise CheckpointError(f"pickle must be complete, got its end at byte {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, fmt: str) -> Any:
        """Return the next number."""
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))[0]

    def line(self) -> str:
        """Return the text up to the next newline."""
        window = bytes(self.data[self.at : self.at + MAX_TEXT_BYTES])
        end = window.index(b"\n")
        self.at += end + 1
        return window[:end].decode()

    def copy(self, count: int) -> bytes:
        """Return a copy of the next bytes."""
        view = self.take(count)
        self.budget.spend(count)
        return bytes(view)

    def pop_to_mark(self) -> list[Any]:
        """Pop everything above the last mark."""
        start = len(self.stack) - 1
        while self.stack[start] is not MARK:
            start -= 1
            if start < 0:
                raise CheckpointError("pickle must be complete, got a missing mark")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def name(self, module: str, name: str) -> Name:
        """Look up a name without importing anything.

        Raises:
            CheckpointError: If it is not in the table.
        """
        found = Name(module, name)
        self.checked(found)
        return found

    def checked(self, value: Any) -> Any:
        """Return a value; an unknown name is allowed only as the class of an object.

        Such an object becomes a record of its attributes; its class is ignored.

        Raises:
            CheckpointError: If an unknown name is called or used as a value.
        """
        if isinstance(value, Name) and self.find(value) is None and not self._names_a_class():
            raise CheckpointError(
                f"pickle must name only tensors and containers, got {str(value)[:100]!r}; it was "
                "not run. Save the state dict alone (torch.save of network.state_dict()), or its "
                "tensors as safetensors"
            )
        return value

    def _names_a_class(self) -> bool:
        """Return whether the name just read is the class of an object."""
        if self.stack[-1:] == ["module"] and len(self.stack) > 1 and self.stack[-2] is MARK:
            return True  # inside a persistent id, which torch's old format uses for classes
        return CLASS_OF_OBJECT.match(self.data[self.at : self.at + 8]) is not None

    def new_object(self, name: object, arguments: object) -> Any:
        """Return a record for an unknown class, or our constructor's value for a known one."""
        if isinstance(name, Name) and self.find(name) is None and arguments == ():
            return Record()
        return self.construct(name, arguments)

    def construct(self, name: object, arguments: object) -> Any:
        """Call our constructor for a name."""
        construct = self.find(name) if isinstance(name, Name) else None
        if construct is None or not isinstance(arguments, tuple):
            raise CheckpointError("pickle must call only known names, got another call")
        return construct(arguments, self.budget)
