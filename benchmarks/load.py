"""Generate load on a service: a closed loop of clients, or an open loop of random arrivals."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import httpx2 as httpx
import numpy as np

TIMEOUT_S = 120.0

Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@dataclass
class Tally:
    """The results of a load.

    Attributes:
        latencies_s: Latencies of successful (2xx) requests.
        rejected: Number of 429 answers.
        failed: Number of other outcomes, by status or connection error.
        took_s: Seconds from the first request to the last answer.
    """

    latencies_s: list[float] = field(default_factory=list)
    rejected: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.latencies_s + other.latencies_s,
            self.rejected + other.rejected,
            self.failed + other.failed,
            self.took_s + other.took_s,
        )

    @property
    def per_s(self) -> float:
        """Successful answers per second."""
        return len(self.latencies_s) / self.took_s

    def row(self) -> dict[str, object]:
        """Summarise the load; percentiles cover successful answers, None without any."""
        found = np.percentile(self.latencies_s, (50, 95, 99)) if self.latencies_s else [None] * 3
        names = ("p50 ms", "p95 ms", "p99 ms")
        cells = {
            k: None if v is None else 1000 * float(v) for k, v in zip(names, found, strict=True)
        }
        failed = ", ".join(f"{count} of {what}" for what, count in self.failed.items())
        return {
            "answered": len(self.latencies_s),
            "429": self.rejected,
            "failed": failed or 0,
            "per s": self.per_s,
            **cells,
        }


def until(ask: Ask, seconds: float) -> Iterator[Ask]:
    """Repeat a request for some time, counted from the first one."""
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        yield ask


def closed_loop(url: str, asks: Iterator[Ask], clients: int) -> Tally:
    """Run clients that each send the next request as soon as the last one is answered."""

    async def client(http: httpx.AsyncClient, tally: Tally) -> None:
        for ask in asks:
            await _send(http, ask, tally, time.perf_counter())

    async def run(http: httpx.AsyncClient, tally: Tally) -> None:
        await asyncio.gather(*(client(http, tally) for _ in range(clients)))

    return _measure(url, run)


def open_loop(url: str, ask: Ask, rate: float, seconds: float, seed: int = 0) -> Tally:
    """Send requests at random times, regardless of unanswered ones.

    Latency counts from the drawn time, not from when the client got round to sending.

    Args:
        url: URL of the service.
        ask: The request.
        rate: Mean number of requests per second.
        seconds: Duration of the load.
        seed: Seed of the uniformly drawn times.
    """
    moments = (
        np.random.default_rng(seed).uniform(0, seconds, max(1, round(rate * seconds))).tolist()
    )

    async def later(http: httpx.AsyncClient, tally: Tally, due_s: float) -> None:
        await asyncio.sleep(due_s - time.perf_counter())
        await _send(http, ask, tally, due_s)

    async def run(http: httpx.AsyncClient, tally: Tally) -> None:
        started_s = time.perf_counter()
        await asyncio.gather(*(later(http, tally, started_s + moment) for moment in moments))

    return _measure(url, run)


def _measure(url: str, run: Callable[[httpx.AsyncClient, Tally], Awaitable[None]]) -> Tally:
    async def timed() -> Tally:
        tally = Tally()
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=TIMEOUT_S) as http:
            started_s = time.perf_counter()
            await run(http, tally)
            tally.took_s = time.perf_counter() - started_s
        return tally

    return asyncio.run(timed())


async def _send(http: httpx.AsyncClient, ask: Ask, tally: Tally, since_s: float) -> None:
    try:
        answer = await ask(http)
    except httpx.TransportError as err:
        tally.failed[type(err).__name__] += 1
        return
    if answer.is_success:
        tally.latencies_s.append(time.perf_counter() - since_s)
    elif answer.status_code == 429:
        tally.rejected += 1
    else:
        tally.failed[str(answer.status_code)] += 1
