"""The changes that the commands make: directions, and other colours."""

from collections.abc import Mapping
from pathlib import Path

from model_core.batch.output_folder import digest
from model_core.batch.pictures import FaceChange
from model_core.latents.directions.available import read_directions
from model_core.latents.directions.combining import DirectionRangeError, combined_step, value_of
from model_core.latents.editing import colorize, move
from model_core.latents.latent import Latent
from model_core.predictor import Predictor
from model_core.shapes import Ws
from model_core.weights.shipped import DIRECTIONS


def along_directions(
    predictor: Predictor, asked: Mapping[str, float | None], unsafe: bool
) -> FaceChange:
    """Move faces along the shipped directions.

    Args:
        predictor: Whose generator's directions they are.
        asked: How far, in their units; None takes a direction's default.
        unsafe: Whether values may leave the safe ranges.

    Raises:
        UnknownDirectionError: If there is no such direction.
        DirectionRangeError: If a value is out of range.
    """
    known = read_directions(None, predictor)
    try:
        step = combined_step(known, asked, unsafe, "--direction")
    except DirectionRangeError as err:
        if err.allowed_if_unsafe:
            message = f"{err}; faces may break beyond, which --unsafe allows"
            raise DirectionRangeError(message, True) from err
        raise
    values = {name: value_of(known, name, given, unsafe) for name, given in asked.items()}

    def moved(own: Latent) -> Latent:
        return own.moved_to(move(own.ws[None], step, 1.0)[0])

    files = {name: digest(DIRECTIONS / f"{name}.safetensors") for name in sorted(asked)}
    settings = {"change": "edit", "directions": values, "direction_files": files}
    return FaceChange(moved, settings)


def to_colours(
    colours: Ws, style: Path | None, first_row: int, strength: float, keep_luminance: bool
) -> FaceChange:
    """Give faces the colours of a code.

    Args:
        colours: The code.
        style: The photo that it is from; None if it is the average face's.
        first_row: First row to take from it.
        strength: Share of it in those rows.
        keep_luminance: Whether faces keep the luminance of their photos.
    """

    def coloured(own: Latent) -> Latent:
        return own.moved_to(colorize(own.ws[None], colours[None], first_row, strength)[0])

    settings = {
        "change": "colorize",
        "style": None if style is None else digest(style),
        "first_row": first_row,
        "strength": strength,
        "keep_luminance": keep_luminance,
    }
    return FaceChange(coloured, settings, keep_luminance)
