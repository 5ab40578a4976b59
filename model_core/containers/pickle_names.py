"""The names allowed in a checkpoint's pickle, and our replacement for each.

A network becomes a record of its attributes, a subclass of dict a dict, a parameter a tensor. Every
name that torch's own restricted reader accepts is in the table.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_core.containers.pickle_machine import Budget, Construct, Name, Record
from model_core.containers.restricted_pickle import plain_key
from model_core.errors import CheckpointError

MAX_AXES, MAX_LAYOUT = 8, 40

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
"""Torch's storage classes and their dtypes."""


TYPED_STORAGES = STORAGES.keys() - {"UntypedStorage"}

TYPES = frozenset(
    name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype | torch.qscheme)
)
"""Torch's names of dtypes and quantisation schemes, all of which data may mention."""


class Ordered(dict[Any, Any]):
    """A dict whose attributes, where torch keeps versions, are ignored."""

    def set_state(self, _state: Any, _budget: Budget) -> None:
        """Ignore the attributes."""


class Array(np.ndarray):
    """An array that receives its contents after construction, as NumPy pickles it."""

    def set_state(self, state: Any, budget: Budget) -> None:
        """Set version, shape, dtype, order and raw bytes (a list if it holds objects)."""
        version, shape, dtype, fortran, raw = state
        kind = dtype.numpy()
        shape = _shape(shape)
        size = len(raw) if kind.hasobject else len(raw) // kind.itemsize
        if math.prod(shape) != size or isinstance(raw, list) != kind.hasobject:
            raise CheckpointError(f"array must have {math.prod(shape)} numbers, got {size}")
        budget.spend(size * kind.itemsize)
        self.__setstate__((int(version), shape, kind, bool(fortran), raw))  # type: ignore[arg-type]


@dataclass(slots=True)
class DType:
    """An array's dtype: kind and size, then byte order."""

    code: str
    order: str = "<"

    def set_state(self, state: Any, _budget: Budget) -> None:
        """Set the byte order; fields and alignment must be absent."""
        self.order = str(state[1])

    def numpy(self) -> "np.dtype[Any]":
        """Return the NumPy dtype; objects, booleans and numbers of up to 8 bytes are allowed."""
        code = "O" if self.code.startswith("O") else self.code
        if code not in {
            "O",
            "b1",
            "f2",
            "f4",
            "f8",
            "i1",
            "i2",
            "i4",
            "i8",
            "u1",
            "u2",
            "u4",
            "u8",
        }:
            raise CheckpointError(f"arrays must hold numbers, got {self.code[:20]!r}")
        return np.dtype(code if self.order == "|" else self.order + code)


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a file that tensors are views of.

    Attributes:
        flat: All of them, in one axis; None until torch's old format reaches them.
    """

    flat: Tensor | None


def find(name: Name) -> Construct | None:
    """Return the constructor of a name, or None if the name is not allowed in a checkpoint."""
    if name.module in ("torch", "torch.cuda") and name.name in TYPED_STORAGES:
        return _value_only
    return KNOWN.get(str(name))


def _value_only(_arguments: tuple[Any, ...], _budget: Budget) -> Any:
    raise CheckpointError("a type in a pickle must not be called, got a call")


def _record(_arguments: tuple[Any, ...], _budget: Budget) -> Record:
    return Record()


def _persistent_class(arguments: tuple[Any, ...], budget: Budget) -> Record:
    """Return the state of an object that carries its source code, which is ignored."""
    meta = arguments[0]
    record = Record(class_name=str(meta["class_name"]))
    record.set_state(meta["state"], budget)
    return record


def _ordered(arguments: tuple[Any, ...], _budget: Budget) -> Ordered:
    """Return a dict for an OrderedDict, defaultdict or Counter."""
    first = arguments[0] if arguments else None
    pairs = first.items() if isinstance(first, dict) else first
    if not isinstance(pairs, list) and not isinstance(first, dict):
        pairs = []  # the argument is a defaultdict's factory
    return Ordered({plain_key(key): value for key, value in pairs or ()})


def _set(arguments: tuple[Any, ...], _budget: Budget) -> set[Any]:
    return set(map(plain_key, *arguments))


def _encoded(arguments: tuple[Any, ...], budget: Budget) -> bytes:
    text, encoding = arguments
    if encoding != "latin1":
        raise CheckpointError(f"bytes in a pickle must be latin1, got {str(encoding)[:20]!r}")
    budget.spend(len(text))
    return str(text).encode("latin1")


def _byte_array(arguments: tuple[Any, ...], budget: Budget) -> bytes:
    """Return bytes for a bytearray, given bytes, or text in old protocols."""
    if len(arguments) == 1 and isinstance(arguments[0], bytes):
        budget.spend(len(arguments[0]))
        return bytes(arguments[0])
    return _encoded(arguments, budget) if arguments else b""


def _complex(arguments: tuple[Any, ...], _budget: Budget) -> complex:
    real, imaginary = arguments
    return complex(float(real), float(imaginary))


def _array(_arguments: tuple[Any, ...], _budget: Budget) -> Array:
    return np.empty(0, np.float32).view(Array)


def _array_of_buffer(arguments: tuple[Any, ...], budget: Budget) -> Array:
    raw, dtype, shape, order = arguments
    array = np.empty(0, np.float32).view(Array)
    array.set_state((1, shape, dtype, order == "F", raw), budget)
    return array


def _dtype(arguments: tuple[Any, ...], _budget: Budget) -> DType:
    return DType(str(arguments[0]))


def _scalar(arguments: tuple[Any, ...], _budget: Budget) -> Any:
    dtype, raw = arguments
    return np.frombuffer(raw, dtype.numpy(), count=1)[0].item()


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list) or len(shape) > MAX_AXES:
        raise CheckpointError(f"a shape must have at most {MAX_AXES} axes, got another")
    if not all(isinstance(side, int) and 0 <= side < 1 << 40 for side in shape):
        raise CheckpointError("a shape must have numbers of 0 or more, got others")
    return tuple(shape)


def _size(arguments: tuple[Any, ...], _budget: Budget) -> tuple[int, ...]:
    return _shape(arguments[0])


def _tensor(arguments: tuple[Any, ...], _budget: Budget) -> Tensor | None:
    """Return a view of a storage; torch's older call ends with the stride, newer ones add more."""
    storage, offset, size, stride = arguments[:4]
    size, stride = _shape(size), _shape(stride)
    if not isinstance(storage, Storage) or len(size) != len(stride):
        raise CheckpointError("a tensor must refer to a storage, got another value")
    if storage.flat is None:
        return None
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = storage.flat.numel()
    if math.prod(size) and not (0 <= offset <= last < count and math.prod(size) <= count):
        raise CheckpointError(f"a tensor must lie within its {count} numbers, got {size}")
    if not math.prod(size):
        return storage.flat.new_empty(size)
    return storage.flat.as_strided(size, stride, offset)


