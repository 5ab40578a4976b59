"""The reader of tfjs graphs: the real file, and a seeded one with damage."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.errors import CheckpointError
from model_core.weights.cache import weight_path
from model_core.weights.packs import original_file
from model_core.weights.readers.tfjs_graph import read_constants, read_faceres
from model_core.weights.store import load_network
from tests.model_core.judges import need_judge, write_graph


def test_the_real_file_is_what_the_cache_holds(cache: Path) -> None:
    need_judge(cache)
    original_file(cache, "faceres.bin")
    state = read_faceres(original_file(cache, "faceres.json"))
    kept, _ = load_network(weight_path(cache, "faceres"))
    assert state.keys() == kept.keys()
    assert all(torch.equal(state[key], kept[key]) for key in kept)


def test_constants_follow_each_other_in_the_file(tmp_path: Path) -> None:
    found = read_constants(write_graph(tmp_path))
    assert found["conv1/convolution/merged_input"].shape == (3, 3, 3, 32)
    assert found["conv_dw_3_relu/Cast"].item() == 6
    assert (found["axes"].dtype, found["axes"].tolist()) == (torch.int32, [1, 2])


def test_normalisations_are_folded_into_depthwise_kernels(tmp_path: Path) -> None:
    file = write_graph(tmp_path)
    constants, state = read_constants(file), read_faceres(file)
    kernel = constants["conv_dw_2/depthwise_kernel"][1, 2, 5, 0]
    scale = constants["conv_dw_2_bn/batchnorm_1/mul"][5]
    assert state["layers.1.depthwise.weight"][5, 0, 1, 2] == kernel * scale
    assert torch.equal(
        state["layers.1.pointwise.weight"][7, :, 0, 0],
        constants["conv_pw_2/convolution/merged_input"][0, 0, :, 7],
    )


def entries(model: Any) -> dict[str, Any]:
    return {entry["name"]: entry for entry in model["weightsManifest"][0]["weights"]}


def rename(model: Any, blob: bytes) -> bytes:
    entries(model)["conv_pw_3_bn/batchnorm_1/sub"]["name"] = "other"
    return blob


def reshape(model: Any, blob: bytes) -> bytes:
    entries(model)["conv1/convolution/merged_input"]["shape"] = [3, 3, 32, 3]
    return blob


def claim_more(model: Any, blob: bytes) -> bytes:
    entries(model)["conv1/convolution/merged_input"]["shape"] = [1 << 40]
    return blob


def negate(model: Any, blob: bytes) -> bytes:
    entries(model)["conv1/convolution/merged_input"]["shape"] = [-3, -3, 3, 32]
    return blob


def quantise(model: Any, blob: bytes) -> bytes:
    entries(model)["conv1/convolution/merged_input"]["quantization"] = {"dtype": "uint8"}
    return blob


def point_elsewhere(model: Any, blob: bytes) -> bytes:
    model["weightsManifest"][0]["paths"] = ["../faceres.bin"]
    return blob


def clip_elsewhere(model: Any, blob: bytes) -> bytes:
    start = 0
    for name, entry in entries(model).items():
        if name == "conv1_relu/Cast":
            break
        start += 2 * math.prod(entry["shape"])
    return blob[:start] + b"\x00\x3c" + blob[start + 2 :]  # 1 in float16


def drop_manifest(model: Any, blob: bytes) -> bytes:
    del model["weightsManifest"]
    return blob


def null_weights(model: Any, blob: bytes) -> bytes:
    model["weightsManifest"][0]["weights"] = [None]
    return blob


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, "must hold FaceRes's constants: 'conv_pw_3_bn/batchnorm_1/sub'"),
        (reshape, r"stem\.weight of faceres\.json must be \(32, 3, 3, 3\), got \(3, 32, 3, 3\)"),
        (claim_more, r"faceres\.bin must hold \d+ bytes or more, got"),
        (negate, "shape of conv1/convolution/merged_input must be sides above 0"),
        (quantise, "conv1/convolution/merged_input must be of a type in .* got .*uint8"),
        (point_elsewhere, "must be a plain name, got '../faceres.bin'"),
        (clip_elsewhere, "conv1 must clip to 0 and 6, got another Cast"),
        (drop_manifest, "must be a tfjs graph model, got KeyError"),
        (null_weights, "must be a tfjs graph model"),
        (lambda _, blob: blob[:-1], r"faceres\.bin must hold \d+ bytes or more"),
        (lambda _, blob: blob + b"!", r"faceres\.bin must hold \d+ bytes, got"),
        (lambda _, blob: b"\x00\x7e" + blob[2:], r"stem\.weight .* must be finite, got NaN"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Any, message: str) -> None:
    file = write_graph(tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        read_faceres(file)


def test_a_missing_or_invalid_json_file_is_refused(tmp_path: Path) -> None:
    file = write_graph(tmp_path)
    file.with_name("faceres.bin").unlink()
    with pytest.raises(CheckpointError, match=r"faceres\.bin must be a readable file"):
        read_faceres(file)
    file.write_text("{")
    with pytest.raises(CheckpointError, match=r"faceres\.json must be a tfjs graph model"):
        read_faceres(file)
