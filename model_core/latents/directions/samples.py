"""Measures of generated faces, taken once and stored."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from model_core.errors import InvalidInputError
from model_core.latents.directions.measuring import MEASURES, Values

SAVE_EVERY = 20

Table = Float64[np.ndarray, "seeds measures"]


def measure_samples(
    measure: Callable[[int], Values],
    count: int,
    path: Path | None = None,
    on_step: Callable[[], object] = lambda: None,
) -> Table:
    """Measure the faces of seeds 0 to count - 1.

    Args:
        measure: Returns the measures of the face of a seed.
        count: Number of seeds, 1 or more.
        path: .npy file that stores the measures; those it already holds are not repeated.
        on_step: Called after each seed.

    Raises:
        InvalidInputError: If the file holds something else.
    """
    rows = [] if path is None or not path.is_file() else _read(path)[:count]
    for _ in rows:
        on_step()
    for seed in range(len(rows), count):
        rows.append(measure(seed))
        if path is not None and (len(rows) % SAVE_EVERY == 0 or len(rows) == count):
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.stack(rows))
        on_step()
    return np.stack(rows)


def _read(path: Path) -> list[Values]:
    try:
        known = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as err:
        raise InvalidInputError(f"{path.name} must be a .npy file without objects") from err
    if known.shape[1:] != (len(MEASURES),):
        raise InvalidInputError(
            f"{path.name} must hold {len(MEASURES)} measures a face, got {known.shape}"
        )
    return list(known)
