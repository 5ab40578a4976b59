"""What `make` does with the environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disks import on_small_disk

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, ("127.0.0.1", "8000")),
        ({"WPLUS_HOST": "::1", "WPLUS_PORT": "8123"}, ("::1", "8123")),
        ({"WPLUS_PORT": "8123", "PORT": "9000"}, ("127.0.0.1", "9000")),
        ({"HOST": "my-machine"}, ("127.0.0.1", "8000")),
    ],
    ids=["neither", "settings", "short form first", "a shell's own HOST"],
)
def test_serve_listens_on_the_configured_address(given, address):
    ours = ("HOST", "PORT", "WPLUS_HOST", "WPLUS_PORT", "MAKEFLAGS", "MAKEOVERRIDES")
    rest = {name: value for name, value in os.environ.items() if name not in ours}
    said = subprocess.run(
        ["make", "--dry-run", "serve"],
        cwd=ROOT,
        env=rest | given,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    host, port = address
    assert f"WPLUS_HOST={host} WPLUS_PORT={port} " in said


def test_a_disk_too_small_for_the_packages_is_reported_before_download(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    ours = ("MAKEFLAGS", "MAKEOVERRIDES", "PYTHON")
    rest = {name: value for name, value in os.environ.items() if name not in ours}
    ended = on_small_disk(
        ["make", f"PYTHON={sys.executable}", "-C", tmp_path, "setup"],
        tmp_path,
        100,
        env=rest,
        capture_output=True,
    )
    assert ended.returncode != 0
    assert "The packages need 5.5 GB on this disk, got 0.1 GB: make room" in ended.stderr
    assert "Installing" not in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_host_on_the_command_line_takes_precedence():
    said = subprocess.run(
        ["make", "--dry-run", "serve", "HOST=::1"],
        cwd=ROOT,
        env=os.environ | {"HOST": "my-machine", "WPLUS_HOST": "127.0.0.2"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "WPLUS_HOST=::1 " in said
