import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_core.networks.loading import load_embedding_network, load_generator
from model_core.training.checkpoint import newest_checkpoint
from tests.model_core.training import tiny

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_the_preset_smoke_does_all_of_a_run_from_the_command_line(cache, tmp_path):
    tiny.make_photos(tmp_path / "photos")
    run, export = tmp_path / "run", tmp_path / "embedding.safetensors"
    command = [sys.executable, "-m", "model_core.training", "--preset", "smoke"]
    files = ["--photos", tmp_path / "photos", "--run", run, "--export", export]
    environment = os.environ | {"WPLUS_CACHE": str(cache)}
    done = subprocess.run(
        [*command, *files], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "photos, 7 for training, 1 held out" in done.stdout + done.stderr

    losses = np.load(run / "cache-0" / "losses.npy")
    assert np.isfinite(losses).any()
    assert newest_checkpoint(run / "checkpoints").stem == "00000002"
    with Image.open(run / "sheets" / "00000002.jpg") as sheet:
        assert sheet.size == (256, 6 * 256)  # a pair, a photo and none further, with their images
    assert list((run / "board-0").iterdir())
    generator, fingerprint = load_generator(cache)
    assert load_embedding_network(export, cache, generator, fingerprint).config.disentangled
    about = json.loads(export.with_suffix(".json").read_text())
    assert about["training"]["supervision"] == "both"
