"""The real service, guarded by keys, under more than it can do."""

import asyncio
import re
import socket
import threading

import httpx2 as httpx
import numpy as np
import pytest
import skimage.data

from tests.e2e.conftest import BATCH, BEARER, CROWD, KEYS, QUEUE
from tests.e2e.running import ASTRONAUT, jpeg, patience
from wplus_client import Client, ServiceError

ROUNDS, LEAVERS = 3, 12
GROWTH_BYTES = 60_000_000
FACE = jpeg(skimage.data.astronaut()[0:256, 96:352])
QUICK = {"align": "none", "no_store": "true"}


def metrics(service):
    """Read the metrics from their own port."""
    return httpx.get(service.metrics_url, timeout=patience(60)).text


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
    async with httpx.AsyncClient(base_url=url, headers=BEARER, limits=limits, timeout=None) as http:
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


def test_work_of_disconnected_clients_never_reaches_the_device(service):
    host, port = re.search(r"//([\d.]+):(\d+)", service.url).groups()
    query = "&".join(f"{name}={value}" for name, value in QUICK.items())
    head = (
        f"POST /embed?{query} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        f"Authorization: Bearer {KEYS['ann']}\r\nContent-Length: {len(FACE)}\r\n\r\n"
    ).encode()
    gone = cancelled(service)
    with Client(service.url, KEYS["ann"], timeout_s=patience(120)) as client:
        faces = client.embed(ASTRONAUT), client.embed(ASTRONAUT)
        before = embedded_photos(service)
        sources = [{"latent_id": face.latent_id} for face in faces]
        request = {"json": {"sources": sources, "steps": 12}}
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


def test_keys_are_required_and_latents_belong_to_their_owner(service):
    wait_s = patience(120)
    with (
        Client(service.url, KEYS["ann"], timeout_s=wait_s) as ann,
        Client(service.url, KEYS["bob"], timeout_s=wait_s) as bob,
    ):
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
    with Client(service.url, KEYS["ann"], timeout_s=patience(120)) as ann:
        face = ann.embed(ASTRONAUT)
        better = ann.refine(ASTRONAUT, steps=4, start=face).wait(
            progress=True, timeout_s=patience(300)
        )
    steps = [point["step"] for point in better.details["curve"]]
    assert steps == sorted(steps)
    assert better.details["job"]["state"] == "succeeded"
    assert better.details["detail"]
    assert np.array_equal(better.code, face.code)  # the detail alone is refined
    losses = [point["loss"] for point in better.details["curve"]]
    assert min(losses) < losses[0]
    assert "refine" in capsys.readouterr().err
