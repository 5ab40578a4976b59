"""Codes on the wire: every form there and back, and every rule that one can break."""

import base64
import io
import json
import struct

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from model_core.errors import ModelMismatchError
from model_core.latents.latent import Latent
from service.errors import InvalidCodeError
from service.wire.codes import GeneratorId, read_code, write_code, write_npy, write_safetensors

GENERATOR = GeneratorId("fake", "f" * 64, (18, 512))


@pytest.fixture
def ws():
    return torch.randn(18, 512, generator=torch.Generator().manual_seed(0))


def npy(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def test_every_form_round_trips(ws):
    forms = [
        write_code(ws, GENERATOR),
        write_code(ws, GENERATOR, "numbers"),
        json.dumps(write_code(ws, GENERATOR, "numbers")),
        ws.tolist(),
        {"data": ws.tolist()},
        {"data": base64.b64encode(ws.numpy().tobytes()).decode()},
        write_npy(ws),
        write_safetensors(Latent(ws), GENERATOR),
    ]
    for form in forms:
        read = read_code(form, GENERATOR)
        assert read.dtype == torch.float32
        assert torch.equal(read, ws)


def test_the_json_form_describes_its_contents(ws):
    code = write_code(ws, GENERATOR)
    assert {key: code[key] for key in code if key != "data"} == {
        "generator": "fake",
        "fingerprint": "f" * 64,
        "shape": [18, 512],
        "dtype": "float32",
        "encoding": "base64",
    }
    assert len(base64.b64decode(code["data"])) == 18 * 512 * 4


def test_safetensors_names_its_generator(ws, tmp_path):
    path = tmp_path / "code.safetensors"
    path.write_bytes(write_safetensors(Latent(ws), GENERATOR))
    with safetensors.safe_open(path, "np") as stored:
        assert stored.metadata()["fingerprint"] == "f" * 64
        assert stored.get_tensor("ws").shape == (18, 512)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_other_floats_are_read(ws, dtype):
    read = read_code(npy(ws.numpy().astype(dtype)), GENERATOR)
    assert torch.allclose(read, ws, atol=2e-3)


def test_other_tools_layouts_are_read(ws):
    array = ws.numpy()
    assert torch.equal(read_code(npy(array[None]), GENERATOR), ws)
    assert torch.equal(read_code(npy(np.asfortranarray(array)), GENERATOR), ws)
    renamed = safetensors.numpy.save({"w_plus": array})
    assert torch.equal(read_code(renamed, GENERATOR), ws)


def test_another_generators_code_is_refused(ws):
    other = GeneratorId("other", "0" * 64, (18, 512))
    for form in (write_code(ws, other), write_safetensors(Latent(ws), other)):
        with pytest.raises(ModelMismatchError, match=r"belong to fake \(ffffffffffff\)"):
            read_code(form, GENERATOR)


def bad_header():
    data = npy(np.zeros((18, 512), np.float32))
    return data.replace(b"(18, 512)", b"(18, 51[ ")


def lying_header():
    data = npy(np.zeros((18, 512), np.float32))
    return data.replace(b"(18, 512), }   ", b"(99999, 99999),}")


def without(key):
    ws = np.zeros((18, 512), np.float32)
    ws[3, 4] = key
    return npy(ws)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (npy(np.zeros((18, 511), np.float32)), r"shape \[18, 512\], got \[18, 511\]"),
        (npy(np.zeros(512, np.float32)), r"shape \[18, 512\], got \[512\]"),
        (npy(np.zeros((2, 18, 512), np.float32)), r"got \[2, 18, 512\]"),
        (npy(np.float32(1)), r"got \[\]"),
        (npy(np.zeros((0, 512), np.float32)), "shape must be positive"),
        (without(np.nan), "finite"),
        (without(np.inf), "finite"),
        (without(-100.5), r"\|w\| <= 100, got 100.5"),
        (npy(np.full((18, 512), 1e300)), r"\|w\| <= 100"),
        (npy(np.zeros((18, 512), np.int64)), "float16, float32 or float64, got int64"),
        (npy(np.array([{}], object), allow_pickle=True), "got object"),
        (bad_header(), "valid header"),
        (lying_header(), r"fill shape \[99999, 99999\]"),
        (npy(np.zeros((18, 512), np.float32))[:-1], "got 36863 bytes"),
        (b"\x93NUMPY\x09\x00" + b"\0" * 50, "valid header"),
        (b"\x93NUMPY", "valid header"),
        (b"nonsense", ".npy or safetensors, got another file"),
        (struct.pack("<Q", 2**60) + b"{}", "safetensors must be whole"),
        (safetensors.numpy.save({"ws": np.zeros((18, 512), np.float32)})[:-4], "safetensors"),
        (
            safetensors.numpy.save({"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}),
            "`ws` or one tensor, got 2",
        ),
        (safetensors.numpy.save({"ws": np.zeros((18, 512), np.int32)}), "floats, got int32"),
        (safetensors.numpy.save({}), "`ws` or one tensor, got 0"),
        ([[0.0] * 512] * 17, r"got \[17, 512\]"),
        ([[0.0] * 512, [0.0]], "rows of numbers of equal length"),
        ([["x"]], "rows of numbers"),
        ([], r"got \[0\]"),
        ({"data": "!!!"}, "base64"),
        ({"data": "AAAA"}, "fill shape"),
        ({"data": 3}, "numbers or base64, got int"),
        ({}, "numbers or base64, got NoneType"),
        ({"data": "AAAA", "dtype": "int8"}, "dtype must be one of"),
        ({"data": "AAAA", "dtype": [1]}, r"dtype must be one of .*, got \[1\]"),
        ({"data": "AAAA", "shape": 5}, "shape must be a list of numbers, got int"),
        ({"data": "AAAA", "shape": [2**19] * 100_000}, "at most 3 axes, got 100000"),
        ({"data": "AAAA", "fingerprint": [1]}, "fingerprint must be text, got list"),
        ({"data": "AAAA", "shape": ["x"]}, "shape must be positive"),
        ({"data": "AAAA", "shape": [-1, 512]}, "shape must be positive"),
        ("{nonsense", "JSON"),
        ("[" * 100_000, "JSON|rows"),
        (3, "numbers or an object, got int"),
        ("3", "numbers or an object, got int"),
    ],
)
def test_invalid_codes_are_refused(value, message):
    with pytest.raises(InvalidCodeError, match=message):
        read_code(value, GENERATOR)
