"""Contact sheets: images of one size in a grid, with or without titles."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from model_core.shapes import SquarePixels

TITLE_PX = 22
LABEL_PX = 72
QUALITY = 90
FONT_PX = 15


def draw_sheet(
    rows: Sequence[Sequence[SquarePixels]],
    path: Path,
    titles: Sequence[str] = (),
    labels: Sequence[str] = (),
    cell_px: int | None = None,
) -> None:
    """Write a grid of images; rows may differ in length.

    Args:
        rows: Images row by row, all of one size.
        path: JPEG or PNG by its suffix; its folder is created if missing.
        titles: One above each column; none by default.
        labels: A word or two to the left of each row; none by default.
        cell_px: Side to which images are area-averaged; None leaves them as they are.
    """
    size = cell_px or len(rows[0][0])
    left, top = LABEL_PX if labels else 0, TITLE_PX if titles else 0
    width, height = left + size * max(len(row) for row in rows), top + size * len(rows)
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(FONT_PX)
    for j, title in enumerate(titles):
        draw.text((left + size * (j + 0.5), top / 2), title, "black", font, anchor="mm")
    for i, label in enumerate(labels):
        draw.text((left / 2, top + size * (i + 0.5)), label, "black", font, anchor="mm")
    for i, row in enumerate(rows):
        for j, pixels in enumerate(row):
            cell = Image.fromarray(pixels)
            if cell.width != size:
                cell = cell.resize((size, size), Image.Resampling.BOX)
            canvas.paste(cell, (left + size * j, top + size * i))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path, quality=QUALITY)
