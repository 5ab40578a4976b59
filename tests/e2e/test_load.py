"""The real service, guarded by keys, under more than it can do, and stopped in the midst of it."""

import asyncio
import hashlib
import io
import json
import re
import signal
import socket
import threading
import time

import httpx2 as httpx
import numpy as np
import pytest
import skimage.data

from service.wplus_client import Client, ServiceError
from tests.e2e.running import ASTRONAUT, Service, jpeg

KEYS = {"ann": "ann-Zx81-Qw27-Lk55", "bob": "bob-Rt64-Pp09-Vb33"}
CROWD, QUEUE, BATCH = 200, 16, 2
ROUNDS, LEAVERS = 3, 12
GROWTH_BYTES = 60_000_000
FACE = jpeg(skimage.data.astronaut()[0:256, 96:352])
QUICK = {"align": "none", "no_store": "true"}
BEARER = {"Authorization": f"Bearer {KEYS['ann']}"}


@pytest.fixture(scope="module")
def service(cache, tmp_path_factory):
    keys = tmp_path_factory.mktemp("secrets") / "keys"
    rows = (f"{name} {hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
    keys.write_text("\n".join(rows))
    running = Service(
        cache,
        api_keys=keys,
        log_format="json",
        metrics_port=0,
        queue_size=QUEUE,
        max_batch=BATCH,
        max_inflight=2 * CROWD,
        deadline_s=120,
    )
    try:
        running.wait_for(lambda: running.url)
        running.wait_for(lambda: httpx.get(f"{running.url}/readyz", timeout=60).is_success)
        yield running
    finally:
        running.stop()


def metrics(service):
    """Read the metrics from their own port."""
    url = re.search(r"metrics on (http://[\d.:]+/metrics)", service.log)[1]
    return httpx.get(url, timeout=60).text


def sample(service, pattern):
    found = re.search(rf"^{pattern} (\S+)$", metrics(service), re.MULTILINE)
    return float(found[1]) if found else 0.0


def embedded_photos(service):
    return sample(service, r'wplus_batch_size_sum{stage="encode"}')


def cancelled(service):
    return sample(service, r'wplus_inference_requests_total{op="embed",outcome="cancelled"}')


async def crowd(url):
    """Send 200 photos at once, answer what each of them got."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=BEARER, limits=limits, timeout=180) as http:
        headers = {"Accept": "application/x-npy"}
        calls = (
            http.post("/embed", files={"image": FACE}, data=QUICK, headers=headers)
            for _ in range(CROWD)
        )
        return await asyncio.gather(*calls)


def test_each_of_a_crowd_gets_one_answer_and_memory_stays(service):
    resident = []
    for _ in range(ROUNDS):
        before = embedded_photos(service)
        answers = asyncio.run(crowd(service.url))
        statuses = [answer.status_code for answer in answers]
        assert len(statuses) == CROWD
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= QUEUE
        assert embedded_photos(service) - before == statuses.count(200)
        for answer in answers:
            if answer.status_code == 429:
                assert answer.json()["code"] == "overloaded"
                assert int(answer.headers["retry-after"]) >= 1
        resident.append(sample(service, "process_resident_memory_bytes"))
    assert resident[-1] - resident[0] < GROWTH_BYTES
    assert sample(service, r'wplus_batch_queue_depth{stage="encode"}') == 0


def test_the_work_of_clients_that_left_never_reaches_the_device(service):
    host, port = re.search(r"//([\d.]+):(\d+)", service.url).groups()
    query = "&".join(f"{name}={value}" for name, value in QUICK.items())
    head = (
        f"POST /embed?{query} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        f"Authorization: Bearer {KEYS['ann']}\r\nContent-Length: {len(FACE)}\r\n\r\n"
    ).encode()
    gone = cancelled(service)
    with Client(service.url, KEYS["ann"], timeout_s=300) as client:
        faces = client.embed(ASTRONAUT), client.embed(ASTRONAUT)
        before = embedded_photos(service)
        sources = [{"latent_id": face.latent_id} for face in faces]
        request = {"json": {"sources": sources, "steps": 24}}
        film = threading.Thread(target=client.send, args=("POST", "/morph"), kwargs=request)
        film.start()
        waiting = r'wplus_inflight{op="morph"}'
        service.wait_for(lambda: sample(service, waiting) == 1)
        for _ in range(LEAVERS):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(head + FACE)
        service.wait_for(lambda: cancelled(service) - gone >= LEAVERS - BATCH)
        film.join()
    # A batch may have begun in the moment between the last byte and the news that its sender left.
    assert embedded_photos(service) - before <= BATCH


def test_keys_are_asked_for_and_latents_are_their_owners(service):
    with Client(service.url, KEYS["ann"]) as ann, Client(service.url, KEYS["bob"]) as bob:
        face = ann.embed(ASTRONAUT)
        assert ann.colorize(face, face).code.shape == (18, 512)
        with pytest.raises(ServiceError) as unknown:
            bob.morph(face, face)
        assert (unknown.value.status, unknown.value.code) == (404, "unknown-latent")
    with Client(service.url) as stranger, pytest.raises(ServiceError) as refusal:
        stranger.embed(ASTRONAUT)
    assert (refusal.value.status, refusal.value.code) == (401, "unauthorized")
    assert httpx.get(f"{service.url}/metrics", headers=BEARER).status_code == 404


def test_a_job_is_begun_and_waited_for(service, capsys):
    with Client(service.url, KEYS["ann"], timeout_s=300) as ann:
        face = ann.embed(ASTRONAUT)
        better = ann.refine(ASTRONAUT, steps=4, start=face).wait(progress=True, timeout_s=500)
    steps = [point["step"] for point in better.details["curve"]]
    assert steps == sorted(steps)
    assert better.details["job"]["state"] == "succeeded"
    assert better.code.shape == face.code.shape
    assert np.abs(better.code - face.code).max() > 0
    assert "refine" in capsys.readouterr().err


def test_sigterm_answers_whom_it_has_let_in_and_nobody_else(service):
    """Comes last but one: it ends the service."""
    outcomes, told = [], threading.Event()

    def call_on():
        with httpx.Client(base_url=service.url, headers=BEARER, timeout=180) as http:
            while not told.is_set():
                image = {"image": ("a.jpg", io.BytesIO(ASTRONAUT))}
                outcomes.append(http.post("/embed", files=image, data={"no_store": "true"}))

    callers = [threading.Thread(target=call_on) for _ in range(6)]
    for caller in callers:
        caller.start()
    inside = r'wplus_inflight{op="embed"}'
    service.wait_for(lambda: len(outcomes) >= 6 and sample(service, inside) == 6)
    told.set()
    service.process.send_signal(signal.SIGTERM)
    refusals = []
    while len(refusals) < 3 and any(caller.is_alive() for caller in callers):
        try:
            refusals.append(httpx.get(f"{service.url}/readyz", timeout=60))
        except httpx.TransportError:
            break
        time.sleep(0.05)
    for caller in callers:
        caller.join()
    assert service.process.wait(60) == 0
    late = [outcome for outcome in outcomes if not outcome.is_success]
    assert len(outcomes) - len(late) >= 10
    assert all(outcome.json()["code"] == "draining" for outcome in late)
    assert refusals[-1].status_code == 503
    assert refusals[-1].json()["code"] == "draining"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{service.url}/livez")


def test_the_log_is_json_and_holds_no_secret(service):
    """Comes last: it reads the log of a service that has ended."""
    service.stop()
    # torch's own warnings, in the worker's start, are not ours to shape.
    records = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    assert not [record for record in records if record["level"] == "error"]
    assert {"service", "uvicorn.access"} <= {record["logger"] for record in records}
    asked = [record for record in records if record["logger"] == "uvicorn.access"]
    assert all(re.fullmatch("[0-9a-f]{16}", record["request_id"]) for record in asked)
    for secret in KEYS.values():
        assert secret not in service.log


def test_beyond_this_machine_keys_are_asked_for(cache):
    exposed = Service(cache, host="0.0.0.0")  # noqa: S104 - it is to refuse
    exposed.process.wait(120)
    assert exposed.stop() == 1
    assert "WPLUS_HOST must be a loopback address where no keys are asked for" in exposed.log
    assert "Traceback" not in exposed.log


def test_a_key_file_that_cannot_be_read_ends_the_start(cache, tmp_path):
    service = Service(cache, api_keys=tmp_path / "nothing")
    service.process.wait(300)
    assert service.stop() == 1
    assert "must be readable text: FileNotFoundError" in service.log
    assert "Traceback" not in service.log
