"""Contact sheets: where each image lies, and what fills the rest."""

import numpy as np
from PIL import Image

from model_core.contact_sheet import LABEL_PX, TITLE_PX, draw_sheet


def black(size):
    return np.zeros((size, size, 3), np.uint8)


def test_a_sheet_has_a_row_a_list_and_white_where_one_is_short(tmp_path):
    draw_sheet([[black(4), black(4)], [black(4)]], tmp_path / "sheets" / "sheet.png")
    grid = np.asarray(Image.open(tmp_path / "sheets" / "sheet.png"))
    assert grid.shape == (8, 8, 3)
    assert grid[:, :4].max() == grid[:4].max() == 0
    assert grid[4:, 4:].min() == 255


def test_images_are_resized_to_the_cells_by_area(tmp_path):
    halves = black(8)
    halves[:, 1::2] = 200
    draw_sheet([[halves]], tmp_path / "sheet.png", ["a"], ["b"], cell_px=4)
    grid = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert grid.shape == (TITLE_PX + 4, LABEL_PX + 4, 3)
    assert (grid[TITLE_PX:, LABEL_PX:] == 100).all()
