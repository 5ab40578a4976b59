"""The runner and the report on tiny networks: every file that an evaluation writes."""

import json

import pytest
from PIL import Image

from model_core.evaluation.methods import Method, make_method
from model_core.evaluation.report import Findings, write_report
from model_core.evaluation.runner import EvaluationRunner

NAMES = (
    "mean",
    "network",
    "iterator",
    "iterator-from-network",
    "iterator-from-random",
    "iterator-mse",
    "iterator-mse-vgg",
    "image2stylegan",
    "image2stylegan++",
    "stylegan-encoder",
    "mse-lpips",
    "mse-lpips-tuned",
    "single-resnet",
    "collaborative",
)
STEPS = 5


@pytest.fixture(scope="module")
def runner(faces, scorer, tmp_path_factory):
    return EvaluationRunner(faces, scorer, tmp_path_factory.mktemp("records"), few=2)


@pytest.fixture(scope="module")
def records(runner, nets):
    return runner.run([make_method(name, nets, STEPS) for name in NAMES])


def test_searches_get_the_first_faces_only(records):
    assert len(records["network"]) == 3
    assert len(records["iterator"]) == 2


def test_finished_faces_are_not_embedded_again(records, runner, nets, monkeypatch):
    def refuse(*_):
        raise AssertionError("this face is finished")

    monkeypatch.setattr(Method, "run", refuse)
    again = runner.run([make_method("iterator", nets, STEPS)])
    assert again["iterator"][1].total_s == records["iterator"][1].total_s
    with pytest.raises(AssertionError, match="finished"):
        runner.run([make_method("iterator", nets, STEPS + 1)])


def test_the_report_holds_every_table_and_picture(records, faces, scorer, nets, tmp_path):
    found = Findings(faces, records, scorer.measures, {"steps": STEPS}, nets)
    text = write_report(found, tmp_path)
    for number in "1234":
        assert f"**Table {number}:" in text
    for row in (
        "| Image2StyleGAN++ | image2stylegan++ |",
        "| w/o iterator | mse-lpips |",
        "| Ours w/o disentangle learning | single-resnet |",
        "31.47 / 0.83 / 0.16",
        "not directly comparable",
    ):
        assert row in text, row
    pictures = {"starts.png", "figure5.png", "network.jpg"} | {
        f"figure{i}.jpg" for i in (1, 3, 6, 7, 8, 9, 10)
    }
    assert {file.name for file in tmp_path.iterdir()} == pictures | {"report.md", "results.json"}
    for name in pictures:
        assert f"({name})" in text
        with Image.open(tmp_path / name) as picture:
            assert picture.getextrema() != ((255, 255),) * 3
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["measure"] for row in results["one_pass_is_worth"]] == [
        "mse",
        "st-lpips-vgg",
        "identity_similarity",
        "colours_similarity",
    ]
    iterator = results["systems"]["iterator"]
    assert iterator["steps"] == STEPS
    assert list(iterator["curve"]) == [str(i) for i in range(STEPS + 1)]
    first, last = iterator["curve"]["0"], iterator["figures"]
    assert last["st-lpips-alex"]["mean"] < first["st-lpips-alex"]["mean"]


def test_methods_that_were_not_run_are_left_out(records, faces, scorer, nets, tmp_path):
    few = {name: records[name] for name in ("mean", "network")}
    text = write_report(Findings(faces, few, scorer.measures, {}, nets), tmp_path)
    assert "**Table 2" not in text
    assert "Iterator steps equivalent" not in text
    assert not (tmp_path / "figure6.jpg").exists()
    assert "| network (one pass) |" in text
