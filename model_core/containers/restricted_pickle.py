"""Read a pickle without running it; returns tensors, arrays, numbers, strings and containers.

This is not Python's unpickler with a filter. Names in the stream are looked up in a table and
never imported; their arguments go to our own constructor for that name. A name outside the table
may only be the class of an object, which becomes a record of its attributes; anywhere else it is
an error. The number of instructions bounds the time; together with the file's size it bounds the
memory.

Source: the comments in CPython's Lib/pickletools.py, for the meaning of each instruction.
"""

import struct
from collections.abc import Callable
from typing import Any

from model_core.containers.pickle_machine import MARK, MAX_INSTRUCTIONS, Budget, Find, PickleMachine
from model_core.errors import CheckpointError

MAX_INTEGER_BYTES = 64
MAX_KEY_PARTS = 8
STOP = ord(".")
DAMAGE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
)
"""Exceptions that damaged or hostile files raise, here and in the constructors."""


def load_pickle(
    data: memoryview,
    find: Find,
    budget: Budget,
    persistent: Callable[[object], Any] | None = None,
    at: int = 0,
) -> tuple[Any, int]:
    """Read one pickle.

    Args:
        data: The bytes that contain the pickle.
        find: Looks up the constructor of a name.
        budget: The remaining budget, shared by all pickles of a file.
        persistent: Resolves persistent ids, which torch uses for its storages; None refuses them.
        at: Offset of the pickle.

    Returns:
        Its value and the offset of its end.

    Raises:
        CheckpointError: If it is damaged, names something unknown or grows too large.
    """
    machine = PickleMachine(data, find, persistent, budget, at)
    try:
        return _run(machine), machine.at
    except DAMAGE as err:
        raise CheckpointError(
            f"pickle must be whole, got damage before byte {machine.at} ({type(err).__name__})"
        ) from err


def _run(machine: PickleMachine) -> Any:
    while True:
        machine.budget.instructions -= 1
        if machine.budget.instructions < 0:
            raise CheckpointError(
                f"pickle must have at most {MAX_INSTRUCTIONS} instructions, got more"
            )
        code = machine.take(1)[0]
        if code == STOP:
            return machine.stack.pop()
        if code not in INSTRUCTIONS:
            raise CheckpointError(
                f"pickle must consist of known instructions, got {code:#04x} at byte {machine.at}"
            )
        INSTRUCTIONS[code](machine)


def plain_key(key: object) -> Any:
    """Return a dict key or set element; refuse objects whose hash a pickle could choose."""
    if _is_plain(key):
        return key
    # Flat tuples only: hashing nested tuples can take exponential time.
    if isinstance(key, tuple) and len(key) <= MAX_KEY_PARTS and all(map(_is_plain, key)):
        return key
    raise CheckpointError(f"keys in a pickle must be text or numbers, got {type(key).__name__}")


def _is_plain(key: object) -> bool:
    return isinstance(key, str) or key is None or (isinstance(key, int) and abs(key) < 1 << 63)


def _push(make: Callable[[PickleMachine], Any]) -> Callable[[PickleMachine], None]:
    """Turn a function into an instruction that pushes its result."""
    return lambda machine: machine.stack.append(make(machine))


def _unpacked(fmt: str) -> Callable[[PickleMachine], None]:
    return _push(lambda machine: machine.unpack(fmt))


def _text(fmt: str, encoding: str) -> Callable[[PickleMachine], None]:
    return _push(lambda machine: machine.copy(machine.unpack(fmt)).decode(encoding))


def _bytes(fmt: str) -> Callable[[PickleMachine], None]:
    return _push(lambda machine: machine.copy(machine.unpack(fmt)))


def _long(fmt: str) -> Callable[[PickleMachine], None]:
    def make(machine: PickleMachine) -> int:
        count = machine.unpack(fmt)
        if count > MAX_INTEGER_BYTES:
            raise CheckpointError(f"integers must have at most 64 bytes, got {count}")
        return int.from_bytes(machine.take(count), "little", signed=True)

    return _push(make)


def _decimal(machine: PickleMachine) -> int | bool:
    text = machine.line().rstrip("L")
    if len(text) > MAX_INTEGER_BYTES:
        raise CheckpointError(f"integers must have at most 64 digits, got {len(text)}")
    return {"00": False, "01": True}.get(text, int(text))


def _tuple(count: int) -> Callable[[PickleMachine], None]:
    def instruction(machine: PickleMachine) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return instruction


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {plain_key(k): v for k, v in zip(items[::2], items[1::2], strict=True)}


def _pop(machine: PickleMachine) -> None:
    machine.stack.pop()


def _append(machine: PickleMachine) -> None:
    item = machine.stack.pop()
    _list(machine.stack[-1]).append(item)


def _appends(machine: PickleMachine) -> None:
    items = machine.pop_to_mark()
    _list(machine.stack[-1]).extend(items)


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _dict(machine.stack[-1])[plain_key(key)] = value


def _set_items(machine: PickleMachine) -> None:
    items = machine.pop_to_mark()
    _dict(machine.stack[-1]).update(_pairs(items))


