"""Read directions from files, and scale each to its unit.

A file holds one direction: (w_dim), which moves every row alike, or (num_ws, w_dim); its stem is
the direction's name. The length does not matter: one standard deviation moves the row that
moves the most by one standard deviation of the generator's own codes along it, so that one scale
works for directions of any origin. A sidecar may name another unit, such as years, and say how far
faces hold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model_core.errors import CheckpointError, ModelMismatchError
from model_core.latents.directions.calibration import Calibration, read_calibration
from model_core.weights.files import read_sidecar, sidecar_path

FAMILY = "direction"
SUFFIXES = (".npy", ".safetensors")

Step = Float[Tensor, "num_ws w_dim"]
Spread = Callable[[Float[Tensor, "rows w_dim"]], Float[Tensor, " rows"]]


@runtime_checkable
class Space(Protocol):
    """What must be known of a generator; a Predictor fits."""

    fingerprint: str
    num_ws: int
    w_dim: int

    def spread(self, directions: Float[Tensor, "rows w_dim"]) -> Float[Tensor, " rows"]:
        """Measure the standard deviation of mapped codes along directions."""
        ...


@dataclass(frozen=True, slots=True)
class Direction:
    """How to change one attribute of a face.

    Attributes:
        step: What one unit adds to a code, float32.
        calibration: Its unit, and how far faces hold.
    """

    step: Step
    calibration: Calibration

    @property
    def rows(self) -> tuple[int, int]:
        """First and last row that it moves."""
        moved = self.step.any(dim=1).nonzero()
        return int(moved[0]), int(moved[-1])


def load_directions(folder: Path, space: Space) -> dict[str, Direction]:
    """Read a folder's .npy and .safetensors files.

    Args:
        folder: Their folder; other files in it are ignored.
        space: The generator whose codes will be moved.

    Returns:
        The directions by name.
    Raises:
        CheckpointError: If the folder is missing, a file or its sidecar is damaged or of another
            shape, or two have the same name.
        ModelMismatchError: If a file's sidecar names another generator.
    """
    if not folder.is_dir():
        raise CheckpointError(f"folder of directions must exist, got none at {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    names = [path.stem for path in files]
    if len(set(names)) < len(names):
        raise CheckpointError(f"directions must have different names, got {', '.join(names)}")
    if not files:
        return {}
    sidecars = [read_sidecar(path) if sidecar_path(path).is_file() else {} for path in files]
    for path, sidecar in zip(files, sidecars, strict=True):
        _check_owner(path, sidecar, space)
    calibrations = [read_calibration(*each) for each in zip(files, sidecars, strict=True)]
    steps = in_units(torch.stack([_read(path, space) for path in files]), space.spread)
    return {
        name: Direction(step * calibration.deviations, calibration)
        for name, step, calibration in zip(names, steps, calibrations, strict=True)
    }


def in_units(
    directions: Float[Tensor, "batch num_ws w_dim"], spread: Spread
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Scale directions so that the row of each that moves furthest moves one standard deviation.

    Args:
        directions: Each with a row that is not 0.
        spread: Measures the standard deviation of mapped codes along directions.
    """
    lengths = directions.norm(dim=2)
    moved = lengths > 0
    spreads = torch.ones_like(lengths)
    spreads[moved] = spread(directions[moved])
    furthest: Tensor = (lengths / spreads).amax(dim=1)
    return directions / furthest[:, None, None]


def _check_owner(path: Path, sidecar: Mapping[str, object], space: Space) -> None:
    owner = str(sidecar.get("generator", space.fingerprint))
    if owner != space.fingerprint:
        raise ModelMismatchError(
            f"{path.name} belongs to the generator {owner[:12]}, "
            f"not to {space.fingerprint[:12]}, the one in use"
        )


def _read(path: Path, space: Space) -> Step:
    """Read a file; a direction given once applies to every row."""
    values = _values(path)
    shapes = (space.w_dim,), (space.num_ws, space.w_dim)
    if values.shape not in shapes:
        raise CheckpointError(
            f"{path.name} must have shape {list(shapes[0])} or {list(shapes[1])}, "
            f"got {list(values.shape)}"
        )
    if not values.is_floating_point() or not values.isfinite().all() or not values.any():
        raise CheckpointError(f"{path.name} must hold finite floats that are not all 0")
    return values.float().expand(space.num_ws, space.w_dim)


def _values(path: Path) -> Tensor:
    try:
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False))
        (values,) = load_file(path).values()
    except (ValueError, TypeError, EOFError, SafetensorError) as err:
        raise CheckpointError(
            f"{path.name} must be a .npy without objects, or a safetensors file of one tensor"
        ) from err
    return values
