"""The command: its flags, and one run on the real weights."""

import json

import pytest
import torch

from model_core.evaluation import __main__
from model_core.evaluation.__main__ import main


@pytest.mark.slow
def test_the_network_beats_the_mean_code_on_generated_faces(cache, network_file, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--network", str(network_file), "--count", "3", "--device", "cpu"]
    # The compiler cannot read functions whose shapes are checked.
    assert main([*flags, "--backend", "eager", "--out", str(out)], cache) == 0
    methods = json.loads((out / "results.json").read_text())["systems"]
    mean, network = methods["mean"]["figures"], methods["network"]["figures"]
    assert network["mse"]["mean"] < mean["mse"]["mean"]
    assert network["st-lpips-vgg"]["mean"] < mean["st-lpips-vgg"]["mean"]
    assert methods["network"]["faces"] == 3
    assert (out / "network.jpg").stat().st_size > 0
    assert "| network (one pass) |" in capsys.readouterr().out


def test_a_folder_without_photos_is_reported(cache, tmp_path, capsys):
    flags = ["--photos", str(tmp_path), "--out", str(tmp_path), "--methods", "mean"]
    assert main([*flags, "--backend", "eager"], cache) == 1
    assert "folders of images" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "steps"), [([], 5000), (["--steps", "30"], 30)])
def test_searches_take_the_papers_steps_by_default(flags, steps, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(__main__, "evaluate", lambda options, _cache: options.steps)
    assert main(["--methods", "mean", "--out", str(tmp_path), *flags], tmp_path) == 0
    assert capsys.readouterr().out == f"{steps}\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--generator", "mine", "--methods", "network"], "--network must name a file"),
        (["--methods", "stylegan-encoder"], "--variant single-resnet=FILE must name a file"),
        (["--variant", "mse-lpips-tuned=f"], "--tuned-generator must be given with"),
        (["--variant", "better=f"], "must be NAME=FILE"),
        (["--steps", "0"], "must be a positive integer, got 0"),
        (["--device", "cuda"], "--device must be available to torch, got cuda"),
    ],
)
def test_invalid_flags_are_refused(flags, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--methods", "mean", "--out", str(tmp_path), *flags], tmp_path)
    assert message in capsys.readouterr().err
