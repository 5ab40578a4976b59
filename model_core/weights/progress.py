"""Report what a pull is doing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Progress:
    """Where a pull reports to; this one is silent."""

    def say(self, text: str) -> None:
        """Report one event."""

    @contextmanager
    def transfer(self, label: str, total_bytes: int) -> Iterator[Callable[[int], object]]:
        """Report a transfer: the block calls what it gets with the number of bytes so far."""
        del label, total_bytes
        yield _ignore


class ConsoleProgress(Progress):
    """Report on standard error: a bar on a terminal, plain lines anywhere else."""

    def say(self, text: str) -> None:
        """Print one line."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def transfer(self, label: str, total_bytes: int) -> Iterator[Callable[[int], object]]:
        """Draw a bar, or print a line per quarter."""
        if sys.stderr.isatty():
            with tqdm(desc=label, total=total_bytes, unit="B", unit_scale=True) as bar:
                yield lambda done_bytes: bar.update(max(0, min(done_bytes, total_bytes) - bar.n))
        else:
            yield _Quarters(label, total_bytes, self.say)


class _Quarters:
    """Reports each quarter of a transfer once."""

    def __init__(self, label: str, total_bytes: int, say: Callable[[str], None]):
        self._label, self._total_bytes, self._say = label, total_bytes, say
        self._said = 0

    def __call__(self, done_bytes: int) -> None:
        quarter = min(4, 4 * done_bytes // self._total_bytes)
        if quarter > self._said:
            self._said = quarter
            self._say(f"{self._label}: {25 * quarter} %")


def _ignore(done_bytes: int) -> None:
    del done_bytes


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it: 37.6 MB."""
    return f"{size_bytes / 1e6:.1f} MB"
