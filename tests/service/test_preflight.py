"""A start that must fail: at once, in a sentence, before anything heavy is imported."""

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from model_core.errors import WplusError
from model_core.weights.cache import DEFAULT_GENERATOR, weight_path
from service.__main__ import check
from service.preflight import StartError, check_device, listen
from service.settings import Settings
from tests.disks import on_small_disk

# -X importtime writes a line for each module that is imported.
COMMAND = [sys.executable, "-X", "importtime", "-m", "service"]


@contextmanager
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.fixture
def weights(tmp_path):
    """A cache with all files and nothing in them: they are hashed when they are loaded."""
    (tmp_path / "weights").mkdir()
    for name in (DEFAULT_GENERATOR, "st-lpips-alex", "shape_predictor_68_face_landmarks"):
        weight_path(tmp_path, name).touch()
    return tmp_path


def run(command=COMMAND, **settings):
    variables = {f"WPLUS_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=300
    )


def assert_refused(ended, pattern):
    lines = ended.stderr.splitlines()
    said = [line for line in lines if not line.startswith("import time:")]
    assert ended.returncode == 1, said
    assert len(said) == 1
    assert re.fullmatch(pattern, said[0])
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "pydantic" in imported
    assert not {"torch", "numpy", "fastapi", "service.app"} & imported


def test_a_taken_port_ends_the_start_before_anything_is_imported_or_made(tmp_path):
    with taken_port() as port:
        ended = run(port=port, cache=tmp_path)
    assert_refused(
        ended, rf"wplus: port {port} is taken: try make serve PORT=(\d+) \(or WPLUS_PORT=\1\)"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value", "pattern"),
    [
        ("device", "banana", "WPLUS_DEVICE: must be cpu, cuda or cuda:N, got banana"),
        (
            "cache",
            "/proc/x",
            "WPLUS_CACHE must be a folder with the weights, got none at /proc/x: .*",
        ),
        ("directions", "/nope", "WPLUS_DIRECTIONS must be a folder, got none at /nope"),
        ("api_keys", "/nope", "key file /nope must be text, got FileNotFoundError"),
        (
            "host",
            "192.0.2.1",
            "WPLUS_HOST must be a loopback address while no keys are required, got 192.0.2.1: .*",
        ),
    ],
)
def test_an_invalid_setting_ends_the_start(variable, value, pattern):
    assert_refused(run(**{"port": 0, variable: value}), f"wplus: {pattern}")


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ({"network": "/nope"}, "WPLUS_NETWORK must be a file, got none at /nope"),
        ({"polish_head": "/nope"}, "WPLUS_POLISH_HEAD must be a file"),
        ({"refine_head": "/nope"}, "WPLUS_REFINE_HEAD must be a file"),
        ({"generator": "mine"}, "name must be .* got 'mine'"),
        ({"host": "192.0.2.1", "insecure": True}, "WPLUS_HOST must be an address of this machine"),
        ({"host": "x.invalid", "insecure": True}, "WPLUS_HOST must be an address of this machine"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_files_named_in_settings_are_checked(weights, settings, pattern):
    with pytest.raises(WplusError, match=pattern):
        check(Settings(**{"cache": weights, "port": 0} | settings))


def test_a_missing_weights_error_says_what_to_do(weights):
    path = weight_path(weights, DEFAULT_GENERATOR)
    path.unlink()
    with pytest.raises(WplusError, match=rf"{path} must be a file, got none; `.* pull` fetches it"):
        check(Settings(cache=weights, port=0))


def test_the_port_of_metrics_is_another(weights):
    with taken_port() as port, pytest.raises(StartError, match="WPLUS_METRICS_PORT must be free"):
        check(Settings(cache=weights, port=0, metrics_port=port))


def test_a_full_disk_ends_the_start(weights):
    variables = {"WPLUS_CACHE": str(weights), "WPLUS_PORT": "0"}
    ended = on_small_disk(
        COMMAND, weights, 3, env=os.environ | variables, capture_output=True, timeout=300
    )
    assert_refused(ended, r"wplus: the disk of .* must have 64 MB free, got 3 MB: make room.*")


def test_the_bound_port_is_exclusive_on_every_address(weights):
    sockets = check(Settings(cache=weights, port=0, host="localhost"))
    try:
        (port,) = {each.getsockname()[1] for each in sockets}
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        with pytest.raises(StartError, match=f"port {port} is taken"):
            listen("localhost", port)
    finally:
        for each in sockets:
            each.close()


def test_a_gpu_that_torch_cannot_use_is_refused():
    check_device("cpu")
    with pytest.raises(StartError, match=r"WPLUS_DEVICE must be a device .*, got cuda:99: .*WPLUS"):
        check_device("cuda:99")
