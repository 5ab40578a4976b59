"""Codes of other tools in and out of files: e4e, ReStyle, NVIDIA's projector, rosinality, pbaylies.

A file gives codes by name: the names that it has, or numbers. Nothing in a file is run.
"""

import ast
import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from model_core.checkpoints import pickle_names
from model_core.checkpoints.files import partial_file, publish
from model_core.checkpoints.foreign.contents import Tensors
from model_core.checkpoints.foreign_file import read_foreign
from model_core.checkpoints.pickle_machine import Budget
from model_core.checkpoints.pickle_names import MAX_AXES
from model_core.checkpoints.restricted_pickle import DAMAGE, load_pickle
from model_core.errors import CheckpointError, InvalidInputError

Code = Float[Tensor, "num_ws w_dim"]

NPY_MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000
MAX_FILE_BYTES = 1 << 33
MAX_ROWS = 64
NUMBERED = "{:06d}"


def read_latents(path: Path) -> dict[str, Code]:
    """Read the codes of a file, float32.

    These are understood: .pt with a tensor (e4e) or a dict of images with `latent` (rosinality);
    .npy with an array (pbaylies, idinvert) or a dict of a list for each image, of which the last
    counts (ReStyle, HyperStyle); .npz with `w` (NVIDIA); .safetensors. A single row is a code of W.

    Raises:
        CheckpointError: If the file is missing, damaged, or holds no codes.
    """
    try:
        codes, left = {}, 8 * path.stat().st_size + (1 << 20)
        for name, code in _named(_read(path)):
            codes[name] = code
            left -= 4 * code.numel()
            if left < 0:
                raise CheckpointError("codes must not grow beyond their file, got some that do")
    except CheckpointError as err:
        raise CheckpointError(f"{path.name}: {str(err).removeprefix(f'{path.name}: ')}") from err
    except (*DAMAGE, OSError, zipfile.BadZipFile, SyntaxError) as err:
        raise CheckpointError(f"{path.name} must be a readable file of codes, got {err}") from err
    if not codes:
        raise CheckpointError(f"{path.name} must hold codes, got none")
    shapes = {tuple(code.shape) for code in codes.values()}
    if len(shapes) > 1:
        raise CheckpointError(
            f"codes in {path.name} must be of one shape, got {sorted(shapes)[:3]}"
        )
    return codes


def write_latents(path: Path, codes: Mapping[str, Code], fingerprint: str | None = None) -> None:
    """Write codes; a reader sees all of them or nothing.

    Args:
        path: Ends in .safetensors (names and the generator's fingerprint are kept), .npy (codes,
            num_ws, w_dim) or .npz (`w`, as NVIDIA's projector writes it).
        codes: By name, all of one shape.
        fingerprint: SHA-256 of the generator that they belong to, where it is known.
    Raises:
        InvalidInputError: If path has another suffix.
    """
    stacked = torch.stack(list(codes.values())).float().contiguous()
    with partial_file(path) as file:
        if path.suffix == ".safetensors":
            # `ws` for a single code: the service reads it as it reads its own.
            names = ["ws"] if len(codes) == 1 else list(codes)
            about = {"format": "wplus-code"} | ({"fingerprint": fingerprint} if fingerprint else {})
            save_file(dict(zip(names, stacked.clone().unbind(), strict=True)), file.name, about)
        elif path.suffix == ".npy":
            np.save(file, stacked.numpy(), allow_pickle=False)
        elif path.suffix == ".npz":
            np.savez(file, w=stacked.numpy())
        else:
            raise InvalidInputError(f"path must end in .safetensors, .npy or .npz, got {path.name}")
        publish(file, path)


def _read(path: Path) -> Any:
    if path.suffix not in (".npy", ".npz"):
        return read_foreign(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CheckpointError(f"a file of codes must have at most {MAX_FILE_BYTES} bytes, got more")
    if path.suffix == ".npy":
        return _read_npy(memoryview(path.read_bytes()))
    with zipfile.ZipFile(path) as archive:
        name = next((n for n in ("w.npy", "ws.npy") if n in archive.namelist()), None)
        if name is None:
            raise CheckpointError(f"npz must hold w or ws, got {archive.namelist()[:4]}")
        limit = 4 * path.stat().st_size + (1 << 20)
        with archive.open(name) as member:
            data = member.read(limit + 1)
    if len(data) > limit:
        raise CheckpointError("npz must not grow beyond its file, got one that does")
    return _read_npy(memoryview(data))


def _read_npy(data: memoryview) -> Any:
    """Read a .npy; one of objects holds a pickle, which is read and not run."""
    if bytes(data[:6]) != NPY_MAGIC:
        raise CheckpointError("npy must begin as one does, got other bytes")
    start, layout = (10, "<H") if data[6] == 1 else (12, "<I")
    (length,) = struct.unpack_from(layout, data, 8)
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"npy must have a header of at most {MAX_HEADER_BYTES} bytes, got more"
        )
    header = ast.literal_eval(bytes(data[start : start + length]).decode("latin1"))
    kind = np.dtype(str(header["descr"]))
    if kind.hasobject:
        found, _ = load_pickle(data, pickle_names.find, Budget.of(len(data)), at=start + length)
        return found.item() if found.shape == () else list(found.flat)
    if len(header["shape"]) > MAX_AXES:
        raise CheckpointError(f"npy must have at most {MAX_AXES} axes, got {len(header['shape'])}")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _named(content: Any) -> Iterator[tuple[str, Code]]:
    """Yield the codes of a content by name."""
    if isinstance(content, dict):
        yield from ((str(name), _one(value)) for name, value in content.items())
    elif isinstance(content, list | tuple):
        yield from ((NUMBERED.format(i), _one(value)) for i, value in enumerate(content))
    else:
        array = _array(content)
        many = array[None] if array.ndim == 2 and 1 < len(array) <= MAX_ROWS else array
        many = many[:, None] if many.ndim == 2 else many
        yield from ((NUMBERED.format(i), code) for i, code in enumerate(many))


def _one(value: Any) -> Code:
    """Return one code: of a list the last, of a dict what is called latent."""
    if isinstance(value, dict):
        value = value["latent"]
    if isinstance(value, list):
        value = value[-1]
    array = _array(value)
    array = array[0] if array.ndim == 3 and len(array) == 1 else array
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) > MAX_ROWS:
        raise CheckpointError(f"a code must be rows of numbers, got shape {tuple(array.shape)}")
    return array


def _array(value: Any) -> Tensor:
    array = Tensors({"codes": value}).take("codes")
    if not 1 <= array.ndim <= 3:
        raise CheckpointError(f"codes must have one to three axes, got {tuple(array.shape)}")
    return array