def _add_items(machine: PickleMachine) -> None:
    items = machine.pop_to_mark()
    if not isinstance(machine.stack[-1], set):
        raise TypeError
    machine.stack[-1].update(map(plain_key, items))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _dict(value: object) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _put(index: Callable[[PickleMachine], int]) -> Callable[[PickleMachine], None]:
    def instruction(machine: PickleMachine) -> None:
        machine.memo[index(machine)] = machine.stack[-1]

    return instruction


def _get(index: Callable[[PickleMachine], int]) -> Callable[[PickleMachine], None]:
    return _push(lambda machine: machine.checked(machine.memo[index(machine)]))


def _stack_name(machine: PickleMachine) -> Any:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise TypeError
    return machine.name(module, name)


def _call(machine: PickleMachine) -> Any:
    arguments, name = machine.stack.pop(), machine.stack.pop()
    return machine.construct(name, arguments)


def _new_object(machine: PickleMachine) -> Any:
    arguments, name = machine.stack.pop(), machine.stack.pop()
    return machine.new_object(name, arguments)


def _call_with_keywords(machine: PickleMachine) -> Any:
    keywords, arguments, name = (machine.stack.pop() for _ in range(3))
    if keywords != {}:
        raise TypeError
    return machine.construct(name, arguments)


def _call_marked(machine: PickleMachine) -> Any:
    name, *arguments = machine.pop_to_mark()
    return machine.construct(name, tuple(arguments))


def _call_named(machine: PickleMachine) -> Any:
    name = machine.name(machine.line(), machine.line())
    return machine.construct(name, tuple(machine.pop_to_mark()))


def _build(machine: PickleMachine) -> None:
    state = machine.stack.pop()
    machine.stack[-1].set_state(state, machine.budget)


def _persistent(machine: PickleMachine) -> Any:
    if machine.persistent is None:
        raise CheckpointError("pickle must be self-contained, got a persistent id")
    return machine.checked(machine.persistent(machine.stack.pop()))


def _skip(count: int) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.take(count).release()


INSTRUCTIONS: dict[int, Callable[[PickleMachine], None]] = {
    0x80: _skip(1),  # protocol
    0x95: _skip(8),  # frame
    ord("("): _push(lambda _: MARK),
    ord("0"): _pop,
    ord("1"): lambda machine: machine.pop_to_mark().clear(),
    ord("2"): _push(lambda machine: machine.stack[-1]),
    ord("N"): _push(lambda _: None),
    0x88: _push(lambda _: True),
    0x89: _push(lambda _: False),
    ord("I"): _push(_decimal),
    ord("L"): _push(_decimal),
    ord("K"): _unpacked("<B"),
    ord("M"): _unpacked("<H"),
    ord("J"): _unpacked("<i"),
    0x8A: _long("<B"),
    0x8B: _long("<i"),
    ord("F"): _push(lambda machine: float(machine.line())),
    ord("G"): _unpacked(">d"),
    ord("T"): _text("<i", "latin1"),
    ord("U"): _text("<B", "latin1"),
    ord("X"): _text("<I", "utf-8"),
    0x8C: _text("<B", "utf-8"),
    0x8D: _text("<Q", "utf-8"),
    ord("B"): _bytes("<I"),
    ord("C"): _bytes("<B"),
    0x8E: _bytes("<Q"),
    0x96: _bytes("<Q"),
    ord(")"): _push(lambda _: ()),
    ord("t"): _push(lambda machine: tuple(machine.pop_to_mark())),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("]"): _push(lambda _: []),
    ord("l"): _push(lambda machine: machine.pop_to_mark()),
    ord("a"): _append,
    ord("e"): _appends,
    ord("}"): _push(lambda _: {}),
    ord("d"): _push(lambda machine: _pairs(machine.pop_to_mark())),
    ord("s"): _set_item,
    ord("u"): _set_items,
    0x8F: _push(lambda _: set()),
    0x90: _add_items,
    0x91: _push(lambda machine: frozenset(map(plain_key, machine.pop_to_mark()))),
    ord("p"): _put(lambda machine: int(machine.line())),
    ord("q"): _put(lambda machine: machine.take(1)[0]),
    ord("r"): _put(lambda machine: int(machine.unpack("<I"))),
    0x94: _put(lambda machine: len(machine.memo)),
    ord("g"): _get(lambda machine: int(machine.line())),
    ord("h"): _get(lambda machine: machine.take(1)[0]),
    ord("j"): _get(lambda machine: int(machine.unpack("<I"))),
    ord("c"): _push(lambda machine: machine.name(machine.line(), machine.line())),
    0x93: _push(_stack_name),
    ord("R"): _push(_call),
    0x81: _push(_new_object),
    0x92: _push(_call_with_keywords),
    ord("o"): _push(_call_marked),
    ord("i"): _push(_call_named),
    ord("b"): _build,
    ord("Q"): _push(_persistent),
}
"""Instructions by opcode. Extension codes, out-of-band buffers and the text of protocol 0 are left
out, since no checkpoint uses them."""
