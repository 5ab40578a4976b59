"""Read the array of a code file: .npy, .npz and safetensors.

Pickles are never read: a .npy of objects is refused by its header.
"""

import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.numpy

from model_core.containers import npy_header
from model_core.containers.npy_header import read_npy_header
from service.errors import InvalidCodeError

ZIP_MAGIC = b"PK\x03\x04"
NPZ_NAMES = ("w.npy", "ws.npy")  # NVIDIA's projector writes the first
MAX_NPY_BYTES = 1_000_000  # a code of float64 has 74,000
SAFETENSORS_HEADER_BYTES = 100_000  # ours has 200
NPY_HEADER_BYTES = 1000  # that of a code has 118
MAX_AXES = 3  # (1, num_ws, w_dim) is read too


def read_file(data: bytes) -> tuple[np.ndarray, Mapping[str, str]]:
    """Read the array of a file and its metadata, which only safetensors have.

    Raises:
        InvalidCodeError: If the file is damaged, of another format, or holds no float array.
    """
    if data.startswith(ZIP_MAGIC):
        data = _unzip(data)
    return (_from_npy(data), {}) if data.startswith(npy_header.MAGIC) else _from_safetensors(data)


def has_array(data: bytes) -> bool:
    """Tell by a file's first bytes whether it is a .npy, .npz or safetensors."""
    return data.startswith((npy_header.MAGIC, ZIP_MAGIC)) or is_safetensors(data)


def is_safetensors(data: bytes) -> bool:
    """Tell by a file's first bytes whether it is a safetensors file."""
    header_bytes = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and header_bytes <= SAFETENSORS_HEADER_BYTES


def read_metadata(data: bytes) -> dict[str, str]:
    """Read the metadata of a safetensors file that is known to be intact."""
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def array_of(
    raw: bytes, dtype: "np.dtype[Any] | str", shape: tuple[Any, ...], order: Literal["C", "F"] = "C"
) -> np.ndarray:
    """View raw bytes as an array.

    Raises:
        InvalidCodeError: If the shape is invalid or the bytes do not fill it.
    """
    if len(shape) > MAX_AXES:  # first: the product of a long one would take forever
        raise InvalidCodeError(f"shape must have at most {MAX_AXES} axes, got {len(shape)}")
    if not all(isinstance(side, int) and 0 < side < 2**20 for side in shape):
        raise InvalidCodeError(f"shape must be positive numbers, got {str(list(shape))[:60]}")
    if math.prod(shape) * np.dtype(dtype).itemsize != len(raw):
        raise InvalidCodeError(f"data must fill shape {list(shape)}, got {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _unzip(data: bytes) -> bytes:
    """Read the array of a .npz: `w`, `ws`, or the only one it holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            arrays = [name for name in names if name.endswith(".npy")]
            if not arrays and any(name.endswith("/data.pkl") for name in names):
                raise InvalidCodeError(
                    "code must be JSON, .npz, .npy or safetensors, got a PyTorch file: "
                    "`python -m model_core.checkpoints latents` converts it"
                )
            named = [name for name in NPZ_NAMES if name in arrays] or arrays
            if len(named) != 1:
                raise InvalidCodeError(f"npz must hold w, ws or one array, got {len(arrays)}")
            with archive.open(named[0]) as member:
                array = member.read(MAX_NPY_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as err:
        raise InvalidCodeError(f"npz must be whole, got {err}") from err
    if len(array) > MAX_NPY_BYTES:
        raise InvalidCodeError(f"array in npz must have at most {MAX_NPY_BYTES} bytes, got more")
    return array


def _from_npy(data: bytes) -> np.ndarray:
    """Read a .npy: the header first, so that neither objects nor a false shape get any further."""
    file = io.BytesIO(data)
    try:
        shape, fortran, dtype = read_npy_header(file, NPY_HEADER_BYTES)
    except ValueError as err:
        raise InvalidCodeError("npy must have a valid header, got a damaged one") from err
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise InvalidCodeError(f"npy must hold float16, float32 or float64, got {dtype}")
    return array_of(data[file.tell() :], dtype, shape, "F" if fortran else "C")


def _from_safetensors(data: bytes) -> tuple[np.ndarray, Mapping[str, str]]:
    """Read a safetensors file: the tensor `ws`, or the only one it holds."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        tensors = safetensors.numpy.load(data)
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as err:
        raise InvalidCodeError(
            "code must be JSON, .npz, .npy or safetensors, got another file"
        ) from err
    except safetensors.SafetensorError as err:
        raise InvalidCodeError(f"safetensors must be whole, got {err}") from err
    metadata = header.get("__metadata__") or {}
    if "ws" not in tensors and len(tensors) != 1:
        raise InvalidCodeError(f"safetensors must hold `ws` or one tensor, got {len(tensors)}")
    array = tensors.get("ws", next(iter(tensors.values())))
    if array.dtype.kind != "f":
        raise InvalidCodeError(f"safetensors must hold floats, got {array.dtype}")
    return array, metadata