def _parameter(arguments: tuple[Any, ...], _budget: Budget) -> Any:
    return arguments[0]


def _typed_tensor(arguments: tuple[Any, ...], budget: Budget) -> Any:
    """Return a tensor without its attributes or its subclass."""
    maker, _, inner = arguments[:3]
    if not isinstance(maker, Name) or maker.module != "torch._utils":
        raise CheckpointError("a tensor must be made by torch._utils, got another maker")
    construct = find(maker)
    return construct(inner, budget) if construct else None


def _tensor_of_type(arguments: tuple[Any, ...], _budget: Budget) -> Tensor | None:
    """Return a view of a byte storage in a dtype that has no storage class."""
    storage, offset, size, stride = arguments[:4]
    dtype = arguments[6]
    if not isinstance(dtype, Name) or not isinstance(storage, Storage):
        raise CheckpointError("a tensor must refer to a storage, got another value")
    kind = getattr(torch, dtype.name, None) if dtype.name in TYPES else None
    if not isinstance(kind, torch.dtype):
        raise CheckpointError(f"a tensor must hold plain numbers, got {dtype.name[:40]}")
    if storage.flat is None:
        return None
    flat = storage.flat[: storage.flat.numel() // kind.itemsize * kind.itemsize].view(kind)
    return _tensor((Storage(flat), offset, size, stride), _budget)


def _tensor_of_array(arguments: tuple[Any, ...], budget: Budget) -> Tensor:
    """Return a tensor for one on another device, which was saved as an array or a tensor."""
    value = arguments[0]
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        budget.spend(value.nbytes)
        return torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
    if not isinstance(value, Tensor):
        raise CheckpointError("a tensor must hold plain numbers, got another value")
    return value


def _not_dense(kind: str) -> Construct:
    def refuse(_arguments: tuple[Any, ...], _budget: Budget) -> Any:
        raise CheckpointError(f"tensors must be dense, got {kind}, which is not supported")

    return refuse


def _layout(arguments: tuple[Any, ...], _budget: Budget) -> str:
    return str(arguments[0])[:MAX_LAYOUT]


def _device(arguments: tuple[Any, ...], _budget: Budget) -> str:
    return ":".join(map(str, arguments))


_NUMPY: dict[str, Construct] = {"multiarray._reconstruct": _array, "multiarray.scalar": _scalar}
_NUMPY["numeric._frombuffer"] = _array_of_buffer

KNOWN: dict[str, Construct] = {
    "_codecs.encode": _encoded,
    "argparse.Namespace": _record,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _ordered,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "__builtin__.set": _set,
    "collections.Counter": _ordered,
    "builtins.bytearray": _byte_array,
    "builtins.complex": _complex,
    **{
        f"{module}.{name}": _value_only
        for module in ("builtins", "__builtin__")
        for name in ("dict", "list", "tuple", "int", "float", "str", "bool", "bytes")
    },
    "dnnlib.util.EasyDict": _record,
    "dnnlib.tflib.network.Network": _record,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_class,
    "numpy.ndarray": _value_only,
    "numpy.dtype": _dtype,
    **{f"numpy.core.{name}": make for name, make in _NUMPY.items()},
    **{f"numpy._core.{name}": make for name, make in _NUMPY.items()},
    "torch.Size": _size,
    "torch.Tensor": _value_only,
    "torch.device": _device,
    "torch.nn.parameter.Parameter": _value_only,
    "torch.storage.UntypedStorage": _value_only,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _typed_tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_device_tensor_from_numpy": _tensor_of_array,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _tensor_of_array,
    "torch._utils._rebuild_sparse_tensor": _not_dense("a sparse tensor"),
    "torch._utils._rebuild_nested_tensor": _not_dense("a nested tensor"),
    "torch._utils._rebuild_qtensor": _not_dense("a quantised tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _not_dense("a tensor without numbers"),
    "torch._utils._rebuild_wrapper_subclass": _not_dense("a tensor of a custom class"),
    "torch.serialization._get_layout": _layout,
    "torch.storage.TypedStorage": _value_only,
    **{f"torch.{name}": _value_only for name in TYPES},
    **{
        f"{module}.{name.removesuffix('Storage')}Tensor": _value_only
        for module in ("torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse")
        for name in TYPED_STORAGES
    },
    **{
        f"torch.{name}Storage": _value_only
        for name in ("QInt8", "QInt32", "QUInt8", "QUInt2x4", "QUInt4x2")
    },
}
"""Every known name and its constructor."""
