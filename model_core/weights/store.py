"""Save networks as safetensors with a JSON sidecar, and load them."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model_core.atomic_file import partial_file, publish, settle, sync_folder
from model_core.errors import CheckpointError, InvalidInputError
from model_core.weights.files import encode_sidecar, file_digest, read_sidecar, sidecar_path

HEADER_ALIGNMENT_BYTES = 64

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save_network(
    path: Path,
    state_dict: Mapping[str, Tensor],
    sidecar: Mapping[str, Any],
    pinned_sha256: str | None = None,
) -> dict[str, Any]:
    """Write a network and its sidecar; a reader sees the old pair, the new pair or an error.

    The same tensors give the same bytes, with any version of safetensors on any machine.

    Args:
        path: Where to write; ends in .safetensors. The sidecar goes next to it.
        state_dict: Tensors by name, on any device.
        sidecar: Content of the sidecar: name, family, config and anything else that JSON can hold.
        pinned_sha256: The digest that the file must have, hex; None accepts any.

    Returns:
        The sidecar as written: with file, sha256, size_bytes and tensors added.
    Raises:
        InvalidInputError: If path has another suffix or a tensor is of a type not in DTYPES.
        CheckpointError: If the digest is not the pinned one; the previous files are kept.
    """
    if path.suffix != ".safetensors":
        raise InvalidInputError(f"path must end in .safetensors, got {path.name}")
    header = _header(state_dict)
    with partial_file(path) as weights, partial_file(sidecar_path(path)) as sidecar_file:
        digest = _write(weights, header, state_dict)
        if pinned_sha256 not in (None, digest):
            raise CheckpointError(f"{path.name} must get SHA-256 {pinned_sha256}, got {digest}")
        facts = {
            "file": path.name,
            "sha256": digest,
            "size_bytes": weights.tell(),
            "tensors": len(state_dict),
        }
        encoded = encode_sidecar({**sidecar, **facts})
        sidecar_file.write(encoded)
        settle(weights)
        settle(sidecar_file)
        # A network without sidecar is refused, so a crash cannot pair new weights with an old one.
        sidecar_path(path).unlink(missing_ok=True)
        sync_folder(path.parent)
        publish(weights, path)
        publish(sidecar_file, sidecar_path(path))
    return dict(json.loads(encoded))


def load_network(path: Path, verify: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Map a network into memory and read its sidecar.

    Args:
        path: The .safetensors file.
        verify: Hash the whole file as well; otherwise only its size is compared.

    Returns:
        Tensors by name on the CPU, read from disk on first use, and the sidecar.
    Raises:
        CheckpointError: If a file is missing, damaged or does not match the sidecar.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path} must be a file, got none; the default weights are fetched with "
            "`python -m model_core.checkpoints pull`"
        )
    sidecar = read_sidecar(path)
    size = path.stat().st_size
    if size != sidecar.get("size_bytes"):
        raise CheckpointError(
            f"{path} must have {sidecar.get('size_bytes')} bytes as its sidecar says, got {size}"
        )
    if verify and (digest := file_digest(path)) != sidecar.get("sha256"):
        raise CheckpointError(
            f"{path} must have SHA-256 {sidecar.get('sha256')} as its sidecar says, got {digest}"
        )
    try:
        return load_file(path), sidecar
    except SafetensorError as err:
        raise CheckpointError(f"{path} must be a safetensors file, got {err}") from err


def _ordered(state_dict: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in the file's order: widest type first, so that each is aligned."""
    names = sorted(state_dict, key=lambda name: (-state_dict[name].element_size(), name))
    return ((name, state_dict[name]) for name in names)


def _header(state_dict: Mapping[str, Tensor]) -> bytes:
    """Return the file's first bytes: the header's length and the header, padded with spaces.

    The library's own writer is not used because it guarantees no order, and digests are pinned.
    """
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in _ordered(state_dict):
        if tensor.dtype not in DTYPES:
            raise InvalidInputError(
                f"{name} must be of a type in {sorted(DTYPES.values())}, got {tensor.dtype}"
            )
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % HEADER_ALIGNMENT_BYTES)
    return len(text).to_bytes(8, "little") + text


def _write(file: IO[bytes], header: bytes, state_dict: Mapping[str, Tensor]) -> str:
    """Write header and tensors, and return the digest of both."""
    assert sys.byteorder == "little", "safetensors is little-endian"  # noqa: S101
    digest = hashlib.sha256(header)
    file.write(header)
    for _, tensor in _ordered(state_dict):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        data = flat.view(torch.uint8).numpy().data
        file.write(data)
        digest.update(data)
    return digest.hexdigest()
