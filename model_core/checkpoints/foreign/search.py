"""Find the network in a file, however it is wrapped, and account for everything next to it.

Files contain bare state dicts, dicts of several (`g`, `g_ema`, `models`), whole pickled networks,
and any of these from a wrapper that adds `module.` to each name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from model_core.checkpoints.foreign.contents import Found, Layout, parts
from model_core.checkpoints.foreign.nvidia_tensorflow import variables
from model_core.checkpoints.foreign.tensors import shown
from model_core.errors import CheckpointError

MAX_DEPTH = 4
MAX_ENTRIES = 100_000
NAMES_SHOWN = 6
SHARE = 0.5
"""Fraction of a dict's tensors whose names must fit a layout for the layout to be chosen."""

TENSORFLOW_NETWORKS = 3
"""Generator, discriminator and the averaged generator, in this order."""

MODULE_GROUPS = ("_parameters", "_buffers")
MODULE_KEYS = (*MODULE_GROUPS, "_modules")
TENSORFLOW_KEYS = ("variables", "components")
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that torch's DataParallel and compile add to every name."""

AVERAGED = re.compile(r"(?i).*(?:ema|smooth|avg|average).*|Gs")
HARMLESS = re.compile(
    r"(?i)d|g|g_?(?:ema|smooth)?|gs|generators?(?:_\w+)?|args|opts?|config|hparams|hyper_parameters"
    r"|.*(?:disc|optim|sched|loss|learning_rate|running_|epoch|iter|step|scaler|augment|ada_).*"
    r"|(?:g|d|e|encoder|disc)_?opt|training_set_kwargs|augment_pipe"
)
"""Entries next to a network that do not affect what it renders."""


def find_network(content: Any, layouts: tuple[Layout, ...]) -> tuple[Layout, Found]:
    """Find the network to read; of several, the averaged one.

    Raises:
        CheckpointError: If no network has a known layout, none of several is the averaged one,
            or there are unknown tensors next to it; the message says what was found.
    """
    matches, problems = [], []
    for found in _candidates(content, content if isinstance(content, dict) else {}, (), set()):
        try:
            found = _with_tensors(found)
        except CheckpointError as err:
            problems.append(err)
            continue
        shares = [(layout.share(found.state), layout) for layout in layouts]
        share, layout = max(shares, key=lambda pair: pair[0])
        if share >= SHARE:
            matches.append((layout, found))
    if problems and not matches:
        raise problems[0]
    if not matches:
        raise CheckpointError(
            f"checkpoint must have a known layout ({', '.join(each.name for each in layouts)}), "
            f"got {outline(content)}"
        )
    averaged = [match for match in matches if any(map(AVERAGED.fullmatch, match[1].path))]
    chosen = averaged or matches
    if len({id(found.state) for _, found in chosen}) > 1:
        paths = [".".join(found.path) or "the top" for _, found in chosen]
        raise CheckpointError(
            f"checkpoint must hold one network to convert, got {shown(paths)}: save the wanted "
            "one in a file of its own"
        )
    layout, found = chosen[0]
    others = {found.path for _, found in matches}
    _account(content, layout, found, others)
    return layout, found


def _candidates(
    content: Any, around: Mapping[Any, Any], path: tuple[str, ...], met: set[int]
) -> Iterator[Found]:
    """Yield possible networks: the tensors of a dict, of a pickled module, of a TF network."""
    if isinstance(content, tuple | list) and len(content) == TENSORFLOW_NETWORKS:
        content, path = content[-1], (*path, "Gs")
    if not isinstance(content, dict) or len(path) > MAX_DEPTH or len(content) > MAX_ENTRIES:
        return
    if id(content) in met:
        return
    met.add(id(content))
    if any(all(key in content for key in keys) for keys in (TENSORFLOW_KEYS, MODULE_KEYS)):
        yield Found({}, around, content, path)
        return
    tensors = {str(name): each for name, each in content.items() if is_tensor(each)}
    if tensors:
        beside = {**around, **{k: v for k, v in content.items() if not is_tensor(v)}}
        yield Found(unwrapped(tensors), beside, None, path)
    for name, each in content.items():
        if isinstance(each, dict | tuple | list):
            yield from _candidates(each, content, (*path, str(name)), met)


