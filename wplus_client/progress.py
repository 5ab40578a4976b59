"""Show the progress of a job, and recognise its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from wplus_client.errors import ServiceError

TERMINAL = ("succeeded", "failed", "cancelled")
Status = dict[str, Any]


class Progress:
    """A progress bar over a job's steps, or a film's frames.

    Args:
        bar: The bar to draw on.
    """

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar = bar

    def show(self, status: Status) -> bool:
        """Draw a status; return whether the job has ended.

        Raises:
            ServiceError: If the job has failed.
        """
        step = status["progress"]
        if status.get("kind") == "film":
            self._bar.total, self._bar.n = step["total"], step["done"]
        else:
            self._bar.total, self._bar.n = step["steps"], step["step"]
        shown = ("phase", "lpips", "psnr")
        figures = {name: step[name] for name in shown if step.get(name) is not None}
        self._bar.set_postfix(state=status["state"], **figures)
        if status["state"] == "failed":
            raise ServiceError(status["error"]["type"], status["error"]["detail"], 200)
        return status["state"] in TERMINAL


@contextmanager
def progress_bar(shown: bool, desc: str = "refine", unit: str = "step") -> Iterator[Progress]:
    """Open a progress bar, which draws nothing unless `shown`."""
    with tqdm(disable=not shown, unit=unit, desc=desc) as bar:
        yield Progress(bar)


def timed_out(timeout_s: float, status: Status) -> TimeoutError:
    """Return the error for a job that has not ended in time."""
    return TimeoutError(f"job must end within {timeout_s:g} s, got {status['state']}")
