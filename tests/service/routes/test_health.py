"""Probes, metrics and version."""

import threading

from model_core.errors import CheckpointError
from tests.service.fakes import FakeAligner, FakePredictor, Held, in_background, wait_until


def assert_down(client):
    for answer in (
        client.get("/livez"),
        client.get("/readyz"),
        client.post("/generate", json={"seed": 1}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "engine-down")


def test_probes_and_version_report_readiness(client):
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    version = client.get("/version").json()
    assert version["ready"]
    assert version["backend"] == "eager"
    assert version["fingerprint"] == "f" * 64
    assert version["weights"] == {"fake.safetensors": "a" * 64}
    assert (version["code_shape"], version["image_px"]) == ([18, 512], 64)
    assert version["identity_judge"] == "faceres"
    text = client.get("/metrics").text
    for line in (
        'wplus_ready{component="engine"} 1.0',
        'wplus_ready{component="aligner"} 1.0',
        "wplus_engine_up 1.0",
        'wplus_batch_queue_depth{stage="encode"} 0.0',
        "wplus_batch_queue_limit 64.0",
        'wplus_model_info{backend="eager",device="cpu",dtype="float32",model="fake.safetensors",sha256="',
        f'wplus_build_info{{version="{version["version"]}"}} 1.0',
    ):
        assert line in text


def test_alive_but_not_ready_while_loading(serve):
    go = threading.Event()

    class Slow(FakeAligner):
        def __init__(self):
            go.wait(10)

    with serve(aligner=Slow, wait=False, retry_after_s=3) as client:
        wait_until(lambda: client.runtime.engine.ready)
        assert client.get("/livez").status_code == 200
        for answer in (client.get("/readyz"), client.post("/embed", content=b"x")):
            assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
            assert answer.headers["retry-after"] == "3"
        assert client.get("/version").json()["ready"] is False
        assert 'wplus_ready{component="aligner"} 0.0' in client.get("/metrics").text
        go.set()
        wait_until(lambda: client.runtime.ready)
        assert client.get("/readyz").status_code == 200


def test_a_failure_to_load_fails_the_liveness_probe(serve, caplog):
    class Broken(FakePredictor):
        def embed(self, faces):
            raise CheckpointError("network must fit")

    with serve(Broken(), wait=False) as client:
        wait_until(lambda: not client.runtime.engine.alive)
        assert_down(client)
        assert "wplus_engine_up 0.0" in client.get("/metrics").text
        assert client.get("/version").json()["ready"] is False
    assert "cannot start: network must fit" in caplog.text


def test_a_dead_engine_fails_both_probes(client):
    client.portal.call(client.runtime.engine.batchers[0].close)
    assert_down(client)


def test_a_hung_engine_fails_both_probes_until_it_answers(serve):
    predictor = Held()
    with serve(predictor, stall_s=1) as client:
        predictor.hold = True
        thread, answers = in_background(lambda: client.post("/generate", json={"seed": 1}))
        wait_until(lambda: client.runtime.engine.busy_s > 1)
        assert_down(client)
        predictor.go.set()
        thread.join()
        assert answers[0].status_code == 200
        assert client.get("/readyz").status_code == 200


def test_draining_closes_the_gate_but_not_the_liveness_probe(client):
    client.runtime.gate.drain()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert client.post("/generate", json={"seed": 1}).json()["code"] == "draining"
    assert client.get("/livez").status_code == 200
