"""Find the network in a file's content, however it is wrapped, and account for what lies beside it.

People hold bare state dicts, dicts of several (`g`, `g_ema`, `models`), networks that were saved
whole, and any of these from a wrapper that puts `module.` before each name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from model_core.checkpoints.foreign.contents import Found, Layout, parts, shown
from model_core.checkpoints.foreign.nvidia_tensorflow import variables
from model_core.errors import CheckpointError

MAX_DEPTH = 4
MAX_ENTRIES = 100_000
NAMES_SHOWN = 6
SHARE = 0.5
"""What part of a dict's tensors must have a layout's names for it to be read as that."""

TENSORFLOW_NETWORKS = 3
"""Generator, discriminator and the averaged generator, in this order."""

MODULE_GROUPS = ("_parameters", "_buffers")
MODULE_KEYS = (*MODULE_GROUPS, "_modules")
TENSORFLOW_KEYS = ("variables", "components")
WRAPPERS = ("module.", "_orig_mod.")
"""What torch's DataParallel and compile put before every name."""

AVERAGED = re.compile(r"(?i).*(?:ema|smooth|avg|average).*|Gs")
HARMLESS = re.compile(
    r"(?i)d|g|g_?(?:ema|smooth)?|gs|generators?(?:_\w+)?|args|opts?|config|hparams|hyper_parameters"
    r"|.*(?:disc|optim|sched|loss|learning_rate|running_|epoch|iter|step|scaler|augment|ada_).*"
    r"|(?:g|d|e|encoder|disc)_?opt|training_set_kwargs|augment_pipe"
)
"""Entries beside a network that have no part in what it renders."""


def find_network(content: Any, layouts: tuple[Layout, ...]) -> tuple[Layout, Found]:
    """Find the network to read, the averaged one where there are several.

    Raises:
        CheckpointError: If there is none of a known layout, there are several and none is the
            averaged one, or something unknown lies beside it; the message says what was found.
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
            f"content must be of a known layout ({', '.join(each.name for each in layouts)}), "
            f"got {outline(content)}"
        )
    averaged = [match for match in matches if any(map(AVERAGED.fullmatch, match[1].path))]
    chosen = averaged or matches
    if len({id(found.state) for _, found in chosen}) > 1:
        paths = [".".join(found.path) or "the top" for _, found in chosen]
        raise CheckpointError(
            f"checkpoint must hold one network to convert, got {shown(paths)}: save the one that "
            "is meant by itself"
        )
    layout, found = chosen[0]
    others = {found.path for _, found in matches}
    _account(content, layout, found, others)
    return layout, found


def _candidates(
    content: Any, around: Mapping[Any, Any], path: tuple[str, ...], met: set[int]
) -> Iterator[Found]:
    """Yield what may be a network: the tensors of a dict, of a pickled module, of a TF network."""
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
    """List the tensors of a network that was saved whole.

    Raises:
        CheckpointError: If its record holds what no network does.
    """
    if found.module is None:
        return found
    if "variables" in found.module:
        return replace(found, state=dict(variables(found.module)))
    state = unwrapped(dict(_module_tensors(found.module)))
    # NVIDIA's layers, which are kept with their class, say what they were made with.
    module = found.module if "class_name" in found.module else None
    return replace(found, state=state, module=module)


def is_tensor(value: object) -> bool:
    """Whether a value of a file is numbers with a shape."""
    return isinstance(value, Tensor | np.ndarray)


def unwrapped(state: dict[str, Any]) -> dict[str, Any]:
    """Take off what wrappers put before every name."""
    for prefix in WRAPPERS * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): each for name, each in state.items()}
    return state


def _module_tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and lasting buffers of a module's record and of those inside it."""
    for prefix, part in parts(module, MODULE_KEYS, "_modules", "."):
        passing = part.get("_non_persistent_buffers_set") or ()
        for group in MODULE_GROUPS:
            for name, value in part[group].items():
                if value is not None and name not in passing:
                    yield prefix + name, value


def _account(content: Any, layout: Layout, found: Found, others: set[tuple[str, ...]]) -> None:
    """Refuse tensors beside the network that nobody knows; they may be a part of it."""
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
            f"checkpoint must hold nothing unknown beside its {layout.name} network, got "
            f"{shown(unknown)}"
        )


def _holds_tensors(value: Any) -> bool:
    """Whether a value is or holds a tensor; what is too large to look through counts as holding."""
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
    """Describe a content in a few words: its kind and its first names, also of what is inside."""
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
    """Say which network of a file is read, where none of them is an averaged one."""
    plain = not found.path or any(map(AVERAGED.fullmatch, found.path))
    if plain or found.path == ("state_dict",):
        return []
    return [f"`{'.'.join(found.path)}` is read: the file names no averaged generator"]
