"""The endpoints of jobs, on a real Valkey and a real worker of the tiny generator."""

import base64
import hashlib
import io
import json
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from model_core.inversion.detail_iterator import DetailRender
from model_core.inversion.iterator import IteratorConfig
from model_core.inversion.refiner import Refiner
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.detail import DetailEncoding
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from service.jobs.lease import Leases
from service.jobs.sse import Streams
from service.jobs.worker.held import Intervals
from service.jobs.worker.loop import Worker
from service.jobs.worker.metrics import WorkerTelemetry
from tests.model_core.judges import seeded_judge
from tests.model_core.tiny import FINGERPRINT, black_head, tiny_refiner
from tests.service import photos
from tests.service.fakes import Held, in_background, wait_until
from tests.service.jobs.conftest import wait_for

JPEG = photos.plain((102, 102, 102))
CODE = [[0.25] * 512] * 18


@pytest.fixture
def client(serve, valkey):
    """A ready application on fakes, whose jobs are in a Valkey."""
    with serve(redis_url=valkey.url, job_queue_size=3, shared_device="cpu0") as ready:
        yield ready


@contextmanager
def working(valkey, step_s=0.0, head=None, refiner=None):
    """Let a worker work while the block runs; its metrics are given."""
    stop, telemetry = threading.Event(), WorkerTelemetry()
    leases = Leases(valkey.connect(), 30, "cpu0")
    refiner = refiner or tiny_refiner(step_s, head)
    worker = Worker(leases, refiner, Intervals(0.05, 0.1), telemetry, stop.is_set)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield telemetry
    finally:
        stop.set()
        thread.join()


def refine(client, headers=None, **fields):
    return client.post("/refine", files={"image": ("a.jpg", JPEG)}, data=fields, headers=headers)


def finished(client, job_id):
    """Wait for the end of a job, answer it."""

    def look():
        job = client.get(f"/jobs/{job_id}").json()
        return job if job["state"] in ("succeeded", "failed", "cancelled") else None

    return wait_for(look)


def refusal(answer, status, code):
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    return answer.json()["detail"]


def test_a_job_is_accepted_and_can_be_polled(client):
    answer = refine(client, steps="7")
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{job['id']}" == job["urls"]["self"]
    assert int(answer.headers["retry-after"]) >= 1
    assert (job["state"], job["start"], job["position"]) == ("queued", "embedding", 0)
    assert (job["progress"]["step"], job["progress"]["steps"]) == (0, 7)
    again = client.get(job["urls"]["self"])
    assert (again.status_code, again.json()) == (200, job)
    assert int(again.headers["retry-after"]) >= 1
    same = client.get(job["urls"]["self"], headers={"If-None-Match": again.headers["etag"]})
    assert same.status_code == 304
    assert [row["id"] for row in client.get("/jobs").json()["jobs"]] == [job["id"]]


def test_a_finished_job_has_a_code_an_image_and_a_curve(client, valkey):
    job_id = refine(client, steps="9").json()["id"]
    with working(valkey) as telemetry:
        job = finished(client, job_id)
    assert (job["state"], job["ended_by"], job["lpips_net"]) == ("succeeded", "steps", "edges")
    assert (job["progress"]["step"], job["progress"]["eta_s"]) == (9, None)
    assert "retry-after" not in client.get(f"/jobs/{job_id}").headers
    result = client.get(f"/jobs/{job_id}/result").json()
    assert [point["step"] for point in result["curve"]] == list(range(10))
    assert result["curve"][9]["loss"] < result["curve"][0]["loss"]
    assert result["image"]["width"] == 64
    assert result["job"]["id"] == job_id
    rendered = client.post("/generate", json={"latent_id": result["latent_id"]})
    assert rendered.json()["code"]["data"] == result["code"]["data"]
    file = client.get(f"/jobs/{job_id}/result", headers={"Accept": "image/png"})
    with Image.open(io.BytesIO(file.content)) as image:
        assert image.format == "PNG"
        assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
    npy = client.get(f"/jobs/{job_id}/result", headers={"Accept": "application/x-npy"})
    assert np.load(io.BytesIO(npy.content)).shape == (18, 512)
    text = telemetry.registry.get_sample_value
    assert text("wplus_jobs_finished_total", {"state": "succeeded"}) == 1
    assert text("wplus_job_steps_total") == 10
    assert text("wplus_job_run_seconds_count") == text("wplus_job_wait_seconds_count") == 1


