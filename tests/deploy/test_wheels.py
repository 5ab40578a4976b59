"""What the two distributions hold, built from a copy of the source."""

import json
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("model_core", "service", "wplus", "wplus_client", "weights")
FILES = ("pyproject.toml", "README.md", "LICENSE")
CLIENT_NEEDS = {"httpx2", "numpy", "tqdm"}


def build(source, tmp):
    """Build a wheel by the packages that are installed, so without a registry."""
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    command = [sys.executable, "-m", "pip", "wheel", *flags, f"--wheel-dir={tmp}", source]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = Path(tmp).glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the source: building leaves files in its folder."""
    copy = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    with build(source, tmp_path_factory.mktemp("wheel")) as opened:
        yield opened


@pytest.fixture(scope="module")
def client_wheel(source, tmp_path_factory):
    with build(source / "wplus_client", tmp_path_factory.mktemp("client")) as opened:
        yield opened


def metadata(wheel, name):
    (found,) = (each for each in wheel.namelist() if each.endswith(f".dist-info/{name}"))
    return wheel.read(found).decode()


def test_the_wheel_holds_the_shipped_weights(wheel):
    shipped = sorted((ROOT / "weights").rglob("*.safetensors"))
    assert {"embedding.safetensors", "smile.safetensors"} <= {path.name for path in shipped}
    for path in shipped:
        inside = f"model_core/shipped/{path.relative_to(ROOT / 'weights')}"
        sidecar = json.loads(wheel.read(inside.replace(".safetensors", ".json")))
        assert sha256(wheel.read(inside)).hexdigest() == sidecar["sha256"]
    assert "Licences" in wheel.read("model_core/shipped/README.md").decode()


def test_the_wheel_holds_every_file_that_the_code_reads(wheel):
    read = [
        path.relative_to(ROOT)
        for package in ("model_core", "service", "wplus")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert any(path.suffix == ".lua" for path in read)
    assert {str(path) for path in read} <= set(wheel.namelist())


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "model_core",
        "service",
        "wplus",
    }


def test_the_wheel_has_the_command_and_its_licences(wheel):
    assert metadata(wheel, "entry_points.txt") == (
        "[console_scripts]\nwplus = wplus.__main__:main\n"
    )
    about = metadata(wheel, "METADATA")
    assert "License-Expression: Apache-2.0 AND LicenseRef-Weights-Research-Only" in about
    assert "License-File: weights/README.md" in about


def test_the_wheel_of_the_client_is_small_and_holds_the_client(client_wheel):
    modules = {f"wplus_client/{path.name}" for path in (ROOT / "wplus_client").glob("*.py")}
    held = {name for name in client_wheel.namelist() if ".dist-info/" not in name}
    assert held == modules | {"wplus_client/py.typed"}
    needed = [
        line.removeprefix("Requires-Dist: ").partition(">")[0]
        for line in metadata(client_wheel, "METADATA").splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    ]
    assert set(needed) == CLIENT_NEEDS


def test_the_wheel_works_without_the_source(wheel, tmp_path):
    """Unpacked elsewhere, it finds its weights and describes its commands."""
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import model_core\n"
        "from model_core.weights.shipped import DIRECTIONS, EMBEDDING_NETWORK, image_head\n"
        "files = (EMBEDDING_NETWORK, image_head(128), image_head(256), DIRECTIONS)\n"
        "assert all(file.exists() for file in files)\n"
        "print(model_core.__file__, *files, sep='\\n')"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert len(said) == 5
    assert all(Path(line).is_relative_to(tmp_path) for line in said)
