"""The same network however it is wrapped, and files that are none."""

import gzip
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model_core.checkpoints.inspection import read_checkpoint
from model_core.containers.torch_file import read_foreign
from model_core.errors import CheckpointError

ORIGINALS = Path(__file__).parent / "originals"


def rosinality():
    return dict(read_foreign(ORIGINALS / "rosinality.pt")["g_ema"])


class Network(nn.Module):
    """A network of anybody's, to be pickled whole."""


def whole(state):
    """Put a state dict into modules by its names."""
    network = Network()
    for name, value in state.items():
        *path, last = name.split(".")
        at = network
        for step in path:
            if step not in at._modules:
                at.add_module(step, Network())
            at = at._modules[step]
        at.register_parameter(last, nn.Parameter(value.clone(), requires_grad=False))
    return network


WRAPPERS = {
    "bare": lambda state: state,
    "g": lambda state: {"g": state},
    "g beside g_ema": lambda state: {"g": {}, "g_ema": state},
    "module.": lambda state: {"g_ema": {f"module.{k}": v for k, v in state.items()}},
    "runner": lambda state: {
        "models": {"generator_smooth": state},
        "running_metadata": {"iter": 1},
    },
    "whole": whole,
    "whole in a dict": lambda state: {"g_ema": whole(state)},
}


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
def test_wrappers_change_nothing(tmp_path, wrapper, new_format):
    want = read_checkpoint(ORIGINALS / "rosinality.pt")
    path = tmp_path / "file.pt"
    torch.save(WRAPPERS[wrapper](rosinality()), path, _use_new_zipfile_serialization=new_format)
    got = read_checkpoint(path)
    assert got.config == want.config
    assert all(torch.equal(got.state[k], want.state[k]) for k in want.state if k != "w_mean")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("name", ["rosinality.pt", "interfacegan.pth", "lernapparat.pt"])
def test_safetensors_of_the_same_names(tmp_path, name, suffix):
    content = read_foreign(ORIGINALS / name)
    state = {k: v.contiguous().clone() for k, v in content.get("g_ema", content).items()}
    save_file(state, tmp_path / f"file{suffix}")
    want = read_checkpoint(ORIGINALS / name)
    got = read_checkpoint(tmp_path / f"file{suffix}")
    assert (got.layout, got.config) == (want.layout, want.config)


def test_a_generator_of_ada_saved_by_torch(tmp_path, monkeypatch):
    """As PTI saves its tuned generators: NVIDIA's records in torch's zip."""
    module = types.ModuleType("torch_utils.persistence")
    exec("def _reconstruct_persistent_obj(meta): raise SystemExit", module.__dict__)  # noqa: S102
    make = module._reconstruct_persistent_obj
    make.__module__ = module.__name__
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Persistent:
        def __init__(self, record):
            self.record = record

        def __reduce__(self):
            state = {k: v for k, v in self.record.items() if k != "class_name"}
            inner = {k: Persistent(v) for k, v in state["_modules"].items()}
            meta = {"class_name": self.record["class_name"], "state": state | {"_modules": inner}}
            return make, (meta,)

    content = read_foreign(ORIGINALS / "stylegan2_ada_pytorch.pkl")
    torch.save(Persistent(content["G_ema"]), tmp_path / "model_ABC_multi_id.pt")
    got = read_checkpoint(tmp_path / "model_ABC_multi_id.pt")
    assert got.config == read_checkpoint(ORIGINALS / "stylegan2_ada_pytorch.pkl").config


PAGE = b"<!DOCTYPE html><html>Google Drive - Quota exceeded</html>"
OTHERS = {
    "page": (PAGE, r"got a web page \(HTML\)"),
    "page after a mark": (b"\xef\xbb\xbf\n" + PAGE, r"got a web page \(HTML\)"),
    "xml": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "got an XML message"),
    "json": (b'{"message": "Not Found"}', "got a JSON message that begins with"),
    "text": (b"Entry not found", "got text that begins with 'Entry not found'"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "got a Git LFS pointer"),
    "empty": (b"", "got an empty file"),
    "zeros": (bytes(1000), "got a file of zeros only"),
    "gzip": (gzip.compress(b"x"), "got a gzip archive: unpack it"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "got an HDF5 file"),
    "image": (b"\x89PNG\r\n", "got a PNG image"),
}


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".safetensors"])
@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_files_that_are_not_checkpoints_are_described(tmp_path, kind, suffix):
    data, message = OTHERS[kind]
    if kind in ("json", "text") and suffix == ".safetensors":
        message = ""  # the library says itself what is wrong with the header
    (tmp_path / f"file{suffix}").write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"file{suffix}.*{message}"):
        read_checkpoint(tmp_path / f"file{suffix}")


def test_several_networks_need_a_choice(tmp_path):
    torch.save({"one": rosinality(), "two": rosinality()}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"must hold one network to convert, got one, two"):
        read_checkpoint(tmp_path / "file.pt")