def test_a_job_refines_the_detail_after_the_code(client, valkey):
    job_id = refine(client, steps="9").json()["id"]
    assert client.get(f"/jobs/{job_id}").json()["progress"]["phase"] is None
    with working(valkey, refiner=tiny_refiner(detail=True, size_px=256)):
        job = finished(client, job_id)
    assert (job["progress"]["step"], job["progress"]["phase"]) == (9, "detail")
    result = client.get(f"/jobs/{job_id}/result").json()
    assert [point["step"] for point in result["curve"]] == list(range(10))
    assert result["curve"][9]["loss"] < result["curve"][5]["loss"]
    assert result["detail"]
    assert not client.get(f"/jobs/{job_id}/result?detail=false").json()["detail"]


def test_a_job_begins_its_detail_anew_where_the_encoder_is_another(client, valkey, caplog):
    caplog.set_level("INFO", "service.jobs.worker")
    job_id = refine(client, steps="40").json()["id"]

    def progress():
        return client.get(f"/jobs/{job_id}").json()["progress"]

    with working(valkey, refiner=tiny_refiner(0.05, detail=True, size_px=256)):
        wait_for(lambda: progress()["step"] > 22)
    assert progress()["step"] < 40
    other = tiny_refiner(detail=True, size_px=256, detail_fingerprint="e" * 64)
    with working(valkey, refiner=other):
        job = finished(client, job_id)
    assert "resuming at step 20" in caplog.messages
    assert (job["progress"]["step"], job["progress"]["phase"]) == (40, "detail")
    curve = client.get(f"/jobs/{job_id}/result").json()["curve"]
    assert [point["step"] for point in curve] == list(range(41))


def test_without_detail_a_job_refines_the_code_alone(client, valkey):
    plain = refine(client, steps="9").json()["id"]
    with working(valkey, refiner=tiny_refiner(size_px=256)):
        finished(client, plain)
    with_none = client.get(f"/jobs/{plain}/result").json()
    asked = refine(client, steps="9", detail="false").json()["id"]
    with working(valkey, refiner=tiny_refiner(detail=True, size_px=256)):
        assert finished(client, asked)["progress"]["phase"] == "code"
    without = client.get(f"/jobs/{asked}/result").json()
    assert without["code"]["data"] == with_none["code"]["data"]
    assert without["curve"] == with_none["curve"]
    assert not without["detail"]


