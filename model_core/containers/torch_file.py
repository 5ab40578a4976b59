"""Open a checkpoint in any container: torch's zip or old format, a plain pickle, or safetensors.

Files are memory-mapped: a tensor is loaded when it is used, so inspecting a file is cheap.
"""

import json
import mmap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from model_core.containers import pickle_names
from model_core.containers.file_kinds import (
    AGAIN,
    HEAD_BYTES,
    is_safetensors,
    other_kind,
    text_kind,
)
from model_core.containers.pickle_machine import Budget, Construct, Name
from model_core.containers.pickle_names import STORAGES, Storage
from model_core.containers.restricted_pickle import DAMAGE, load_pickle
from model_core.errors import CheckpointError

OLD_MAGIC = 0x1950A86A20F9469CFC6C
MAX_STORAGES = 100_000
MODULE_PARTS = 4
"""Number of parts in a class's persistent id: kind, class, file and source."""
LOCAL_HEADER_BYTES = 30


def read_foreign(path: Path) -> Any:
    """Read the contents of a checkpoint without running any of its code.

    Returns:
        Dicts, lists, tuples, text, numbers, tensors and arrays, nested as in the file.
        Objects of other classes become dicts of their attributes.

    Raises:
        CheckpointError: If the file is missing, damaged, or not an acceptable checkpoint.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if kind := other_kind(head, size_bytes):
                raise CheckpointError(f"file must be a checkpoint, got {kind}")
            if path.suffix == ".safetensors" or is_safetensors(head, size_bytes):
                return _read_safetensors(path)
            # Copy on write, because torch needs writable memory. The file never changes.
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        if head.startswith(b"PK\x03\x04"):
            return _read_zip(path, data)
        if head[257:262] == b"ustar":
            _refuse_tar(head)
        return _read_pickle_file(data, head)
    except CheckpointError as err:
        raise CheckpointError(f"{path.name}: {err}") from err
    except zipfile.BadZipFile as err:
        raise CheckpointError(
            f"{path.name} must be whole, got a truncated or damaged zip archive ({err}): {AGAIN}"
        ) from err
    except (*DAMAGE, OSError, SafetensorError) as err:
        raise CheckpointError(f"{path.name} must be a readable checkpoint, got {err}") from err


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Read tensors by name; settings in the file's metadata become the checkpoint's `opts`."""
    content: dict[str, Any] = dict(load_file(path))
    with safe_open(path, "pt") as file:
        settings = file.metadata() or {}
    if "encoder_type" in settings:
        content["opts"] = {name: _setting(text) for name, text in settings.items()}
    return content


def _setting(text: str) -> object:
    """Parse a metadata value, which is always text, as the number or boolean it denotes."""
    try:
        return json.loads(text.lower())
    except ValueError:
        return text


def _refuse_tar(head: bytes) -> None:
    first = head.partition(b"\0")[0].decode(errors="replace")
    if first in ("sys_info", "pickle", "storages", "tensors"):
        raise CheckpointError(
            "file must be saved by torch 0.2 or later, got the earlier tar format"
        )
    raise CheckpointError(
        f"file must be a checkpoint, got a tar archive with {first[:60]!r}: unpack it and pass the "
        "checkpoint inside"
    )


def _read_pickle_file(data: memoryview, head: bytes) -> Any:
    """Read a plain pickle; describe text that is not one in the error."""
    try:
        return read_pickles(data)
    except CheckpointError as err:
        if kind := text_kind(head):
            raise CheckpointError(f"file must be a checkpoint, got {kind}") from err
        raise


def read_pickles(data: memoryview, nested: bool = False) -> Any:
    """Read a plain pickle, or torch's format before 1.6: pickles followed by raw numbers.

    Args:
        data: The file.
        nested: Whether it was inside a pickle; such files must not contain further ones.
    """
    budget = Budget.of(len(data))
    find = pickle_names.find if nested else _find_with_files
    value, at = load_pickle(data, find, budget)
    if not isinstance(value, int) or value != OLD_MAGIC:
        return value
    for _ in ("protocol", "system"):
        _, at = load_pickle(data, find, budget, at=at)
    # The numbers follow the pickle that refers to them: read it once to find its end, then again.
    ids: dict[str, tuple[torch.dtype, int]] = {}

    def note(identity: object) -> Storage | Name:
        if isinstance(name := _module_class(identity), Name):
            return name
        key, dtype, count = _storage_id(identity)
        ids[key] = dtype, count
        return Storage(None)

    _, end = load_pickle(data, find, budget, note, at)
    keys, start = load_pickle(data, find, budget, at=end)
    storages: dict[str, Storage] = {}
    for key in keys:
        dtype, count = ids[str(key)]
        if int.from_bytes(data[start : start + 8], "little") != count:
            raise CheckpointError(f"storage {key} must have {count} numbers, got another count")
        raw = data[start + 8 : start + 8 + count * dtype.itemsize]
        budget.spend(len(raw))
        storages[str(key)] = _storage(memoryview(bytearray(raw)), dtype, count)
        start += 8 + len(raw)

    def resolve(identity: object) -> Storage | Name:
        return _module_class(identity) or storages[_storage_id(identity)[0]]

    value, _ = load_pickle(data, find, budget, resolve, at)
    return value


