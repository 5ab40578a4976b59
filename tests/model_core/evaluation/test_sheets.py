import numpy as np
import torch
from PIL import Image

from model_core.contact_sheet import LABEL_PX, TITLE_PX
from model_core.evaluation.plots import plot_runtimes
from model_core.evaluation.records import Record
from model_core.evaluation.sheets import after, draw_grid


def record(steps, total_s=1.0):
    images = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    figures, ws = torch.zeros(1, 1), torch.zeros(1, 1, 1)
    return Record([steps], figures, [steps], images, ws, 0.0, 0.0, total_s)


def draw(tmp_path, **labelled):
    red, blue = torch.zeros(2, 3, 96, 96, dtype=torch.uint8)
    red[0], blue[2] = 200, 200
    draw_grid(["30 steps"], [[red, blue], [blue, red]], tmp_path / "grid.png", **labelled)
    with Image.open(tmp_path / "grid.png") as picture:
        return np.asarray(picture)


def test_a_grid_has_a_title_above_every_column(tmp_path):
    grid = draw(tmp_path)
    assert grid.shape == (TITLE_PX + 2 * 96, 2 * 96, 3)
    assert grid[:TITLE_PX, :96].min() < 50
    assert grid[:TITLE_PX, 96:].min() < 50
    assert grid[TITLE_PX + 5, [5, 100]].tolist() == [[200, 0, 0], [0, 0, 200]]
    assert grid[TITLE_PX + 100, [5, 100]].tolist() == [[0, 0, 200], [200, 0, 0]]


def test_labels_are_next_to_their_rows(tmp_path):
    plain, labelled = draw(tmp_path), draw(tmp_path, labels=["mean", ""])
    assert (labelled[:, LABEL_PX:] == plain).all()
    margin = labelled[:, :LABEL_PX]
    assert margin[TITLE_PX : TITLE_PX + 96].min() < 50
    assert margin[TITLE_PX + 96 :].min() == 255


def test_titles_include_the_steps():
    assert after([record(0)]) == ""
    assert after([record(48)]) == ", 48 steps"


def test_runtimes_are_drawn_from_one_face_on(tmp_path):
    records = {"network": [record(0)], "iterator": [record(5, 1.0), record(5, 9.0)], "mse": []}
    assert plot_runtimes(records, tmp_path / "figure5.png")
    assert not plot_runtimes({"mean": [record(0)]}, tmp_path / "none.png")
    assert [file.name for file in tmp_path.iterdir()] == ["figure5.png"]
