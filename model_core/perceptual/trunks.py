"""Read torchvision's networks from files that the user supplies.

No package contains their weights: they come from torchvision's hub, which may be out of reach.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from model_core.containers.torch_file import read_foreign
from model_core.errors import CheckpointError

# Trunk: file name without its digest, the file as torchvision publishes it.
TRUNKS = {
    "alex": ("alexnet", "alexnet-owt-7be5be79.pth"),
    "vgg": ("vgg16", "vgg16-397923af.pth"),
}
_HUB = "https://download.pytorch.org/models/"


def find_trunk(trunk: str, folder: Path | None) -> Path:
    """Return the file of a trunk, "alex" or "vgg", in the folder of trunks.

    Raises:
        CheckpointError: If there is none; says how to supply it.
    """
    stem, published = TRUNKS[trunk]
    found = sorted(folder.glob(f"{stem}-*.pth")) if folder else []
    if not found:
        where = folder or "no folder of trunks"
        raise CheckpointError(
            f"trunks must hold {stem}-*.pth, got none in {where}: download {_HUB}{published} into "
            "a folder and name that (--trunks DIR)"
        )
    return found[0]


def read_trunk(file: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the convolutions of a torchvision state dict.

    Args:
        file: The state dict; nothing in it is run.
        wanted: The state dict of the network's `features`, for its names and shapes.

    Raises:
        CheckpointError: If the file cannot be read or lacks a tensor of that name and shape.
    """
    try:
        source = read_foreign(file)
    except CheckpointError as err:
        why = str(err).removeprefix(f"{file.name}: ")
        raise CheckpointError(f"{file.name} must be a torchvision state dict: {why}") from err
    if not isinstance(source, dict):
        raise CheckpointError(
            f"{file.name} must be a torchvision state dict, got a {type(source).__name__}"
        )
    if missing := [key for key in wanted if f"features.{key}" not in source]:
        raise CheckpointError(
            f"{file.name} must be a torchvision state dict, got none of features.{missing[0]}"
        )
    found = {key: source[f"features.{key}"] for key in wanted}
    for key, value in found.items():
        if not isinstance(value, Tensor) or value.shape != wanted[key].shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(
                f"features.{key} of {file.name} must be {tuple(wanted[key].shape)}, got {got}"
            )
    return {key: value.float() for key, value in found.items()}