def _module_class(identity: object) -> Name | None:
    """Return the class from a persistent id of torch's old format (a module's class and source)."""
    if (
        isinstance(identity, tuple)
        and identity[:1] == ("module",)
        and len(identity) == MODULE_PARTS
    ):
        return identity[1] if isinstance(identity[1], Name) else None
    return None


def _find_with_files(name: Name) -> Construct | None:
    """Also accept a storage that was saved as a file inside the pickle."""
    if str(name) == "torch.storage._load_from_bytes":
        return _nested_file
    return pickle_names.find(name)


def _nested_file(arguments: tuple[Any, ...], budget: Budget) -> Any:
    (content,) = arguments
    budget.spend(2 * len(content))
    return read_pickles(memoryview(content), nested=True)


def _read_zip(path: Path, data: memoryview) -> Any:
    """Read torch's format since 1.6: data.pkl and one uncompressed member per storage."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if "constants.pkl" in members:
        raise CheckpointError(
            "a zip must come from torch.save, got TorchScript: save the network's state dict"
        )
    if "data.pkl" not in members:
        with zipfile.ZipFile(path) as archive:
            names = [name[:60] for name in archive.namelist()[:3]]
        raise CheckpointError(
            f"a zip must come from torch.save, got an archive with {', '.join(names)}: unpack it "
            "and pass the checkpoint inside"
        )
    if len(members) > MAX_STORAGES or any(info.compress_type for info in members.values()):
        raise CheckpointError("members of torch's zip must be uncompressed, got a compressed one")

    def member(name: str) -> memoryview:
        info = members[name]
        start = info.header_offset + LOCAL_HEADER_BYTES
        header = data[start - LOCAL_HEADER_BYTES : start]
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        content = data[start : start + info.file_size]
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise CheckpointError(
                f"{name} must match its checksum, got another: the file is damaged"
            )
        return content

    if "byteorder" in members and bytes(member("byteorder")) != b"little":
        raise CheckpointError("numbers must be little-endian, got another byte order")
    budget = Budget.of(len(data))
    value, _ = load_pickle(member("data.pkl"), pickle_names.find, budget, _storages_of(member))
    return value


def _storages_of(member: Callable[[str], memoryview]) -> Callable[[object], Storage]:
    """Return a resolver of persistent ids that opens every storage once."""
    opened: dict[str, Storage] = {}

    def resolve(identity: object) -> Storage:
        key, dtype, count = _storage_id(identity)
        if key not in opened:
            opened[key] = _storage(member(f"data/{key}"), dtype, count)
        return opened[key]

    return resolve


def _storage_id(identity: object) -> tuple[str, torch.dtype, int]:
    """Split a persistent id into key, dtype and count of numbers."""
    kind, dtype, key, _, count = identity[:5]  # type: ignore[index]
    views = identity[5:]  # type: ignore[index]
    if kind != "storage" or not isinstance(dtype, Name) or any(views):
        raise CheckpointError("a persistent id must be a storage without views, got another")
    if dtype.name not in STORAGES:
        raise CheckpointError(f"a storage must hold plain numbers, got {dtype.name[:40]}")
    return str(key), STORAGES[dtype.name], int(count)


def _storage(data: memoryview, dtype: torch.dtype, count: int) -> Storage:
    if len(data) < count * dtype.itemsize:
        raise CheckpointError(f"a storage must have {count} numbers, got {len(data)} bytes")
    if not count:
        return Storage(torch.empty(0, dtype=dtype))
    return Storage(torch.frombuffer(data, dtype=dtype, count=count))
