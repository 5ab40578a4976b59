"""Codes as other tools save them, each written the way that tool does."""

import os

import numpy as np
import pytest
import torch
from safetensors import safe_open

from model_core.checkpoints.latent_files import read_latents, write_latents
from model_core.errors import CheckpointError, InvalidInputError

CODES = torch.randn(3, 18, 512, generator=torch.Generator().manual_seed(0))


def e4e(path):
    torch.save(CODES, path)


def restyle(path):
    steps = {f"{i}.jpg": [np.zeros((18, 512), "f4"), code.numpy()] for i, code in enumerate(CODES)}
    np.save(path, steps)


def projector(path):
    np.savez(path, w=CODES[:1].numpy())


def rosinality(path):
    one = {"img": torch.zeros(3, 4, 4), "latent": CODES[0], "noise": [torch.zeros(1)]}
    torch.save({"a.png": one}, path)


def pbaylies(path):
    np.save(path, CODES[0].numpy().astype("f8"))


def idinvert(path):
    np.save(path, CODES[:, :14].numpy())


@pytest.mark.parametrize(
    ("write", "suffix", "names", "want"),
    [
        (e4e, ".pt", ["000000", "000001", "000002"], CODES),
        (restyle, ".npy", ["0.jpg", "1.jpg", "2.jpg"], CODES),
        (projector, ".npz", ["000000"], CODES[:1]),
        (rosinality, ".pt", ["a.png"], CODES[:1]),
        (pbaylies, ".npy", ["000000"], CODES[:1]),
        (idinvert, ".npy", ["000000", "000001", "000002"], CODES[:, :14]),
    ],
)
def test_codes_of_other_tools_are_read(tmp_path, write, suffix, names, want):
    path = tmp_path / f"codes{suffix}"
    write(path)
    codes = read_latents(path)
    assert list(codes) == names
    assert torch.equal(torch.stack(list(codes.values())), want)


ROWS = torch.randn(20, 512, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("array", "how", "shape"),
    [
        (ROWS[0], {}, (1, 1, 512)),
        (ROWS[:1], {}, (1, 1, 512)),
        (ROWS[:1], {"space": "w+"}, (1, 1, 512)),
        (ROWS[:18], {}, (1, 18, 512)),
        (ROWS[:18], {"space": "w"}, (18, 1, 512)),
        (ROWS[:18], {"shape": (16, 512)}, (18, 1, 512)),
        (ROWS[:16], {"shape": (16, 512)}, (1, 16, 512)),
        (ROWS, {"space": "w"}, (20, 1, 512)),
        (ROWS, {"space": "w+"}, (1, 20, 512)),
        (ROWS, {"shape": (18, 512)}, (20, 1, 512)),
        (ROWS.repeat(50, 1), {}, (1000, 1, 512)),
        (ROWS[:, None], {}, (20, 1, 512)),
        (CODES[:, None], {}, (3, 18, 512)),
        (CODES[None], {}, (3, 18, 512)),
        (CODES[None, :1], {}, (1, 18, 512)),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_the_meaning_of_axes_is_given_or_required(tmp_path, array, how, shape, suffix):
    path = tmp_path / f"codes{suffix}"
    if suffix == ".pt":
        torch.save(array.clone(), path)
    else:
        (np.savez if suffix == ".npz" else np.save)(path, array.numpy())
    codes = torch.stack(list(read_latents(path, **how).values()))
    assert codes.shape == shape
    assert torch.equal(codes.flatten(), array.flatten())


def test_the_rows_of_one_code_may_be_a_list(tmp_path):
    torch.save({"a": list(ROWS[:18])}, tmp_path / "named.pt")
    torch.save(list(ROWS[:18]), tmp_path / "rows.pt")
    for name in ("named.pt", "rows.pt"):
        (code,) = read_latents(tmp_path / name).values()
        assert torch.equal(code, ROWS[:18])


@pytest.mark.parametrize(
    ("array", "how", "message"),
    [
        (ROWS, {}, "may be one code of W\\+ or 20 codes of W: say which"),
        (ROWS[:3], {}, "may be one code"),
        (ROWS[:18].T, {}, "got 1 x 18: are its axes swapped"),
        (CODES.transpose(1, 2), {}, "got 512 x 18: are its axes swapped"),
        (CODES, {"shape": (14, 512)}, "must be 14 x 512, or 1 x 512 in W, got 18 x 512"),
        (CODES[..., :256], {"shape": (18, 512)}, "got 18 x 256"),
        (ROWS.reshape(2, 2, 5, 512), {}, "one to three axes"),
        (ROWS[0, 0], {}, "one to three axes"),
    ],
)
def test_axes_of_no_code_are_refused(tmp_path, array, how, message):
    np.save(tmp_path / "codes.npy", array.numpy())
    with pytest.raises(CheckpointError, match=message):
        read_latents(tmp_path / "codes.npy", **how)


def test_the_only_array_in_a_npz_may_have_any_name(tmp_path):
    np.savez(tmp_path / "codes.npz", dlatents=CODES.numpy())
    assert len(read_latents(tmp_path / "codes.npz")) == 3
    np.savez(tmp_path / "codes.npz", a=CODES.numpy(), b=CODES.numpy())
    with pytest.raises(CheckpointError, match="npz must hold w, ws or one array"):
        read_latents(tmp_path / "codes.npz")


@pytest.mark.parametrize("suffix", [".safetensors", ".npy", ".npz"])
def test_written_latents_are_read_again(tmp_path, suffix):
    path = tmp_path / f"codes{suffix}"
    write_latents(path, {f"{i:06d}": code for i, code in enumerate(CODES)}, "f" * 64)
    codes = read_latents(path)
    assert torch.equal(torch.stack([codes[name] for name in sorted(codes)]), CODES)


def test_the_generator_is_named(tmp_path):
    path = tmp_path / "code.safetensors"
    write_latents(path, {"a": CODES[0]}, "f" * 64)
    with safe_open(path, "pt") as file:
        assert file.metadata()["fingerprint"] == "f" * 64
        assert list(file.keys()) == ["ws"]


def test_a_pickle_in_an_array_is_not_run(tmp_path):
    class Call:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'was_run'}",)

    np.save(tmp_path / "codes.npy", np.array({"a": Call()}, dtype=object))
    with pytest.raises(CheckpointError, match="was not run"):
        read_latents(tmp_path / "codes.npy")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2, 3, 4, 5), "one to three axes"),
        (torch.full((18, 512), torch.nan), "finite"),
        ({"a": torch.ones(18, 512), "b": torch.ones(14, 512)}, "of one shape"),
        ({}, "must hold codes"),
        ({"a": "text"}, "must hold codes"),
    ],
)
def test_a_value_that_is_not_a_code_is_an_error(tmp_path, content, message):
    torch.save(content, tmp_path / "codes.pt")
    with pytest.raises(CheckpointError, match=message):
        read_latents(tmp_path / "codes.pt")


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY\x01\x00\xff\xff{", b"other"])
def test_damaged_arrays_are_refused(tmp_path, data):
    (tmp_path / "codes.npy").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"codes\.npy"):
        read_latents(tmp_path / "codes.npy")


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="must end in"):
        write_latents(tmp_path / "codes.png", {"a": CODES[0]})
