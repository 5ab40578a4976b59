"""Networks on disk: the bytes, the sidecar, and what damage leads to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model_core.errors import CheckpointError, InvalidInputError
from model_core.weights.files import file_digest
from model_core.weights.store import load_network, save_network

FIXED_SHA256 = "ad977ee5194be4bb97ebc6e6b250dbc8a7159adf77274082340e0a438bc7f163"


def a_network() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator)
    return {
        "weight": weight,
        "view": weight.t()[1:4],
        "half": weight.half(),
        "brain": weight.bfloat16(),
        "double": weight.double(),
        "steps": torch.tensor(7),
        "mask": weight > 0,
        "bytes": torch.arange(3, dtype=torch.uint8),
        "none": torch.zeros(0, 3),
    }


def test_saved_networks_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    written = save_network(path, a_network(), {"name": "net", "config": {"widths": (1, 2)}})
    for verify in (False, True):
        state_dict, sidecar = load_network(path, verify=verify)
        assert sidecar == written
        assert state_dict.keys() == a_network().keys()
        for name, tensor in a_network().items():
            assert state_dict[name].dtype == tensor.dtype
            assert torch.equal(state_dict[name], tensor)
    assert written == {
        "name": "net",
        "config": {"widths": [1, 2]},
        "file": "net.safetensors",
        "sha256": file_digest(path),
        "size_bytes": path.stat().st_size,
        "tensors": 9,
    }


def test_the_library_reads_the_file(tmp_path: Path) -> None:
    save_network(tmp_path / "net.safetensors", a_network(), {})
    loaded = load_file(tmp_path / "net.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in a_network().items())


def test_the_bytes_depend_only_on_the_tensors(tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_network(one, a_network(), {"name": "one"})
    save_network(two, dict(reversed(a_network().items())), {"name": "two"})
    assert one.read_bytes() == two.read_bytes()
    # A change of the writer would break every pinned digest: this one stands for them all.
    fixed = save_network(one, {"b": torch.arange(3.0), "a": torch.tensor([1, 2])}, {})
    assert fixed["sha256"] == FIXED_SHA256


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of maps")
def test_loading_maps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(path, {"weight": torch.zeros(1000, 1000)}, {})
    state_dict, _ = load_network(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    assert state_dict["weight"].sum() == 0


def test_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(path, a_network(), {})
    for each in (path, path.with_suffix(".json")):
        assert each.stat().st_mode & 0o777 == 0o644


def test_the_path_must_end_in_safetensors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"must end in \.safetensors, got net\.pt"):
        save_network(tmp_path / "net.pt", a_network(), {})


def test_an_unsupported_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"z must be of a type .* got torch\.complex64"):
        save_network(tmp_path / "net.safetensors", {"z": torch.zeros(1) * 1j}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_digest_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    before = save_network(path, a_network(), {"name": "before"})
    with pytest.raises(CheckpointError, match=f"must get SHA-256 {'0' * 64}, got "):
        save_network(path, {"weight": torch.zeros(1)}, {"name": "after"}, pinned_sha256="0" * 64)
    assert load_network(path, verify=True)[1] == before
    assert len(list(tmp_path.iterdir())) == 2
    save_network(path, a_network(), {}, pinned_sha256=before["sha256"])


def test_a_failure_while_writing_leaves_the_old_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    before = save_network(path, a_network(), {"name": "before"})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_network(path, {"weight": torch.zeros(1)}, {"name": "after"})
    assert load_network(path, verify=True)[1] == before
    assert len(list(tmp_path.iterdir())) == 2


KILLS = """
import json, os, pathlib, sys, torch
from model_core.weights.store import load_network, save_network
from model_core.errors import CheckpointError

path, fsync, found = pathlib.Path(sys.argv[1]), os.fsync, []

def die_at(left):
    def dying(handle):
        nonlocal left
        left -= 1
        os.kill(os.getpid(), 9) if left == 0 else fsync(handle)
    os.fsync = dying

for point in range(1, 100):
    save_network(path, {"weight": torch.zeros(3)}, {"name": "before"})
    if (child := os.fork()) == 0:
        die_at(point)
        save_network(path, {"weight": torch.ones(3)}, {"name": "after"})
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
    try:
        state_dict, sidecar = load_network(path, verify=True)
        found.append(f"{sidecar['name']} {state_dict['weight'][0]:.0f}")
    except CheckpointError as err:
        found.append("no sidecar" if "must have a sidecar" in str(err) else str(err))
print(json.dumps(found))
"""


def test_a_kill_at_any_point_leaves_the_old_the_new_or_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLS, str(tmp_path / "net.safetensors")]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert found == sorted(found, key=["before 0", "no sidecar", "after 1"].index)
    assert set(found) == {"before 0", "no sidecar", "after 1"}


def test_a_missing_network_says_where_networks_come_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must be a file.*model_core\.checkpoints pull"):
        load_network(tmp_path / "net.safetensors")


def test_a_network_without_a_sidecar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(path, a_network(), {})
    path.with_suffix(".json").write_text("{")
    with pytest.raises(CheckpointError, match="must be a JSON object"):
        load_network(path)
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(CheckpointError, match="must be a JSON object, got list"):
        load_network(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=r"must have a sidecar net\.json, got none"):
        load_network(path)


def test_a_truncated_network_is_refused_without_hashing(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(path, a_network(), {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"must have \d+ bytes as its sidecar says"):
        load_network(path)


def test_verify_finds_a_changed_bit(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(path, a_network(), {})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    load_network(path)
    with pytest.raises(CheckpointError, match=r"must have SHA-256 .* as its sidecar says, got"):
        load_network(path, verify=True)


def test_another_format_raises_our_error(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    sidecar = save_network(path, a_network(), {})
    path.write_bytes(b"\xff" * sidecar["size_bytes"])
    with pytest.raises(CheckpointError, match="must be a safetensors file"):
        load_network(path)
