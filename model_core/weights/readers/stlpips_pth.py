"""Read a checkpoint of the stlpips-pytorch package into the layout of STLPIPS."""

from pathlib import Path

import torch
from torch import Tensor

from model_core.containers.torch_file import read_foreign
from model_core.errors import CheckpointError
from model_core.perceptual.stlpips import STLPIPS

# The larger of the published files, VGG's, has 58,907,298 bytes.
_MAX_FILE_BYTES = 120_000_000
_FIRST_CONVOLUTION = "net.slice1.0.weight"
_KERNEL_TRUNKS = {11: "alex", 3: "vgg"}


def read_stlpips(path: Path) -> dict[str, Tensor]:
    """Read trunk and calibrated weights of shift-tolerant LPIPS.

    Args:
        path: `alex_shift_tolerant.pth` or `vgg_shift_tolerant.pth`, told apart by the
            first kernel. Nothing in it is run.

    Returns:
        The state dict of STLPIPS with that trunk, float32.

    Raises:
        CheckpointError: If the file is missing, damaged or of another layout.
    """
    source = _load(path)
    first = source.get(_FIRST_CONVOLUTION)
    trunk = _KERNEL_TRUNKS.get(first.shape[-1]) if first is not None and first.ndim == 4 else None
    if trunk is None:
        raise CheckpointError(
            f"{path.name} must hold {_FIRST_CONVOLUTION}, a kernel of 11 or 3 pixels, "
            f"got {None if first is None else tuple(first.shape)}"
        )
    with torch.device("meta"):
        wanted = STLPIPS(trunk).state_dict()
    renamed = _rename(source, [key for key in wanted if key.startswith("stages.")], path.name)
    for key, value in renamed.items():
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"{key} of {path.name} must be {tuple(wanted[key].shape)}, got {tuple(value.shape)}"
            )
        if not value.isfinite().all():
            raise CheckpointError(f"{key} of {path.name} must be finite, got NaN or infinity")
    return renamed


def _load(path: Path) -> dict[str, Tensor]:
    """Read a flat dict of tensors; nothing in the file is run."""
    size = path.stat().st_size if path.is_file() else 0
    if size > _MAX_FILE_BYTES:
        raise CheckpointError(
            f"size of {path.name} must be at most {_MAX_FILE_BYTES} bytes, got {size}"
        )
    try:
        loaded = read_foreign(path)
    except CheckpointError as err:
        why = str(err).removeprefix(f"{path.name}: ")
        raise CheckpointError(f"{path.name} must be a file of tensors: {why}") from err
    if not isinstance(loaded, dict) or not all(map(_is_named_tensor, loaded.items())):
        raise CheckpointError(
            f"{path.name} must hold a dict of tensors, got {type(loaded).__name__}"
        )
    return loaded


def _is_named_tensor(item: tuple[object, object]) -> bool:
    """Whether an entry is a name with a tensor of plain real numbers."""
    key, value = item
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.is_floating_point()
        and value.layout is torch.strided
    )


def _rename(source: dict[str, Tensor], wanted: list[str], name: str) -> dict[str, Tensor]:
    """Rename the convolutions in order, and take square roots of the calibrated weights."""
    trunk = [key for key in source if key.startswith("net.") and not key.endswith(".filt")]
    if [key.rpartition(".")[2] for key in trunk] != [key.rpartition(".")[2] for key in wanted]:
        raise CheckpointError(f"{name} must hold {len(wanted)} trunk tensors, got {len(trunk)}")
    renamed = {ours: source[theirs].float() for ours, theirs in zip(wanted, trunk, strict=True)}
    for layer in range(5):
        head = source.get(f"lin{layer}.model.1.weight")
        if head is None or (head < 0).any():
            raise CheckpointError(f"lin{layer} of {name} must be weights >= 0, got others or none")
        renamed[f"scales.{layer}"] = head.double().sqrt().float().flatten()
    return renamed