def test_events_report_every_change_and_can_be_resumed(client, valkey):
    job_id = refine(client, steps="5").json()["id"]
    with working(valkey):
        job = finished(client, job_id)
    answer = client.get(f"/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    rows = [dict(line.split(": ", 1) for line in block.splitlines())
            for block in answer.text.strip().split("\n\n")[1:]]  # fmt: skip
    states = [json.loads(row["data"])["state"] for row in rows]
    assert (states[0], states[1], states[-1]) == ("queued", "running", "succeeded")
    assert [row["event"] for row in rows] == ["progress"] * (len(rows) - 1) + ["end"]
    last = json.loads(rows[-1]["data"])["progress"]
    assert last == job["progress"]
    assert (last["step"], last["phase"]) == (5, "code")
    rest = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": rows[1]["id"]})
    assert [line[4:] for line in rest.text.splitlines() if line.startswith("id: ")] == [
        row["id"] for row in rows[2:]
    ]
    none = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": rows[-1]["id"]})
    assert (none.status_code, none.content) == (204, b"")
    later = f"{int(rows[-1]['id'].split('-')[0]) + 5}-0"
    for foreign in (later, "99999999999999999999-0", "nonsense"):
        again = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": foreign})
        assert again.text == answer.text
    head = client.head(f"/jobs/{job_id}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == answer.headers["content-type"]


def test_the_head_of_a_stream_that_goes_on_is_answered(client):
    job_id = refine(client).json()["id"]
    thread, answers = in_background(lambda: client.head(f"/jobs/{job_id}/events"))
    thread.join(20)
    assert not thread.is_alive()
    assert answers[0].status_code == 200


def test_one_of_two_callers_for_the_last_slot_is_refused_immediately(client):
    job_id = refine(client).json()["id"]
    streams = client.runtime.jobs.streams = Streams(1)
    calls = [in_background(lambda: client.get(f"/jobs/{job_id}/events")) for _ in range(3)]
    wait_until(lambda: sum(bool(answers) for _, answers in calls) == 2)
    for answer in (answers[0] for _, answers in calls if answers):
        refusal(answer, 429, "overloaded")
    client.delete(f"/jobs/{job_id}")
    for thread, _ in calls:
        thread.join(20)
    assert sum(answers[0].status_code == 200 for _, answers in calls) == 1
    with streams.enter():  # the place is free again
        assert client.get(f"/jobs/{job_id}/events").status_code == 429


def test_renderings_of_jobs_count_towards_the_rate_limit(serve, valkey):
    with serve(redis_url=valkey.url, rate_limit="3/minute") as client:
        path = f"/jobs/{refine(client).json()['id']}"
        assert [client.get(f"{path}/preview").status_code for _ in range(2)] == [200, 200]
        for name in ("preview", "result"):
            refusal(client.get(f"{path}/{name}"), 429, "rate-limited")
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("known", "status"),
    [("{}", 304), ("W/{}", 304), ('"other", W/{}', 304), ("*", 304), ('"other"', 200), ("", 200)],
)
def test_an_etag_matches_in_every_form_that_gateways_produce(client, known, status):
    path = f"/jobs/{refine(client).json()['id']}"
    tag = client.get(path).headers["etag"]
    for method in ("GET", "HEAD"):
        answer = client.request(method, path, headers={"If-None-Match": known.format(tag)})
        assert answer.status_code == status
    client.delete(path)
    gone = client.get(path).headers["etag"]
    assert client.delete(path, headers={"If-None-Match": gone}).status_code == 200


def test_listing_jobs_validates_its_options(client):
    assert "did you mean limit?" in refusal(client.get("/jobs?limt=1"), 422, "invalid-request")
    assert "got 1 and 2" in refusal(client.get("/jobs?limit=1&limit=2"), 422, "invalid-request")
    assert client.get("/jobs?limit=").json()["jobs"] == []


def test_a_preview_shows_the_start_then_the_best(client, valkey):
    job_id = refine(client, steps="2000").json()["id"]
    before = client.get(f"/jobs/{job_id}/preview", headers={"Accept": "image/png"})
    assert before.headers["content-type"] == "image/png"
    refusal(client.get(f"/jobs/{job_id}/result"), 409, "no-result")
    with working(valkey, step_s=0.01):
        wait_for(lambda: client.get(f"/jobs/{job_id}").json()["progress"]["step"] > 20)
        after = client.get(f"/jobs/{job_id}/preview", headers={"Accept": "image/png"})
        assert after.content != before.content
        cancelled = client.delete(f"/jobs/{job_id}")
        assert cancelled.json()["state"] in ("cancelling", "cancelled")
        job = finished(client, job_id)
    assert job["state"] == "cancelled"
    curve = client.get(f"/jobs/{job_id}/result").json()["curve"]
    assert 20 < len(curve) < 2001


