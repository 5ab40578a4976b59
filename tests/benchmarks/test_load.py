"""The load that benchmarks put on a service, and how its answers are counted."""

import asyncio
import socket
import threading
import time
from itertools import cycle, islice, repeat

import pytest
import uvicorn
from load import Tally, closed_loop, open_loop, until


class Server:
    """Answers one request after another, by the statuses given in turns."""

    def __init__(self, statuses=(200,), takes_s=0.0):
        self.statuses, self.takes_s = cycle(statuses), takes_s
        self.served = self.inside = self.most_inside = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(self.answer, lifespan="off", log_config=None, interface="asgi3")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self):
        self.turn = asyncio.Lock()
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.should_exit = True
        self.thread.join()

    async def answer(self, scope, receive, send):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        async with self.turn:
            await asyncio.sleep(self.takes_s)
            status = next(self.statuses)
        self.served += 1
        self.inside -= 1
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(http):
    return await http.get("/")


def test_every_answer_is_counted_as_what_it_is():
    with Server(statuses=(200, 429, 200, 503)) as server:
        tally = closed_loop(server.url, repeat(ask, 20), clients=3)
    assert (len(tally.latencies_s), tally.rejected, tally.failed) == (10, 5, {"503": 5})
    assert tally.row()["failed"] == "5 of 503"
    assert tally.per_s == pytest.approx(10 / tally.took_s)


def test_clients_of_a_closed_loop_wait_for_their_answers():
    with Server(takes_s=0.02) as server:
        tally = closed_loop(server.url, until(ask, 0.3), clients=4)
        assert len(tally.latencies_s) == server.served
    assert server.most_inside == 4
    assert tally.took_s > 0.3


def test_open_loop_requests_do_not_wait_for_answers():
    with Server(takes_s=0.03) as server:
        tally = open_loop(server.url, ask, rate=100, seconds=0.2)
    assert len(tally.latencies_s) == server.served == 20
    assert server.most_inside > 8
    assert max(tally.latencies_s) > 20 * 0.03 - 0.2


def test_latency_counts_from_the_scheduled_time():
    async def slow(http):
        time.sleep(0.05)
        return await ask(http)

    with Server() as server:
        tally = open_loop(server.url, slow, rate=100, seconds=0.1)
    assert max(tally.latencies_s) > 10 * 0.05 - 0.1


def test_a_broken_connection_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    tally = closed_loop(url, islice(repeat(ask), 2), clients=1)
    assert tally.failed == {"ConnectError": 2}
    assert tally.row()["p95 ms"] is None


def test_loads_add_up():
    one, other = Tally([0.1, 0.3], rejected=1, took_s=2.0), Tally([0.2], rejected=2, took_s=1.0)
    row = (one + other).row()
    assert (row["answered"], row["429"], row["per s"]) == (3, 3, 1.0)
    assert row["p50 ms"] == pytest.approx(200)
