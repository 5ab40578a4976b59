"""What `make` does with the environment."""

import os
import subprocess
from pathlib import Path

import pytest

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
def test_serve_listens_where_it_is_told(given, address):
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


def test_a_host_on_the_command_line_comes_first():
    said = subprocess.run(
        ["make", "--dry-run", "serve", "HOST=::1"],
        cwd=ROOT,
        env=os.environ | {"HOST": "my-machine", "WPLUS_HOST": "127.0.0.2"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "WPLUS_HOST=::1 " in said
