import pytest
import torch

from model_core.evaluation.records import Record
from model_core.evaluation.tables import paper_table, runtime_table

MEASURES = ["mse", "psnr_db", "ssim", "st-lpips-alex", "identity_similarity"]


def record(mse, steps, total_s):
    return Record(
        steps=[steps],
        figures=torch.tensor([[mse, 20.0, 0.5, 0.25, 0.875, 0.75]]),
        marks=[steps],
        images=torch.zeros(1, 3, 2, 2, dtype=torch.uint8),
        ws=torch.zeros(1, 1, 1),
        start_s=0.5,
        step_s=0.25 if steps else 0.0,
        total_s=total_s,
    )


@pytest.fixture
def records():
    """One pass on three faces and a search on the first two of them."""
    return {
        "network": [record(mse, 0, 0.5) for mse in (0.25, 0.25, 4.0)],
        "image2stylegan": [record(0.125, 10, total_s) for total_s in (3.0, 4.0)],
    }


def cells(row):
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_papers_table_holds_mse_likeness_and_time_with_intervals(records):
    table = paper_table("1", records, [*MEASURES, "arcface_similarity"], "st-lpips-alex")
    _, _, head, _, search, one_pass = table.splitlines()
    likeness = ["identity_similarity", "arcface_similarity"]
    figures = ["PSNR, dB", "SSIM", "st-lpips-alex", "MSE", *likeness, "seconds"]
    assert cells(head) == ["", "method", *figures, "paper, CelebA-HQ", "paper, CACD"]
    same = ["20 [20, 20]", "0.5 [0.5, 0.5]", "0.25 [0.25, 0.25]"]
    assert cells(search)[2:-2] == [
        *same,
        "0.125 [0.125, 0.125]",
        "0.875 [0.875, 0.875]",
        "0.75 [0.75, 0.75]",
        "3.5 [3, 4]",
    ]
    # Of the faces that both were run on.
    assert cells(one_pass)[5] == "0.25 [0.25, 0.25]"
    assert cells(one_pass)[8] == "0.5 [0.5, 0.5]"


def test_the_identity_judge_has_a_column(records):
    for rows in records.values():
        for row in rows:
            row.figures.resize_(1, len(MEASURES))
    table = paper_table("1", records, MEASURES, "st-lpips-alex")
    _, _, head, _, search, _ = table.splitlines()
    assert cells(head)[6:8] == ["identity_similarity", "seconds"]
    assert cells(search)[6] == "0.875 [0.875, 0.875]"


def test_runtimes_have_intervals(records):
    *_, one_pass, search = runtime_table(records).splitlines()
    half, none = "0.5 [0.5, 0.5]", ""
    assert cells(one_pass) == ["network (one pass)", "0", half, none, half]
    assert cells(search) == ["image2stylegan", "10", half, "0.25 [0.25, 0.25]", "3.5 [3, 4]"]
