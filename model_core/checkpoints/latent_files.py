"""Read and write other tools' codes: e4e, ReStyle, NVIDIA's projector, rosinality, pbaylies.

Codes are named after the file's own names, or numbered. No code in a file is run.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from model_core.atomic_file import partial_file, publish
from model_core.checkpoints.foreign.tensors import Tensors
from model_core.containers import pickle_names
from model_core.containers.npy_header import read_npy_header
from model_core.containers.pickle_machine import Budget
from model_core.containers.pickle_names import MAX_AXES
from model_core.containers.restricted_pickle import DAMAGE, load_pickle
from model_core.containers.torch_file import read_foreign
from model_core.errors import CheckpointError, InvalidInputError
from model_core.shapes import Ws

MAX_HEADER_BYTES = 10_000
MAX_FILE_BYTES = 1 << 33
MAX_ROWS = 64
MIN_WIDTH = 32  # of a row; a shorter axis is not w_dim
USUAL_ROWS = frozenset({8, 10, 12, 14, 16, 18})  # of W+ for 32 to 1024 px
NUMBERED = "{:06d}"

Space = Literal["w", "w+"]


def read_latents(
    path: Path, space: Space | None = None, shape: tuple[int, int] | None = None
) -> dict[str, Ws]:
    """Read the codes in a file, as float32.

    Supported: .pt with a tensor (e4e) or a dict of images with `latent` (rosinality); .npy with an
    array (pbaylies, idinvert) or a dict with a list per image, whose last code is used (ReStyle,
    HyperStyle); .npz with `w` (NVIDIA) or one array; .safetensors. A single row is a code of W.

    A two-axis array is one code of W+ or many of W. Unless `space` or `shape` decides, it is one
    code if its number of rows is that of a usual generator.

    Args:
        path: The file.
        space: What two-axis arrays hold.
        shape: Shape of the generator's W+ codes, (num_ws, w_dim).

    Raises:
        CheckpointError: If the file is missing, damaged, ambiguous, or holds no codes.
    """
    try:
        codes, left = {}, 8 * path.stat().st_size + (1 << 20)
        for name, code in _named(_read(path), space, shape):
            _check_width(code, shape)
            codes[name] = code
            left -= 4 * code.numel()
            if left < 0:
                raise CheckpointError("codes must not be larger than their file, got larger ones")
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


def write_latents(path: Path, codes: Mapping[str, Ws], fingerprint: str | None = None) -> None:
    """Write codes atomically.

    Args:
        path: Ends in .safetensors (keeps names and the generator's fingerprint), .npy (codes,
            num_ws, w_dim) or .npz (`w`, as NVIDIA's projector writes it).
        codes: Codes by name, all of one shape.
        fingerprint: SHA-256 of the generator they belong to, if known.

    Raises:
        InvalidInputError: If path has another suffix.
    """
    stacked = torch.stack(list(codes.values())).float().contiguous()
    with partial_file(path) as file:
        if path.suffix == ".safetensors":
            # Name a single code `ws`, as the service does.
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
        names = archive.namelist()
        known = [name for name in ("w.npy", "ws.npy") if name in names] or names
        if (len(known) > 1 and known is names) or not known:
            raise CheckpointError(f"npz must hold w, ws or one array, got {names[:4]}")
        name = known[0]
        limit = 4 * path.stat().st_size + (1 << 20)
        with archive.open(name) as member:
            data = member.read(limit + 1)
    if len(data) > limit:
        raise CheckpointError("npz must not be larger than its file, got a larger one")
    return _read_npy(memoryview(data))


def _read_npy(data: memoryview) -> Any:
    """Read a .npy; an object array is a pickle, which is read without running it."""
    file = io.BytesIO(data)
    shape, _, dtype = read_npy_header(file, MAX_HEADER_BYTES)
    if dtype.hasobject:
        found, _ = load_pickle(data, pickle_names.find, Budget.of(len(data)), at=file.tell())
        return found.item() if found.shape == () else list(found.flat)
    if len(shape) > MAX_AXES:
        raise CheckpointError(f"npy must have at most {MAX_AXES} axes, got {len(shape)}")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _named(
    content: Any, space: Space | None, shape: tuple[int, int] | None
) -> Iterator[tuple[str, Ws]]:
    """Yield codes with their names."""
    if isinstance(content, dict):
        yield from ((str(name), _one(value)) for name, value in content.items())
        return
    if isinstance(content, list | tuple):
        if not content or _axes(content[0]) != 1:
            yield from ((NUMBERED.format(i), _one(value)) for i, value in enumerate(content))
            return
        content = torch.stack([_array(row) for row in content])
    array = _without_ones(_array(content, most_axes=4))
    if array.ndim > 3:
        raise CheckpointError(f"codes must have one to three axes, got {tuple(array.shape)}")
    if array.ndim == 1:
        array = array[None, None]
    elif array.ndim == 2:
        array = array[None] if _is_one_code(array, space, shape) else array[:, None]
    yield from ((NUMBERED.format(i), code) for i, code in enumerate(array))


def _is_one_code(array: Tensor, space: Space | None, shape: tuple[int, int] | None) -> bool:
    """Whether the rows form one code of W+; otherwise each row is a code of W."""
    rows = len(array)
    if space:
        return space == "w+"
    if shape:
        return rows == shape[0]
    if rows == 1 or rows > MAX_ROWS:
        return False
    if rows not in USUAL_ROWS:
        raise CheckpointError(
            f"an array of {rows} x {array.shape[1]} may be one code of W+ or {rows} codes of W: "
            "say which by --space w+ or --space w, or name the generator"
        )
    return True


def _check_width(code: Ws, shape: tuple[int, int] | None) -> None:
    """Refuse a code whose axes are not rows and w_dim."""
    rows, width = code.shape
    if shape and (width != shape[1] or rows not in (1, shape[0])):
        raise CheckpointError(
            f"a code of this generator must be {shape[0]} x {shape[1]}, or 1 x {shape[1]} in W, "
            f"got {rows} x {width}"
        )
    if rows > MAX_ROWS or width < MIN_WIDTH:
        raise CheckpointError(
            f"a code must be at most {MAX_ROWS} rows of {MIN_WIDTH} numbers or more, "
            f"got {rows} x {width}: are its axes swapped?"
        )


def _without_ones(array: Tensor) -> Tensor:
    """Drop leading axes of length 1, such as batches of one, until three are left."""
    while array.ndim == 4 and 1 in array.shape[:2]:
        array = array.squeeze(0) if array.shape[0] == 1 else array.squeeze(1)
    return array


def _one(value: Any) -> Ws:
    """Return one code: the last of a list, or a dict's `latent`."""
    if isinstance(value, dict):
        value = value["latent"]
    if isinstance(value, list | tuple):
        if value and _axes(value[-1]) == 1:  # the rows of one code
            value = torch.stack([_array(row) for row in value])
        else:
            value = value[-1]
    array = _array(value)
    array = array[0] if array.ndim == 3 and len(array) == 1 else array
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise CheckpointError(f"a code must be rows of numbers, got shape {tuple(array.shape)}")
    return array


def _axes(value: Any) -> int:
    return value.ndim if isinstance(value, Tensor | np.ndarray) else 0


def _array(value: Any, most_axes: int = 3) -> Tensor:
    array = Tensors({"codes": value}).take("codes")
    if not 1 <= array.ndim <= most_axes:
        raise CheckpointError(f"codes must have one to three axes, got {tuple(array.shape)}")
    return array
