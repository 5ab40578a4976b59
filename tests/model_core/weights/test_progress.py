"""What a person sees of a transfer."""

import sys

import pytest

from model_core.weights.progress import ConsoleProgress, Progress, megabytes


def transfer(progress: Progress) -> None:
    progress.say("now")
    with progress.transfer("wheel", 2_000_000) as advance:
        for done_bytes in (0, 400_000, 1_100_000, 1_200_000, 0, 2_000_000, 2_100_000):
            advance(done_bytes)


def test_a_library_call_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    transfer(Progress())
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_per_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    transfer(ConsoleProgress())
    assert capsys.readouterr() == ("", "now\nwheel: 50 %\nwheel: 100 %\n")


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    transfer(ConsoleProgress())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\rwheel:" in captured.err
    assert "2.00M/2.00M" in captured.err


def test_sizes_read_well() -> None:
    assert megabytes(37_588_926) == "37.6 MB"
