"""W+ codes on the wire: JSON numbers, base64 float32, .npy and safetensors, both ways; .npz in.

Pickles are never read: a .npy of objects is refused by its header. A code may name its generator by
the SHA-256 of the weights; a code of another generator is refused.
"""

import base64
import codecs
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.numpy
import torch

from model_core.errors import InvalidInputError, ModelMismatchError
from model_core.latents.latent import Detail, Latent, check_detail
from model_core.shapes import Ws
from service.errors import InvalidCodeError
from service.wire.base64_text import read_base64
from service.wire.code_files import (
    MAX_AXES,
    array_of,
    has_array,
    is_safetensors,
    read_file,
    read_metadata,
)
from service.wire.json_text import read_json

Encoding = Literal["base64", "numbers"]
BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LIMIT = 100.0  # |w| of a mapped code is below 10 or so; more than this is garbage
FLOATS = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}


@dataclass(frozen=True, slots=True)
class GeneratorId:
    """The generator that a code belongs to.

    Attributes:
        name: Its name.
        fingerprint: SHA-256 of its weights, hexadecimal.
        shape: Shape of a code, (num_ws, w_dim).
        detail: Its detail encoder; None if it has none.
    """

    name: str
    fingerprint: str
    shape: tuple[int, int]
    detail: "DetailId | None" = None


@dataclass(frozen=True, slots=True)
class DetailId:
    """The detail encoder that a detail belongs to.

    Attributes:
        fingerprint: SHA-256 of its weights, hexadecimal.
        shape: Shape of a detail, (bottleneck, px, px).
    """

    fingerprint: str
    shape: tuple[int, int, int]


def read_code(value: object, generator: GeneratorId) -> Ws:
    """Read a code from any of its forms.

    Args:
        value: Bytes of a .npy, .npz, safetensors or JSON file; nested lists of numbers; a mapping
            as `write_code` makes, of which only `data` is needed; an answer that holds one; or JSON
            text of these.
        generator: The generator in use.

    Raises:
        InvalidCodeError: If format, shape or values are invalid.
        ModelMismatchError: If the code names another generator.
    """
    if isinstance(value, str) or (isinstance(value, bytes) and _is_json(value)):
        value = _json(value)
    value = unwrap(value)
    if isinstance(value, bytes):
        array, metadata = read_file(value)
        _check_generator(metadata.get("fingerprint"), generator)
    elif isinstance(value, Mapping):
        _check_generator(value.get("fingerprint"), generator)
        array = _from_mapping(value, generator)
    elif isinstance(value, list):
        array = _from_numbers(value)
    else:
        raise InvalidCodeError(f"code must be numbers or an object, got {type(value).__name__}")
    return _checked(array, generator.shape)


def read_latent(value: object, generator: GeneratorId, with_detail: bool = True) -> Latent:
    """Read a code from any of its forms, and its detail from a safetensors file that holds one.

    Args:
        value: As for `read_code`.
        generator: The generator in use.
        with_detail: Whether a detail is read; otherwise the code alone is.

    Raises:
        InvalidCodeError: If the code or the detail is invalid.
        ModelMismatchError: If either belongs to other weights.
    """
    ws = read_code(value, generator)
    if not with_detail or not isinstance(value, bytes) or not is_safetensors(value):
        return Latent(ws)
    tensors = safetensors.numpy.load(value)
    if "detail" not in tensors:
        return Latent(ws)
    return Latent(ws, _detail(tensors, read_metadata(value).get("detail_fingerprint"), generator))


def is_code_file(data: bytes) -> bool:
    """Tell by a file's first bytes whether it may hold a code."""
    return has_array(data) or _is_json(data)


def unwrap(value: Any) -> Any:
    """Take a code out of an answer that holds it, and out of a batch of one."""
    if isinstance(value, Mapping) and "code" in value and "data" not in value:
        return value["code"]
    while isinstance(value, list) and len(value) == 1 and _axes(value) == MAX_AXES:
        value = value[0]
    return value


def _axes(rows: object) -> int:
    axes = 0
    while isinstance(rows, list) and rows and axes < MAX_AXES:
        rows, axes = rows[0], axes + 1
    return axes


def write_code(ws: Ws, generator: GeneratorId, encoding: Encoding = "base64") -> dict[str, Any]:
    """Write a code as the object that JSON answers carry."""
    array = _array(ws)
    data = base64.b64encode(array.tobytes()).decode() if encoding == "base64" else array.tolist()
    return {
        "generator": generator.name,
        "fingerprint": generator.fingerprint,
        "shape": list(array.shape),
        "dtype": "float32",
        "encoding": encoding,
        "data": data,
    }