@pytest.mark.parametrize(("asked", "shown"), [("true", True), ("false", False)])
def test_a_preview_has_the_detail_from_the_start(client, valkey, asked, shown):
    job_id = refine(client, steps="2000", detail=asked).json()["id"]

    def corner():
        answer = client.get(f"/jobs/{job_id}/preview", headers={"Accept": "image/png"})
        return Image.open(io.BytesIO(answer.content)).getpixel((0, 0))

    is_white = (255, 255, 255).__eq__
    assert is_white(corner()) == shown
    with working(valkey, step_s=0.01, refiner=tiny_refiner(0.01, detail=True, size_px=256)):
        for step in (1, 30):  # on the code, and on the detail
            wait_for(
                lambda step=step: client.get(f"/jobs/{job_id}").json()["progress"]["step"] > step
            )
            assert is_white(corner()) == shown
        client.delete(f"/jobs/{job_id}")
        finished(client, job_id)


def test_rendering_a_job_needs_admission_but_a_lookup_does_not(serve, valkey):
    predictor = Held()
    with serve(predictor, redis_url=valkey.url, max_inflight=1, deadline_s=2) as client:
        path = f"/jobs/{refine(client).json()['id']}"
        predictor.hold = True
        thread, late = in_background(lambda: client.get(f"{path}/preview"))
        wait_until(lambda: client.runtime.gate.inflight == 1)
        for name in ("preview", "result"):
            refusal(client.get(f"{path}/{name}"), 429, "overloaded")
        assert client.get(path).status_code == 200
        thread.join()
        refusal(late[0], 504, "deadline")
        predictor.go.set()
        client.runtime.gate.drain()
        refusal(client.get(f"{path}/preview"), 503, "draining")


def test_a_job_that_never_began_has_nothing_to_show(client):
    job_id = refine(client).json()["id"]
    assert client.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    refusal(client.get(f"/jobs/{job_id}/result"), 409, "no-result")
    refusal(client.get(f"/jobs/{job_id}/preview"), 409, "no-result")
    assert client.delete(f"/jobs/{job_id}").status_code == 200


def test_a_budget_and_a_target_end_a_job_early(client, valkey):
    budget = refine(client, steps="5000", time_budget_s="2").json()["id"]
    target = refine(client, steps="5000", target_lpips="1000").json()["id"]
    with working(valkey, step_s=0.005):
        ended = [finished(client, job_id) for job_id in (budget, target)]
    assert [job["ended_by"] for job in ended] == ["time_budget", "target_lpips"]
    assert [job["state"] for job in ended] == ["succeeded"] * 2
    assert 0 < ended[0]["progress"]["step"] < 5000
    assert ended[1]["progress"]["step"] == 0


def test_a_target_is_not_reached_by_image_head_steps(client, valkey):
    job_id = refine(client, steps="6", target_lpips="1000").json()["id"]
    with working(valkey, head=black_head()):
        job = finished(client, job_id)
    assert (job["ended_by"], job["progress"]["step"]) == ("target_lpips", 3)
    curve = client.get(f"/jobs/{job_id}/result").json()["curve"]
    assert [point["step"] for point in curve] == [0, 1, 2, 3]
    assert curve[0]["lpips"] == curve[1]["lpips"] != curve[3]["lpips"]


def test_a_code_can_be_the_start(client, valkey):
    answer = client.post(
        "/refine",
        files={"image": JPEG, "code": (None, json.dumps(CODE))},
        data={"steps": "1"},
    )
    assert answer.json()["start"] == "code"
    generated = client.post("/generate", json={"code": CODE}).json()
    by_id = client.post(
        "/refine",
        files={"image": JPEG, "latent_id": (None, generated["latent_id"])},
        data={"steps": "1", "start": "code"},
    )
    with working(valkey):
        curves = []
        for job in (answer.json(), by_id.json()):
            finished(client, job["id"])
            curves.append(client.get(f"/jobs/{job['id']}/result").json()["curve"])
    assert curves[0] == curves[1]


