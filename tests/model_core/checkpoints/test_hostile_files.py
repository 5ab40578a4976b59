"""Hostile files as users meet them: each ends in CheckpointError, soon and in little memory."""

import argparse
import collections
import functools
import os
import pickle
import resource
import time
import zipfile

import numpy as np
import pytest
import torch

from model_core.checkpoints.inspection import read_checkpoint
from model_core.checkpoints.latent_files import read_latents
from model_core.encoders.arcface import IResNetFace
from model_core.errors import CheckpointError
from tests.model_core.checkpoints.foreign.seeded import rosinality_content
from tests.model_core.containers.test_restricted_pickle import BOMBS, Call, calls

SECONDS, KIB = 20, 300_000
MANY = 2_000
MEGABYTE = np.zeros(1 << 18, np.float32)


@pytest.fixture(autouse=True)
def bounded():
    started_s = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - started_s < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KIB


def hooks(mark):
    """Calls where torch keeps what it calls itself: hooks of tensors and of modules."""
    touch = Call(os.system, f"touch {mark}")
    named = collections.OrderedDict({0: os.system})
    rebuilt = Call(torch._utils._rebuild_tensor_v2, None, 0, (1,), (1,), False, named)
    module = torch.nn.Linear(1, 1)
    module.register_forward_hook(os.system)
    partial = functools.partial(os.system, f"touch {mark}")
    return {
        "hook of a tensor": rebuilt,
        "hook of a module": module,
        "hook that is called": argparse.Namespace(_forward_pre_hooks={0: touch}),
        "hook that is bound": argparse.Namespace(_backward_hooks={0: partial}),
    }


def as_zip(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("file/data.pkl", data)


CONTAINERS = {"plain": lambda path, data: path.write_bytes(data), "zip": as_zip}


@pytest.mark.parametrize("read", [read_checkpoint, read_latents])
@pytest.mark.parametrize("container", sorted(CONTAINERS))
@pytest.mark.parametrize("kind", [*sorted(calls("x")), *sorted(hooks("x"))])
def test_files_that_call_are_refused(tmp_path, kind, container, read):
    mark = tmp_path / "was_run"
    data = pickle.dumps({"weights": (calls(mark) | hooks(mark))[kind]})
    CONTAINERS[container](tmp_path / "file.pt", data)
    with pytest.raises(CheckpointError, match=r"file\.pt"):
        read(tmp_path / "file.pt")
    assert not mark.exists()


ENDLESS = {
    "tuple in a tuple": b"\x80\x02)" + b"\x85" * 20_000 + b".",
    "list in a list": b"\x80\x02" + b"](" * 1000 + b"e" * 1000 + b".",
    "list of itself": b"\x80\x02]q\x00h\x00a.",
    "dict of itself": b"\x80\x02}q\x00X\x05\x00\x00\x00g_emah\x00s.",
    "doubling lists": b"\x80\x02]" + b"q\x002\x86" * 30 + b".",
}


@pytest.mark.parametrize("read", [read_checkpoint, read_latents])
@pytest.mark.parametrize("container", sorted(CONTAINERS))
@pytest.mark.parametrize("kind", [*sorted(BOMBS), *sorted(ENDLESS)])
def test_decompression_bombs_are_refused(tmp_path, kind, container, read):
    CONTAINERS[container](tmp_path / "file.pt", (BOMBS | ENDLESS)[kind])
    with pytest.raises(CheckpointError, match=r"file\.pt"):
        read(tmp_path / "file.pt")


def module_of_itself():
    module = {"_parameters": {}, "_buffers": {}, "class_name": "Generator"}
    module["_modules"] = {str(i): module for i in range(50)}
    return {"G_ema": module}


def networks_of_themselves():
    network = {"variables": []}
    network["components"] = {str(i): network for i in range(50)}
    return (
        None,
        None,
        {"variables": [], "components": dict.fromkeys(("mapping", "synthesis"), network)},
    )


def deep_module():
    module = {}
    for _ in range(60):
        module = {"_parameters": {}, "_buffers": {}, "_modules": {"synthesis": module}}
    return {"G_ema": module | {"class_name": "Generator"}}


def one_array_by_many_names():
    return dict.fromkeys((f"g_mapping.dense{i}.weight" for i in range(MANY)), MEGABYTE)


def one_tensor_by_many_names():
    with torch.device("meta"):
        names = IResNetFace((3, 3, 3, 3)).state_dict()
    return dict.fromkeys(names, MEGABYTE)


def size_of_a_name():
    names = ("input.input", "conv1.conv.weight", "noises.noise_9999999999")
    return {"g_ema": dict.fromkeys(names, MEGABYTE[:16].reshape(1, 1, 4, 4))}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (module_of_itself, "parts of a network must differ"),
        (networks_of_themselves, "parts of a network must differ"),
        (deep_module, "names of at most 500 characters"),
        (one_array_by_many_names, "must hold g_mapping.dense0.bias"),
        (one_tensor_by_many_names, "must not grow beyond its file"),
        (size_of_a_name, "must hold"),
    ],
)
def test_contents_that_expand_beyond_their_file_are_refused(tmp_path, make, message):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(make()))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "file.pkl")


def test_codes_that_expand_beyond_their_file_are_refused(tmp_path):
    code = np.zeros((18, 512), np.float32)
    (tmp_path / "codes.pt").write_bytes(pickle.dumps(dict.fromkeys(range(MANY), code)))
    with pytest.raises(CheckpointError, match="must not be larger than their file"):
        read_latents(tmp_path / "codes.pt")


def test_a_network_wider_than_its_file_takes_no_memory(tmp_path):
    content = rosinality_content(8)
    content["g_ema"]["to_rgbs.0.conv.modulation.weight"] = torch.zeros(10_000, 512)
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"must be \(10000, "):
        read_checkpoint(tmp_path / "file.pt")
