import json

import pytest

from model_core.evaluation.__main__ import main


@pytest.mark.slow
def test_the_network_beats_the_mean_code_on_generated_faces(cache, network_file, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--network", str(network_file), "--count", "6", "--iterator-count", "2"]
    # The compiler cannot read functions whose shapes are checked.
    assert main([*flags, "--backend", "openvino", "--out", str(out)], cache) == 0
    figures = json.loads((out / "results.json").read_text())
    mean, network = figures["mean code"], figures["network"]
    assert network["mse"] < mean["mse"]
    assert network["st-lpips-vgg"] < mean["st-lpips-vgg"]
    assert network["photos"] == 6
    assert (out / "network.jpg").stat().st_size > 0
    assert "| network |" in capsys.readouterr().out


def test_a_folder_without_photos_is_told(cache, tmp_path, capsys):
    flags = ["--photos", str(tmp_path), "--out", str(tmp_path), "--methods", "mean"]
    assert main(flags, cache) == 1
    assert "folders with images" in capsys.readouterr().err
