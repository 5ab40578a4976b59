"""Our generators through our readers, against what the original implementations rendered.

The files in `originals` were written by the projects' own saving code (those named tensorflow by
code of ours, from the variables' names), from seeded weights at small widths; the arrays beside
them are what the projects' own networks gave, every n-th pixel of it. At 512 and 1024 px the
weights are too large to keep: both sides fill theirs from the names, which `large` holds.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model_core.checkpoints.inspection import read_checkpoint, read_content
from model_core.generators.families import FAMILIES
from tests.model_core.checkpoints.foreign.seeded import seeded_normals

ORIGINALS = Path(__file__).parent / "originals"
LARGE = Path(__file__).parent / "large"
FILES = sorted(p.name for p in ORIGINALS.iterdir() if p.suffix not in (".npz", ".npy"))
TOLERANCE = 1e-3


def load(name):
    path = ORIGINALS / name
    foreign = read_checkpoint(path)
    golden = dict(np.load(path.with_suffix(".npz")))
    return foreign, filled(foreign), {key: torch.from_numpy(a) for key, a in golden.items()}


def filled(foreign):
    generator = FAMILIES[foreign.family](foreign.config).eval()
    missing = generator.load_state_dict(foreign.state, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"w_mean", "w_std"}
    return generator


def seen(img):
    """Take the pixels that the golden arrays keep."""
    step = img.shape[-1] // 16
    return img[..., step // 2 :: step, step // 2 :: step]


def compare(foreign, generator, golden):
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
        img = rendered[key]()
        assert (seen(img) - golden[key]).abs().max() <= TOLERANCE, key
        if f"{key}_area" in golden:
            area = F.adaptive_avg_pool2d(img, golden[f"{key}_area"].shape[-1])
            assert (area - golden[f"{key}_area"]).abs().max() <= TOLERANCE, key


@torch.no_grad()
@pytest.mark.parametrize("name", FILES)
def test_images_are_those_of_the_original(name):
    compare(*load(name))


def nested(tensors):
    """Make the record of a module of StyleGAN2-ADA, as the reader of pickles gives it."""
    own = {name: value for name, value in tensors.items() if "." not in name}
    inner = {name.partition(".")[0] for name in tensors if "." in name}
    modules = {
        head: nested(
            {k[len(head) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{head}.")}
        )
        for head in inner
    }
    record = {"_parameters": own, "_buffers": {}, "_modules": modules}
    return record | {"class_name": "Generator"}


CONTENTS = {
    "rosinality": lambda tensors: {
        "g_ema": tensors,
        "latent_avg": seeded_normals({"latent_avg": (16,)})["latent_avg"],
    },
    "stylegan2_ada_pytorch": lambda tensors: {"G_ema": nested(tensors)},
    "genforce": lambda tensors: {**tensors, "synthesis.lod": torch.zeros(())},
    "interfacegan": lambda tensors: {**tensors, "synthesis.lod": torch.zeros(())},
}


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(path.stem for path in LARGE.iterdir()))
def test_large_images_are_those_of_the_original(name):
    """The whole image counts, by its means over squares, beside every n-th pixel."""
    golden = dict(np.load(LARGE / f"{name}.npz"))
    shapes = json.loads(str(golden.pop("shapes")))
    layout, _, img_px = name.rpartition("_")
    content = CONTENTS[layout](seeded_normals(shapes))
    foreign = read_content(content, name)
    generator = filled(foreign)
    assert generator.img_resolution == int(img_px)
    compare(foreign, generator, {key: torch.from_numpy(a) for key, a in golden.items()})


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("rosinality_training.pt", "the mean code is missing"),
        ("lernapparat.pt", "the fixed noise maps are missing"),
        ("genforce_growing.pth", "training stopped at level of detail 1.25"),
    ],
)
def test_missing_parts_give_remarks(name, remark):
    assert any(each.startswith(remark) for each in read_checkpoint(ORIGINALS / name).remarks)


def test_settings_of_a_pickle_are_read():
    config = read_checkpoint(ORIGINALS / "stylegan2_ada_pytorch.pkl").config
    assert (config["clamp"], config["mapping_layers"]) == (1.5, 2)