def test_an_idempotency_key_makes_one_job(client):
    headers = {"Idempotency-Key": "mine"}
    first, again = (refine(client, headers=headers, steps="5") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    refusal(refine(client, headers=headers, steps="6"), 422, "idempotency-mismatch")
    refusal(refine(client, headers={"Idempotency-Key": "x" * 201}), 422, "invalid-request")
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_an_idempotency_key_does_not_depend_on_the_request_format(client):
    headers = {"Idempotency-Key": "mine"}
    code = client.post("/generate", json={"code": CODE}).json()["code"]
    npy = client.post("/generate", json={"code": CODE}, headers={"Accept": "application/x-npy"})
    photo = base64.b64encode(JPEG).decode()
    ways = [
        {"files": [("image", JPEG), ("code", (None, json.dumps(CODE)))], "data": {"steps": "5"}},
        {"files": [("code", ("c.npy", npy.content)), ("image", JPEG)], "data": {"steps": "5"}},
        {"json": {"image": photo, "code": code, "steps": 5, "start": None}},
        {"json": {"code": CODE, "image": photo, "steps": 5, "start": "code", "align": "auto"}},
    ]
    answers = [client.post("/refine", headers=headers, **way) for way in ways]
    assert [answer.status_code for answer in answers] == [202] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = {"image": photo, "code": [[0.5] * 512] * 18, "steps": 5}
    answer = client.post("/refine", headers=headers, json=other)
    refusal(answer, 422, "idempotency-mismatch")


def test_the_remaining_time_is_null_until_known(client, valkey):
    job_id = refine(client, steps="400").json()["id"]

    def look():
        return client.get(f"/jobs/{job_id}").json()["progress"]

    assert (look()["eta_s"], look()["warming_up"]) == (None, False)
    with working(valkey, step_s=0.2):
        progress = wait_for(lambda: (found := look())["warming_up"] and found)
        assert progress["eta_s"] is None
        progress = wait_for(lambda: (found := look())["eta_s"] and found)
        assert progress["step"] >= 3
        assert not progress["warming_up"]
        assert 0.2 * 300 < progress["eta_s"] < 0.2 * 400 * 5
        client.delete(f"/jobs/{job_id}")
        finished(client, job_id)
    assert (look()["eta_s"], look()["warming_up"]) == (None, False)


class RightHalf(Perceptual):
    """Sees the right half alone, so that it wants another grey than the loss, which sees both."""

    name = "right-half"

    def features(self, img):
        return [img[..., img.shape[-1] // 2 :]]


def grey(ws):
    """The first number of a code as a grey square."""
    return ws[:, 0, 0].reshape(-1, 1, 1, 1).expand(-1, 3, 256, 256)


def test_the_result_of_a_target_is_a_code_that_reached_it(client, valkey):
    """The steps swing past the best loss, of step 7, and reach the target in step 8."""
    refiner = Refiner(grey, RightHalf(), FINGERPRINT, config=IteratorConfig(lr=0.2))
    pixels = np.full((256, 256, 3), 64, np.uint8)
    pixels[:, 128:] = 191
    files = {
        "image": photos.encode(Image.fromarray(pixels), "PNG"),
        "code": (None, json.dumps([[-1.0] * 512] * 18)),
    }
    fields = {"steps": "20", "target_lpips": "0.01", "align": "none"}
    job_id = client.post("/refine", files=files, data=fields).json()["id"]
    with working(valkey, refiner=refiner):
        job = finished(client, job_id)
    assert (job["ended_by"], job["progress"]["step"]) == ("target_lpips", 8)
    curve = client.get(f"/jobs/{job_id}/result?encoding=numbers").json()
    assert min(curve["curve"], key=lambda point: point["loss"])["step"] == 7
    reports = []
    ws = torch.tensor(curve["code"]["data"])
    refiner.run(refiner.start(ws), pixels, 0, lambda report: reports.append(report))
    assert reports[0].lpips.item() <= 0.01


def test_progress_includes_identity_similarity(client, valkey, tmp_path):
    judge = IdentityJudge(seeded_judge(tmp_path), Execution(backend="eager"))
    refiner = Refiner(grey, RightHalf(), FINGERPRINT, config=IteratorConfig(lr=1e-9), judge=judge)
    code = [[0.0] * 512] * 18
    files = {
        "image": photos.encode(Image.new("RGB", (256, 256), (64, 64, 64)), "PNG"),
        "code": (None, json.dumps(code)),
    }
    fields = {"steps": "3", "align": "none"}
    job_id = client.post("/refine", files=files, data=fields).json()["id"]
    waiting = client.get(f"/jobs/{job_id}").json()["progress"]
    assert (waiting["identity_similarity"], waiting["same_person"]) == (None, None)
    with working(valkey, refiner=refiner):
        progress = finished(client, job_id)["progress"]
        events = client.get(f"/jobs/{job_id}/events").text
    target = torch.full((1, 3, 256, 256), 64 / 127.5 - 1)
    expected = judge(target, torch.zeros(1, 3, 256, 256)).item()
    assert progress["identity_similarity"] == pytest.approx(expected, abs=1e-3)
    assert progress["same_person"] == (expected >= SAME_PERSON_SIMILARITY)
    last = json.loads(events.strip().rpartition("data: ")[2])["progress"]
    assert last["identity_similarity"] == progress["identity_similarity"]


def test_without_a_recogniser_progress_has_no_identity(client, valkey):
    job_id = refine(client, steps="2").json()["id"]
    with working(valkey):
        progress = finished(client, job_id)["progress"]
    assert progress["lpips"] is not None
    assert progress["identity_similarity"] is progress["same_person"] is None
    result = client.get(f"/jobs/{job_id}/result").json()["job"]["progress"]
    assert result["identity_similarity"] is result["same_person"] is None


def test_a_full_queue_refuses(client):
    for _ in range(3):
        assert refine(client).status_code == 202
    answer = refine(client)
    refusal(answer, 429, "job-queue-full")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ({"steps": "0"}, {"image": JPEG}),
        ({"steps": "5001"}, {"image": JPEG}),
        ({"target_lpips": "nan"}, {"image": JPEG}),
        ({"start": "code"}, {"image": JPEG}),
        ({"start": "mean"}, {"image": JPEG, "code": (None, json.dumps(CODE))}),
        ({}, {"code": (None, json.dumps(CODE))}),
    ],
)
def test_invalid_options_are_refused(client, fields, files):
    refusal(client.post("/refine", data=fields, files=files), 422, "invalid-request")
    assert client.get("/jobs").json()["jobs"] == []


@pytest.mark.parametrize("path", ["", "/events", "/preview", "/result"])
@pytest.mark.parametrize("job_id", ["A" * 22, "x:ev"])
def test_an_unknown_job_is_not_found(client, path, job_id):
    refusal(client.get(f"/jobs/{job_id}{path}"), 404, "unknown-job")


def test_without_redis_only_jobs_are_missing(serve):
    with serve() as client:
        refusal(refine(client), 503, "jobs-unavailable")
        refusal(client.get("/jobs"), 503, "jobs-unavailable")
        assert client.post("/generate?seed=1").status_code == 200


def test_a_lost_redis_is_logged_and_recovers(client, valkey):
    assert refine(client).status_code == 202
    valkey.settle()
    valkey.kill()
    refusal(refine(client), 503, "jobs-unavailable")
    refusal(client.get("/jobs"), 503, "jobs-unavailable")
    assert client.post("/generate?seed=1").status_code == 200
    assert 'wplus_redis_errors_total{op="list"}' in client.get("/metrics").text
    valkey.start()
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_streams_end_when_the_service_drains(client):
    job_id = refine(client).json()["id"]
    thread, answers = in_background(lambda: client.get(f"/jobs/{job_id}/events"))
    client.runtime.gate.drain()
    thread.join(30)
    assert not thread.is_alive()
    assert "event: end" not in answers[0].text


def test_jobs_belong_to_their_key(serve, valkey, tmp_path):
    keys = {name: f"{name}-secret-key" for name in ("alice", "bob")}
    rows = [f"{name} {hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items()]
    file = tmp_path / "keys"
    file.write_text("\n".join(rows))
    alice, bob = ({"X-API-Key": key} for key in keys.values())
    with serve(redis_url=valkey.url, api_keys=file) as client:
        assert refine(client).status_code == 401
        job_id = refine(client, headers=alice).json()["id"]
        for path in ("", "/events", "/preview", "/result"):
            refusal(client.get(f"/jobs/{job_id}{path}", headers=bob), 404, "unknown-job")
        refusal(client.delete(f"/jobs/{job_id}", headers=bob), 404, "unknown-job")
        assert client.get("/jobs", headers=bob).json()["jobs"] == []
        assert len(client.get("/jobs", headers=alice).json()["jobs"]) == 1
        assert client.get(f"/jobs/{job_id}", headers=alice).json()["state"] == "queued"


def test_metrics_show_the_queue(client):
    refine(client)
    text = client.get("/metrics").text
    assert "wplus_jobs_submitted_total 1.0" in text
    for name in ("jobs_queued", "jobs_pending", "jobs_oldest_queued_age_seconds"):
        assert f"\nwplus_{name} " in text


def test_the_worker_pauses_for_requests(valkey, serve):
    predictor = Held()
    with serve(predictor, redis_url=valkey.url, shared_device="cpu0") as client:
        leases = Leases(valkey.connect(), 30, "cpu0")
        assert not leases.is_busy()
        predictor.hold = True
        thread, _ = in_background(lambda: client.post("/generate?seed=1"))
        wait_until(leases.is_busy)
        predictor.go.set()
        thread.join()
        wait_until(lambda: not leases.is_busy())


@pytest.mark.parametrize(("fingerprint", "wanted"), [("d" * 64, True), ("e" * 64, False)])
def test_a_result_has_the_detail_that_belongs_to_the_weights_in_use(
    client, valkey, fingerprint, wanted
):
    refiner = tiny_refiner(detail=True, size_px=256, detail_fingerprint=fingerprint)
    files = {"image": JPEG, "code": (None, json.dumps(CODE))}
    job_id = client.post("/refine", files=files, data={"steps": "2", "align": "none"}).json()["id"]
    with working(valkey, refiner=refiner):
        finished(client, job_id)
    result = f"/jobs/{job_id}/result"
    assert client.get(result).json()["detail"] is wanted
    assert client.get(f"{result}?detail=false").json()["detail"] is False
    file = client.get(result, headers={"Accept": "application/vnd.safetensors"}).content
    assert ("detail" in safetensors.numpy.load(file)) is wanted


class NoMemory(DetailEncoding):
    """A detail encoder that finds no memory."""

    def __init__(self):
        self.fingerprint = "d" * 64

    def encode(self, photos, ws):
        raise RuntimeError(f"out of memory for {len(photos)} photo and {len(ws)} code")


def test_a_code_is_kept_if_its_detail_cannot_be_computed(client, valkey):
    upper = DetailRender(lambda ws: ws, grey, grey)  # never comes to render
    config, details = IteratorConfig(lr=0.2), (NoMemory(), upper)
    refiner = Refiner(grey, RightHalf(), FINGERPRINT, config=config, detail=details)
    files = {"image": JPEG, "code": (None, json.dumps(CODE))}
    job_id = client.post("/refine", files=files, data={"steps": "2", "align": "none"}).json()["id"]
    with working(valkey, refiner=refiner):
        assert finished(client, job_id)["state"] == "succeeded"
    answer = client.get(f"/jobs/{job_id}/result").json()
    assert answer["job"]["progress"]["step"] == 2
    assert answer["detail"] is False
    assert answer["code"]["shape"] == [18, 512]
