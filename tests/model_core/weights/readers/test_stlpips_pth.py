"""The reader of ST-LPIPS checkpoints: the real file, and the same with damage."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_core.errors import CheckpointError
from model_core.weights.packs import original_file
from model_core.weights.readers.stlpips_pth import read_stlpips
from model_core.weights.store import load_network


@pytest.fixture(scope="module")
def original(cache: Path) -> dict[str, Tensor]:
    path = original_file(cache, "alex_shift_tolerant.pth")
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def read(tmp_path: Path, content: object) -> dict[str, Tensor]:
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    return read_stlpips(path)


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_real_files_are_what_the_cache_holds(cache: Path, trunk: str) -> None:
    state_dict = read_stlpips(original_file(cache, f"{trunk}_shift_tolerant.pth"))
    kept, _ = load_network(cache / "weights" / f"st-lpips-{trunk}.safetensors")
    assert state_dict.keys() == kept.keys()
    assert all(torch.equal(state_dict[key], kept[key]) for key in kept)


def test_convolutions_keep_their_order_and_weights_get_square_roots(
    tmp_path: Path, original: dict[str, Tensor]
) -> None:
    state_dict = read(tmp_path, original)
    assert torch.equal(state_dict["stages.1.2.weight"], original["net.slice2.5.weight"])
    squares = state_dict["scales.2"].square()
    torch.testing.assert_close(squares, original["lin2.model.1.weight"].flatten())


def test_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold net\.slice1\.0\.weight, .* got None"):
        read(tmp_path, {"fc.weight": torch.zeros(2, 2)})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("net.slice1.0.weight", torch.zeros(64, 3, 5, 5), r"11 or 3 pixels, got \(64, 3, 5, 5\)"),
        ("net.slice1.0.weight", torch.zeros(3), r"11 or 3 pixels, got \(3,\)"),
        ("net.slice6.0.weight", torch.zeros(1), "must hold 10 trunk tensors, got 11"),
        ("net.slice4.11.bias", torch.zeros(3), r"stages\.3\.0\.bias .* must be \(256,\), got \(3,"),
        ("net.slice4.11.bias", torch.full((256,), torch.nan), "must be finite"),
        ("lin4.model.1.weight", -torch.ones(1, 256, 1, 1), "lin4 .* must be weights >= 0"),
        ("lin4.model.1.weight", torch.ones(1, 255, 1, 1), r"scales\.4 .* must be \(256,\)"),
    ],
)
def test_wrong_tensors_are_named(
    tmp_path: Path, original: dict[str, Tensor], key: str, value: Tensor, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, {**original, key: value})


def test_missing_calibration_is_named(tmp_path: Path, original: dict[str, Tensor]) -> None:
    del (content := dict(original))["lin3.model.1.weight"]
    with pytest.raises(CheckpointError, match=r"lin3 of checkpoint\.pth"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(1)],
        {"net.slice1.0.weight": "text"},
        {1: torch.zeros(1)},
        {"net.slice1.0.weight": torch.zeros(1, dtype=torch.int64)},
    ],
)
def test_other_containers_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointError, match="must hold a dict of tensors"):
        read(tmp_path, content)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tensors must be dense, got a sparse tensor"):
        read(tmp_path, {"net.slice1.0.weight": torch.zeros(1).to_sparse()})


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must be a file of tensors"):
        read(tmp_path, {"net.slice1.0.weight": Path("anything")})


@pytest.mark.parametrize(
    "data",
    [b"", b"no checkpoint", b"PK\x03\x04 no archive", b"\x80\x02.", b"\x80\x02h\xee."],
)
def test_damaged_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "damaged.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"damaged\.pth must be a file of tensors"):
        read_stlpips(path)


def test_truncated_files_are_refused(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cut.pth"
    data = original_file(cache, "alex_shift_tolerant.pth").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.pth must be a file of tensors"):
        read_stlpips(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth must be a file of tensors"):
        read_stlpips(tmp_path / "none.pth")


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.pth"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: takes no room
    with pytest.raises(CheckpointError, match=r"size of huge\.pth must be at most"):
        read_stlpips(path)
