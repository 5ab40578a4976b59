"""The options of the commands that edit: directions, and how far to move along each."""

import argparse
import math


def add_direction_options(parser: argparse.ArgumentParser) -> None:
    """Add --direction and --unsafe."""
    parser.add_argument(
        "--direction",
        dest="directions",
        metavar="NAME=STRENGTH",
        type=read_direction,
        action="append",
        required=True,
        help="how far to move along a direction, in its unit; NAME alone takes its default; may be "
        "given several times",
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="allow strengths at which faces may break"
    )


def read_strengths(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> dict[str, float | None]:
    """Return the strength for each direction, None for its default; exit if one is given twice."""
    names = [name for name, _ in options.directions]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        parser.error(f"--direction must name each direction once, got {twice[0]} twice")
    return dict(options.directions)


def read_direction(text: str) -> tuple[str, float | None]:
    """Read NAME=STRENGTH, or NAME.

    Raises:
        ArgumentTypeError: If it is neither.
    """
    name, equals, number = text.partition("=")
    if name and not equals:
        return name, None
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not name or not math.isfinite(strength):
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER such as smile=1.5, got {text}")
    return name, strength
