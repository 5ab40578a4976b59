"""Contact sheets like the paper's figures: grids of images with titles."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from model_core.contact_sheet import draw_sheet
from model_core.evaluation.paper import CURVE_STEPS, STARTS
from model_core.evaluation.records import Record
from model_core.evaluation.runner import Records
from model_core.images import to_pixels
from model_core.shapes import ByteImages

SHEET_FACES = 8
Picture = UInt8[Tensor, "3 size size"]

SHEETS = {
    "network.jpg": (
        "Reconstructions in one pass, and refined",
        {
            "mean code": "mean",
            "one pass": "network",
            "with detail": "network+detail",
            "refined": "iterator+detail",
        },
    ),
    "figure1.jpg": (
        "Figure 1: networks trained with other losses",
        {
            "MSE": "mse",
            "MSE + LPIPS": "mse-lpips",
            "*MSE + LPIPS": "mse-lpips-tuned",
            "ours": "collaborative",
        },
    ),
    "figure3.jpg": (
        "Figure 3: losses of the iterator",
        {
            "MSE": "iterator-mse",
            "MSE + perceptual": "iterator-mse-vgg",
            "MSE + ST-LPIPS": "iterator",
        },
    ),
    "figure6.jpg": (
        "Figure 6: embedding methods",
        {
            "Image2StyleGAN": "image2stylegan",
            "StyleGAN-Encoder": "stylegan-encoder",
            "Image2StyleGAN++": "image2stylegan++",
            "ours, one pass": "network",
        },
    ),
}
"""Title and columns (title: method) of each sheet, by file."""


def draw_grid(
    columns: Sequence[str],
    rows: Sequence[Sequence[Picture]],
    path: Path,
    first: str = "input",
    labels: Sequence[str] = (),
) -> None:
    """Write a grid of images of one size, with a title above every column.

    Args:
        columns: Titles from the second column on.
        rows: Images by row, including the first column.
        path: File to write, JPEG or PNG by its suffix.
        first: Title of the first column.
        labels: Short labels to the left of the rows; none by default.
    """
    pixels = [[to_pixels(picture) for picture in row] for row in rows]
    draw_sheet(pixels, path, [first, *columns], labels)


def after(records: Sequence[Record]) -> str:
    """Return the suffix of a method's title: its number of steps, or nothing for one pass."""
    steps = records[0].steps[-1]
    return f", {steps} steps" if steps else ""


def draw_methods(faces: ByteImages, records: Records, columns: dict[str, str], path: Path) -> bool:
    """Draw faces next to their final images by some methods.

    Returns:
        Whether there were at least two methods to draw.
    """
    given = {title: records[name] for title, name in columns.items() if records.get(name)}
    if len(given) < 2:
        return False
    count = min(SHEET_FACES, *(len(rows) for rows in given.values()))
    rows = [[faces[i], *(r[i].image() for r in given.values())] for i in range(count)]
    titles = [title + after(r) for title, r in given.items()]
    draw_grid(titles, rows, path)
    return True


def draw_starts(faces: ByteImages, records: Records, path: Path) -> bool:
    """Draw one face's progress from each start, one row each (figure 7)."""
    given = {title: records[name] for title, name in STARTS.items() if records.get(name)}
    if not given:
        return False
    marks = next(iter(given.values()))[0].marks
    steps = [0, *(s for s in marks if s and (s in CURVE_STEPS or s == marks[-1]))]
    titles = [f"{step} steps" for step in steps]
    rows = [[faces[0], *(r[0].image(step) for step in steps)] for r in given.values()]
    draw_grid(titles, rows, path, labels=list(given))
    return True
