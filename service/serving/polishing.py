"""Polish codes within time budgets, in slices between which others get the device."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from model_core.inversion.polisher import Polished, Polishing
from model_core.predictor import Predictor
from model_core.shapes import Face, Ws
from service.serving.batcher import Answer, Batcher

POLISH_SLICE_S = 0.25
"""How long polishing keeps the device while other work waits: 4 to 6 steps on a CPU."""


@dataclass(eq=False, slots=True)
class PolishWork:
    """A polishing request in progress.

    Attributes:
        face: What the code should render.
        code: The code it starts from.
        end_s: When its budget ends, on `time.monotonic`'s scale.
        polished: The result so far.
        over: Whether no further step fits.
        begun: Whether the device has started the current slice.
        abandoned: Whether its request has ended.
        session: Runs the steps; None until it has had the device.
    """

    face: Face
    code: Ws
    end_s: float
    polished: Polished
    over: bool = False
    begun: bool = False
    abandoned: bool = False
    session: Polishing | None = None


def run_slice(predictor: Predictor, work: PolishWork, others_wait: Callable[[], bool]) -> None:
    """Continue polishing until it is over, or the slice is used up and others wait."""
    work.begun = True
    until_s = time.monotonic() + POLISH_SLICE_S

    def pause() -> bool:
        return work.abandoned or (others_wait() and time.monotonic() >= until_s)

    if work.session is None:
        work.session = predictor.polishing(work.face[None], work.code[None])
    work.over = work.session.go_on(work.end_s, pause)
    work.polished = work.session.result


async def polish(
    slices: Batcher[PolishWork, None],
    face: Face,
    code: Ws,
    budget_s: float,
    deadline_s: float | None = None,
) -> Answer[Polished]:
    """Improve a code's match to its face within a time budget.

    The budget includes the time while others use the device. After a slice of `POLISH_SLICE_S`
    the device goes to whatever is waiting, so that several budgets at once take no longer than the
    longest, and other work waits for one slice at most. At most half of the time until the
    deadline is used: the other half is for what follows.

    Args:
        slices: Runs slices on the device.
        face: What the code should render.
        code: The code to start from.
        budget_s: Seconds.
        deadline_s: When the request must have ended, on the event loop's clock.

    Returns:
        The result; the code unchanged if it never got the device.
    """
    now_s = time.monotonic()
    if deadline_s is not None:
        left_s = deadline_s - asyncio.get_running_loop().time()
        budget_s = min(budget_s, left_s / 2)
    work = PolishWork(face, code, now_s + budget_s, Polished(code[None], 0))
    ran_s = 0.0
    try:
        while not work.over:
            slice_s = await _next_slice(slices, work, deadline_s)
            if slice_s is None:
                break
            ran_s += slice_s
    finally:
        work.abandoned = True
    ended_s = time.monotonic()
    return Answer(work.polished, ended_s - now_s - ran_s, ran_s, 1, ended_s)


async def _next_slice(
    slices: Batcher[PolishWork, None], work: PolishWork, deadline_s: float | None
) -> float | None:
    """Return the seconds that the next slice ran; None if the budget ended in the queue."""
    work.begun = False
    waiting = asyncio.ensure_future(slices.submit(work, deadline_s))
    try:
        await asyncio.wait({waiting}, timeout=max(work.end_s - time.monotonic(), 0.0))
        if not waiting.done() and not work.begun:
            return None
        return (await waiting).ran_s
    finally:
        waiting.cancel()
