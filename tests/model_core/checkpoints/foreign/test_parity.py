"""Our generators through our readers, against what the original implementations rendered.

The files in `originals` were written by the projects' own saving code (those named tensorflow by
code of ours, from the variables' names), from seeded weights at small widths; the arrays beside
them are what the projects' own networks gave, every n-th pixel of it.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.checkpoints.doctor import read_checkpoint
from model_core.generators.families import FAMILIES

ORIGINALS = Path(__file__).parent / "originals"
FILES = sorted(p.name for p in ORIGINALS.iterdir() if p.suffix not in (".npz", ".npy"))
TOLERANCE = 1e-3


def load(name):
    path = ORIGINALS / name
    foreign = read_checkpoint(path)
    generator = FAMILIES[foreign.family](foreign.config).eval()
    missing = generator.load_state_dict(foreign.state, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"w_mean", "w_std"}
    golden = dict(np.load(path.with_suffix(".npz")))
    return foreign, generator, {key: torch.from_numpy(value) for key, value in golden.items()}


def seen(img):
    """Take the pixels that the golden arrays keep."""
    step = img.shape[-1] // 16
    return img[..., step // 2 :: step, step // 2 :: step]


@torch.no_grad()
@pytest.mark.parametrize("name", FILES)
def test_images_are_those_of_the_original(name):
    foreign, generator, golden = load(name)
    w = generator.mapping(golden["z"])
    assert (w - golden["w"]).abs().max() <= TOLERANCE
    silent = [torch.zeros_like(layer.noise) for layer in generator.layers]
    truncated = generator.truncate(w, 0.7)[:, None].repeat(1, generator.num_ws, 1)
    rendered = {
        "const": lambda: generator.synthesis(golden["ws"]),
        "none": lambda: generator.synthesis(golden["ws"], silent),
        "trunc": lambda: generator.synthesis(truncated),
    }
    if "w_mean" not in foreign.state:
        del rendered["trunc"]
    compared = rendered.keys() & golden.keys()
    assert compared
    for key in compared:
        assert (seen(rendered[key]()) - golden[key]).abs().max() <= TOLERANCE, key


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("rosinality_training.pt", "the mean code is missing"),
        ("lernapparat.pt", "the fixed noise maps are missing"),
        ("genforce_growing.pth", "training stopped at level of detail 1.25"),
    ],
)
def test_what_is_missing_is_told(name, remark):
    assert any(each.startswith(remark) for each in read_checkpoint(ORIGINALS / name).remarks)


def test_settings_of_a_pickle_are_read():
    config = read_checkpoint(ORIGINALS / "stylegan2_ada_pytorch.pkl").config
    assert (config["clamp"], config["mapping_layers"]) == (1.5, 2)