def write_npy(ws: Ws) -> bytes:
    """Write a code as a .npy file, float32."""
    out = io.BytesIO()
    np.save(out, _array(ws), allow_pickle=False)
    return out.getvalue()


def write_safetensors(latent: Latent, generator: GeneratorId) -> bytes:
    """Write a latent as a safetensors file whose metadata names the weights it belongs to.

    `ws` is the code. If there is a detail, `detail` is its tensor in float16, and `home` the code
    that it was encoded for.
    """
    metadata = {
        "format": "wplus-code",
        "generator": generator.name,
        "fingerprint": generator.fingerprint,
    }
    tensors = {"ws": _array(latent.ws)}
    if latent.detail is not None and generator.detail is not None:
        metadata["detail_fingerprint"] = generator.detail.fingerprint
        tensors["detail"] = latent.detail.tensor.numpy()
        tensors["home"] = _array(latent.detail.home)
    return safetensors.numpy.save(tensors, metadata)


def _detail(
    tensors: Mapping[str, np.ndarray], fingerprint: object, generator: GeneratorId
) -> Detail:
    known = generator.detail
    if known is None or fingerprint != known.fingerprint:
        ours = known.fingerprint[:12] if known else "none"
        raise ModelMismatchError(
            f"detail must belong to the detail encoder in use ({ours}), got one of "
            f"{str(fingerprint)[:12]}: detail=false reads the code alone"
        )
    if "home" not in tensors:
        raise InvalidCodeError("safetensors must hold `home` where it holds `detail`, got none")
    try:
        tensor = check_detail(torch.from_numpy(tensors["detail"].copy()), known.shape)
    except (InvalidInputError, TypeError) as err:
        raise InvalidCodeError(str(err)) from err
    return Detail(tensor, _checked(tensors["home"], generator.shape))


def _array(ws: Ws) -> np.ndarray:
    return np.ascontiguousarray(ws.numpy(), "<f4")


def _is_json(data: bytes) -> bool:
    if is_safetensors(data):
        return False
    begin = data[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    return begin[:1] in (b"{", b"[") or data.startswith(BYTE_ORDER_MARKS)


def _json(text: str | bytes) -> object:
    try:
        return read_json(text)
    except ValueError as err:
        raise InvalidCodeError(f"code must be JSON numbers or an object, got {err}") from err


def _check_generator(fingerprint: object, generator: GeneratorId) -> None:
    if not isinstance(fingerprint, str | None):
        raise InvalidCodeError(f"fingerprint must be text, got {type(fingerprint).__name__}")
    if fingerprint is not None and fingerprint != generator.fingerprint:
        raise ModelMismatchError(
            f"code must belong to {generator.name} ({generator.fingerprint[:12]}), "
            f"got one of another generator ({fingerprint[:12]})"
        )


def _from_mapping(value: Mapping[str, Any], generator: GeneratorId) -> np.ndarray:
    data = value.get("data")
    if isinstance(data, list):
        return _from_numbers(data)
    if not isinstance(data, str):
        raise InvalidCodeError(f"data must be numbers or base64, got {type(data).__name__}")
    dtype = value.get("dtype") or "float32"
    if not isinstance(dtype, str) or dtype not in FLOATS:
        raise InvalidCodeError(f"dtype must be one of {', '.join(FLOATS)}, got {str(dtype)[:20]}")
    shape = value.get("shape") or generator.shape
    if not isinstance(shape, list | tuple):
        raise InvalidCodeError(f"shape must be a list of numbers, got {type(shape).__name__}")
    try:
        raw = read_base64(data)
    except ValueError as err:
        raise InvalidCodeError(f"data must be base64, got {err}") from err
    return array_of(raw, FLOATS[dtype], tuple(shape))


def _from_numbers(rows: list[Any]) -> np.ndarray:
    try:
        return np.asarray(rows, np.float64)
    except (ValueError, TypeError, OverflowError) as err:
        raise InvalidCodeError("code must be rows of numbers of equal length") from err


def _checked(array: np.ndarray, shape: tuple[int, int]) -> Ws:
    if array.shape not in (shape, (1, *shape)):
        raise InvalidCodeError(f"code must have shape {list(shape)}, got {list(array.shape)}")
    values = array.astype(np.float64).reshape(shape)
    if not np.isfinite(values).all():
        raise InvalidCodeError("code must be finite, got NaN or infinity")
    largest = float(np.abs(values).max())
    if largest > LIMIT:
        raise InvalidCodeError(f"code must stay within |w| <= {LIMIT:g}, got {largest:g}")
    return torch.from_numpy(values.astype(np.float32))
