"""The reader of dlib's network file: the real file, and the same with damage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.encoders.identity import DlibResNet29
from model_core.errors import CheckpointError
from model_core.weights.packs import original_file
from model_core.weights.readers.dlib_dat import read_dlib_resnet
from model_core.weights.store import load_network

EMPTY_TENSOR = b"\x01\x02" + 4 * b"\x01\x00"


@pytest.fixture(scope="module")
def original(cache: Path) -> bytes:
    return original_file(cache, "dlib_face_recognition_resnet_model_v1.dat").read_bytes()


def read(tmp_path: Path, data: bytes) -> dict[str, Tensor]:
    path = tmp_path / "network.dat"
    path.write_bytes(data)
    return read_dlib_resnet(path)


def test_real_file_fits_the_network(tmp_path: Path, original: bytes) -> None:
    state_dict = read(tmp_path, original)
    DlibResNet29().load_state_dict(state_dict)
    assert all(value.dtype == torch.float32 for value in state_dict.values())


def test_real_file_is_what_the_cache_holds(tmp_path: Path, original: bytes, cache: Path) -> None:
    state_dict = read(tmp_path, original)
    kept, _ = load_network(cache / "weights" / "dlib-resnet29.safetensors")
    assert state_dict.keys() == kept.keys()
    assert all(torch.equal(state_dict[key], kept[key]) for key in kept)


def first_values(original: bytes, kind: bytes) -> int:
    """Offset of the first number of the first layer of a kind, behind its dimensions n, 1, 1, 1."""
    return original.index(b"\x01\x01\x01\x01\x01\x01", original.index(kind)) + 6


def test_affine_layers_are_folded(tmp_path: Path, original: bytes) -> None:
    count = 32 * 3 * 7 * 7
    filters = np.frombuffer(original, "<f4", count + 32, first_values(original, b"con_4"))
    affine = np.frombuffer(original, "<f4", 64, first_values(original, b"affine_"))
    gamma, beta = affine.reshape(2, 32)
    state_dict = read(tmp_path, original)
    weight = filters[:count].reshape(32, 3, 7, 7) * gamma[:, None, None, None]
    np.testing.assert_allclose(state_dict["stem.weight"].numpy(), weight, rtol=1e-6)
    bias = filters[count:] * gamma + beta
    np.testing.assert_allclose(state_dict["stem.bias"].numpy(), bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keep", [0, 1, 3, 20, 200, 300, 345, 400, 19_500, -1])
def test_truncated_files_are_refused(tmp_path: Path, original: bytes, keep: int) -> None:
    with pytest.raises(CheckpointError, match=r"network\.dat must be (at least|within the file)"):
        read(tmp_path, original[:keep])


def test_data_after_the_last_layer_is_refused(tmp_path: Path, original: bytes) -> None:
    with pytest.raises(CheckpointError, match="bytes behind the last layer"):
        read(tmp_path, original + b"\x00")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"loss_metric_2", b"loss_metric_3", "loss layer"),
        (b"input_rgb_image_sized", b"input_rgb_image_pyram", "input layer"),
        (b"\x03b\x90\xf5\x81\x11", b"\x03b\x90\xf4\x81\x11", "mean pixel"),
        (b"\x03b\x90\xf5\x81\x11", b"\x03b\x90\xf5\x02\xff\x7f", "exponent"),
        (b"\x03b\x90\xf5\x81\x11", b"\x08" + 8 * b"\xff" + b"\x02\xe8\x03", "finite"),
        (b"\x11\x01\x96\x01\x96", b"\x11\x01\x96\x01\x97", "input size"),
        (b"\x01\x05con_4", b"\x01\x05con_9", "layer in network.dat must be one of a ResNet-29"),
        (b"\x01\x05con_4", b"\x02\xff\xffcon_4", "name before byte"),
        (b"\x01\x05con_4", b"\x81\x05con_4", "name before byte"),
        (b"\x01\x05con_4", b"\x00\x05con_4", "integer at byte"),
        (b"\x01\x05con_4", b"\x09" + 9 * b"\xff" + b"con_4", "integer at byte"),
        (b"con_4\x01\x02", b"con_4\x01\x03", "version of the tensor"),
        (b"con_4\x01\x02\x02\x80\x12", b"con_4\x01\x02\x82\x80\x12", "tensor before byte"),
        (
            b"con_4\x01\x02\x02\x80\x12",
            b"con_4\x01\x02\x08" + 8 * b"\xff",
            "tensor before byte .* must be within the file",
        ),
        (b"con_4\x01\x02\x02\x80\x12\x01\x01", b"con_4\x01\x02\x02\x80\x12\x01\x7f", "length"),
    ],
)
def test_first_wrong_field_is_named(
    tmp_path: Path, original: bytes, before: bytes, after: bytes, message: str
) -> None:
    assert before in original[:400]
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, original[:20_000].replace(before, after, 1))


def test_endless_nesting_is_refused(tmp_path: Path, original: bytes) -> None:
    nested = original.index(b"\x01\x02\x01\x02")
    with pytest.raises(CheckpointError, match="number of layers"):
        read(tmp_path, original[:nested] + 2000 * b"\x01\x02" + original[nested:])


def test_non_finite_weights_are_refused(tmp_path: Path, original: bytes) -> None:
    start = first_values(original, b"con_4")
    damaged = original[:start] + np.float32("nan").tobytes() + original[start + 4 :]
    with pytest.raises(CheckpointError, match="must be finite, got NaN or infinity"):
        read(tmp_path, damaged)


def test_other_sequences_of_layers_are_refused(tmp_path: Path, original: bytes) -> None:
    start, end = original.index(b"\x01\x07affine_"), original.index(b"\x01\x05relu_")
    # The layer is turned into one without weights; what counts its layers must notice.
    flags = original[end - 3 - 3 * len(EMPTY_TENSOR) : end]
    with pytest.raises(CheckpointError, match=r"29 pairs .* got 29, 28 and 1"):
        read(tmp_path, original[:start] + b"\x01\x05relu_" + flags + original[end:])


def test_other_widths_are_refused(tmp_path: Path, original: bytes) -> None:
    start = first_values(original, b"affine_")
    shorter = original[: start - 8] + b"\x01\x3f" + original[start - 6 : start]
    with pytest.raises(CheckpointError, match=r"affine of stem of network\.dat must be 64 numbers"):
        read(tmp_path, shorter + original[start + 4 :])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.dat must be a readable file"):
        read_dlib_resnet(tmp_path / "none.dat")


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.dat"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: takes no room
    with pytest.raises(CheckpointError, match=r"size of huge\.dat must be at most"):
        read_dlib_resnet(path)