def _with_tensors(found: Found) -> Found:
    """Collect the tensors of a network that was pickled whole.

    Raises:
        CheckpointError: If its record is not a network's.
    """
    if found.module is None:
        return found
    if "variables" in found.module:
        return replace(found, state=dict(variables(found.module)))
    state = unwrapped(dict(_module_tensors(found.module)))
    # NVIDIA's layers are pickled with their class and record their settings.
    module = found.module if "class_name" in found.module else None
    return replace(found, state=state, module=module)


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor or an array."""
    return isinstance(value, Tensor | np.ndarray)


def unwrapped(state: dict[str, Any]) -> dict[str, Any]:
    """Strip the prefixes that wrappers add to every name."""
    for prefix in WRAPPERS * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): each for name, each in state.items()}
    return state


def _module_tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and persistent buffers of a module's record, recursively."""
    for prefix, part in parts(module, MODULE_KEYS, "_modules", "."):
        passing = part.get("_non_persistent_buffers_set") or ()
        for group in MODULE_GROUPS:
            for name, value in part[group].items():
                if value is not None and name not in passing:
                    yield prefix + name, value


def _account(content: Any, layout: Layout, found: Found, others: set[tuple[str, ...]]) -> None:
    """Refuse unknown tensors next to the network, which may be part of it."""
    if not isinstance(content, dict) or found.module is content:
        return
    unknown = []
    at: Any = content
    for depth in range(len(found.path)):
        step = found.path[depth]
        for name, each in at.items():
            here = (*found.path[:depth], str(name))
            known = (
                str(name) == step
                or str(name) in layout.reads_around
                or HARMLESS.fullmatch(str(name))
                or any(other[: len(here)] == here for other in others)
            )
            if not known and _holds_tensors(each):
                unknown.append(".".join(here))
        at = next((each for name, each in at.items() if str(name) == step), None)
        if not isinstance(at, dict):
            break
    else:
        if isinstance(at, dict) and found.module is None and "_modules" not in at:
            unknown += [
                ".".join((*found.path, str(name)))
                for name, each in at.items()
                if not is_tensor(each)
                and str(name) not in layout.reads_around
                and not HARMLESS.fullmatch(str(name))
                and not any(
                    other[: len(found.path) + 1] == (*found.path, str(name)) for other in others
                )
                and _holds_tensors(each)
            ]
    if unknown:
        raise CheckpointError(
            f"checkpoint must hold nothing unknown next to its {layout.name} network, got "
            f"{shown(unknown)}"
        )


def _holds_tensors(value: Any) -> bool:
    """Whether a value is or contains a tensor; values too large to search count as if they did."""
    waiting, looked = [value], 0
    while waiting:
        each = waiting.pop()
        looked += 1
        if is_tensor(each) or looked > MAX_ENTRIES:
            return True
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, tuple | list | set):
            waiting += each
    return False


def outline(content: Any, depth: int = 2) -> str:
    """Describe contents briefly: their kind and first names, and those of nested values."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if not content:
        return "an empty dict"
    names = [str(name)[:60] for name in list(content)[:NAMES_SHOWN]]
    said = f"{len(content)} entries such as {', '.join(names)}"
    inner = next(((k, v) for k, v in content.items() if isinstance(v, dict) and v), None)
    if depth and inner and not any(map(is_tensor, content.values())):
        said += f" ({str(inner[0])[:60]} with {outline(inner[1], depth - 1)})"
    return said


def path_remark(found: Found) -> list[str]:
    """Return a remark on which network is read, if none of them is an averaged one."""
    plain = not found.path or any(map(AVERAGED.fullmatch, found.path))
    if plain or found.path == ("state_dict",):
        return []
    return [f"`{'.'.join(found.path)}` is read: the file has no averaged generator"]
