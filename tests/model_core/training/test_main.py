import json

import pytest
import torch

from model_core.training.__main__ import main
from model_core.training.config import TrainConfig
from model_core.training.run_folder import claim


def test_a_dry_run_prints_the_resolved_config_and_leaves_nothing(tmp_path, capsys):
    assert main(["--dry-run", "--steps", "7", "--betas", "0.5,0.9"], tmp_path) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = TrainConfig.load("pretrain", {"steps": 7, "betas": (0.5, 0.9)})
    assert printed == json.loads(expected.to_json())
    assert not list(tmp_path.iterdir())


def test_a_process_without_its_own_gpu_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert main(["--device", "cuda", "--run", str(tmp_path)], tmp_path, local_rank=1) == 1
    assert "a GPU for each process" in capsys.readouterr().err


def test_an_unknown_option_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--stepz", "7"], tmp_path)
    assert "--stepz" in capsys.readouterr().err


def test_an_invalid_value_is_one_line(tmp_path, capsys):
    assert main(["--steps", "many"], tmp_path) == 1
    assert capsys.readouterr().err == "error: steps must be of type int, got 'many'\n"


def test_a_folder_of_other_settings_is_refused(tmp_path, capsys):
    claim(tmp_path / "run", TrainConfig.load("pretrain"), {"generator": "f" * 64})
    before = (tmp_path / "run" / "config.json").read_text()
    assert main(["--run", str(tmp_path / "run"), "--seed", "5", "--batch", "2"], tmp_path) == 1
    error = capsys.readouterr().err
    assert "got batch 2, seed 5" in error
    assert "another --run folder" in error
    assert (tmp_path / "run" / "config.json").read_text() == before


def test_a_start_is_refused_if_a_checkpoint_exists(tmp_path, capsys):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "00000005.safetensors").touch()
    arguments = ["--run", str(tmp_path / "run"), "--start", "network.safetensors"]
    assert main(arguments, tmp_path) == 1
    assert "--start must be left out" in capsys.readouterr().err
