"""POST /films, on a real Valkey and a real worker with stand-ins for the networks."""

import asyncio
import errno
import hashlib
import io
import json
import signal
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from model_core.films import editing, seeing, segments
from service.errors import JobsUnavailableError
from service.handlers import film_result
from service.jobs import film_sweep
from service.jobs import films as films_module
from service.jobs.film_folder import ALIVE
from service.jobs.lease import Leases
from service.jobs.worker import film_files, film_run
from service.jobs.worker.film_editors import FilmEditors
from service.jobs.worker.held import Intervals
from service.jobs.worker.loop import Worker
from service.jobs.worker.metrics import WorkerTelemetry
from service.redis_keys import connect, job_key
from tests.model_core.tiny import tiny_refiner
from tests.service import films
from tests.service.jobs.conftest import wait_for
from tests.service.jobs.test_routes import finished, refine, refusal
from tests.wplus_client.test_async_client import InThreads
from wplus_client import AsyncClient, Client, ServiceError

MP4 = films.film()
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
SMILE = {"directions": "smile:5"}


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Make parts of films short, so that few frames make several."""
    for module, name in ((segments, "SEGMENT"), (editing, "SEGMENT"), (seeing, "PART")):
        monkeypatch.setattr(module, f"{name}_FRAMES", 10)


@pytest.fixture
def directions(tmp_path):
    folder = tmp_path / "directions"
    folder.mkdir()
    np.save(folder / "smile.npy", np.full(512, 0.1, np.float32))
    return folder


@pytest.fixture
def serve_films(serve, valkey, tmp_path, directions):
    """Start an application with a folder of films: `with serve_films(film_queue_size=1)`."""

    @contextmanager
    def start(**settings):
        given = {"films": tmp_path / "films", "directions": directions, "redis_url": valkey.url}
        with serve(**given | settings) as client:
            yield client

    return start


@pytest.fixture
def client(serve_films):
    with serve_films() as ready:
        yield ready


def working(client, *, aligner=films.FilmAligner, delay_s=0.0, lease_s=30):
    """Let a worker of films work while the block runs; its metrics are given."""
    settings = client.runtime.settings
    editors = films.FakeFilmEditors(
        settings, settings.films_folder, delay_s=delay_s, aligner=aligner
    )
    return without_films(client, editors, lease_s)


@contextmanager
def without_films(client, editors=None, lease_s=30):
    """Let a worker work while the block runs, which has no folder of films unless given one."""
    stop, telemetry = threading.Event(), WorkerTelemetry()
    connection = connect(client.runtime.settings.redis_url.get_secret_value())
    worker = Worker(
        Leases(connection, lease_s),
        tiny_refiner(),
        Intervals(0.05, 0.1, 0.2),
        telemetry,
        stop.is_set,
        editors,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield telemetry
    finally:
        stop.set()
        thread.join()
        connection.close()


def send(client, data=MP4, headers=None, **fields):
    return client.post(
        "/films", files={"film": ("secret-name.mp4", data)}, data=SMILE | fields, headers=headers
    )


def files(client):
    return files_in(client.runtime.settings.films_folder)


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ALIVE)


def test_a_film_is_edited_and_answered_in_ranges(client):
    answer = send(client)
    job = answer.json()
    assert answer.status_code == 202, answer.text
    assert (job["kind"], job["state"], job["position"]) == ("film", "queued", 0)
    assert job["directions"] == {"smile": 5.0}
    assert job["progress"] == {"phase": None, "done": 0, "total": None, "eta_s": None}
    refusal(client.get(job["urls"]["result"]), 409, "no-result")
    with working(client) as telemetry:
        job = finished(client, job["id"])
    assert job["state"] == "succeeded", job
    assert job["progress"]["phase"] == "join"
    url = job["urls"]["result"]
    whole = client.get(url)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.headers["content-disposition"] == f'inline; filename="wplus-{job["id"]}.mp4"'
    assert whole.headers["x-content-provenance"] == "ai-generated"
    assert job["film"]["size_bytes"] == len(whole.content)
    frames, has_sound = films.decoded(whole.content)
    source, _ = films.decoded(MP4)
    assert frames.shape == source.shape
    assert has_sound
    assert (job["film"]["frames"], job["film"]["frames_with_face"]) == (12, 12)
    change = np.abs(frames.astype(int) - source)
    assert change[:, 40:56, 56:72].mean() > 10 > change[:, :8].mean()
    assert [path.name for path in files(client)] == ["film-1.mp4"]
    part = client.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    tagged = {"Range": "bytes=0-9", "If-Range": whole.headers["etag"]}
    assert client.get(url, headers=tagged).status_code == 206
    assert client.get(url, headers=tagged | {"If-Range": '"other"'}).status_code == 200
    beyond = client.get(url, headers={"Range": "bytes=99999999-"})
    refusal(beyond, 416, "range-not-satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
    head = client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    value = telemetry.registry.get_sample_value
    assert value("wplus_film_frames_total", {"phase": "edit"}) == 12
    preview = client.get(job["urls"]["preview"], headers={"Accept": "image/png"})
    shown = np.asarray(Image.open(io.BytesIO(preview.content))).astype(int)
    assert np.abs(shown - frames[0]).mean() < 2  # the same frame, its colours scaled otherwise
    assert b"xmpmeta" in whole.content
    assert b"compositeWithTrainedAlgorithmicMedia" in whole.content


@pytest.mark.parametrize(
    ("sound", "media"), [("pcm_s16le", "video/quicktime"), ("tta", "video/x-matroska")]
)
def test_a_sound_that_mp4_cannot_hold_is_kept(client, sound, media):
    job_id = send(client, films.film(5, sound=sound, form="matroska")).json()["id"]
    with working(client):
        assert finished(client, job_id)["film"]["sound"]
    url = f"/jobs/{job_id}/result"
    answer = client.get(url, headers={"Accept": f"{media}, video/*;q=.5"})
    assert answer.headers["content-type"] == media
    assert films.decoded(answer.content)[1]
    refusal(client.get(url, headers={"Accept": "video/mp4"}), 406, "not-acceptable")


def test_a_raw_body_makes_the_same_job_as_a_form(client):
    key = {"Idempotency-Key": "once"}
    form = send(client, headers=key).json()
    raw = client.post(
        "/films",
        content=MP4,
        params=SMILE,
        headers=key | {"Content-Type": "video/mp4"},
    )
    assert (raw.status_code, raw.json()["id"]) == (202, form["id"])
    other = send(client, headers=key, directions="smile:4")
    refusal(other, 422, "idempotency-mismatch")
    assert len(files(client)) == 1  # that of the one job


@pytest.mark.parametrize(
    ("data", "fields", "status", "code"),
    [
        (b"", {}, 400, "empty-body"),
        (b"not a film" * 100, {}, 422, "unsupported-film"),
        (PLAYLIST, {}, 422, "unsupported-film"),
        (MP4[: len(MP4) // 2], {}, 422, "unsupported-film"),
        (films.film(2, form="avi", codec="ffvhuff", sound=None), {}, 422, "unsupported-film"),
        (films.film(2) + b"\0" * 60_000, {}, 413, "too-large"),
        (MP4, {"directions": "frown:1"}, 422, "invalid-request"),
        (MP4, {"directions": "smile:500"}, 422, "invalid-request"),
        (MP4, {"face": "all"}, 422, "invalid-request"),
        (MP4, {"framerate": "25"}, 422, "invalid-request"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused_leaves_nothing(serve_films, data, fields, status, code):
    with serve_films(max_film_bytes=50_000) as client:
        assert len(MP4) < 50_000
        refusal(send(client, data, **fields), status, code)
        assert files(client) == []
        assert client.get("/jobs").json()["jobs"] == []


def test_a_broken_upload_leaves_nothing(client):
    server = uvicorn.Server(uvicorn.Config(client.app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    address = server.servers[0].sockets[0].getsockname()
    with socket.create_connection(address) as connection:
        connection.sendall(
            b"POST /films?directions=smile:5 HTTP/1.1\r\nHost: a\r\nContent-Type: video/mp4\r\n"
            b"Content-Length: 9000000\r\n\r\n" + bytes(2_000_000)
        )
        wait_for(lambda: files(client) and files(client)[0].stat().st_size > 900_000)
    wait_for(lambda: not files(client))
    server.should_exit = True
    thread.join()


def test_a_truncated_form_leaves_nothing(client):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="film"; filename="a"\r\n\r\n' + MP4
    )  # without its closing boundary
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refusal(client.post("/films", params=SMILE, content=body, headers=headers), 400, "bad-request")
    assert files(client) == []


def test_there_is_room_for_so_many_films(serve_films):
    with serve_films(film_queue_size=2) as client:
        assert [send(client).status_code for _ in range(2)] == [202, 202]
        assert "2 films" in refusal(send(client), 429, "job-queue-full")
        assert len(files(client)) == 2
    with serve_films(max_films_bytes=7 * len(MP4), max_film_bytes=2 * len(MP4)) as client:
        full = send(client)
        assert "Delete films" in refusal(full, 507, "films-full")
        assert len(files(client)) == 2


def test_a_film_whose_answer_is_lost_is_kept_for_its_job(client, monkeypatch):
    store, key = client.runtime.jobs.store, {"Idempotency-Key": "lost"}

    async def lose(job, submit=store.submit):
        await submit(job)
        raise JobsUnavailableError("The Redis for jobs does not answer: timeout")

    with monkeypatch.context() as patch:
        patch.setattr(store, "submit", lose)
        refusal(send(client, headers=key), 503, "jobs-unavailable")
    job_id = send(client, headers=key).json()["id"]
    assert len(files(client)) == 1
    with working(client):
        assert finished(client, job_id)["state"] == "succeeded"


def test_a_disk_without_room_is_told(client, monkeypatch):
    monkeypatch.setattr("service.jobs.film_folder.KEEP_FREE_BYTES", 10**18)
    refusal(send(client), 507, "films-full")
    assert files(client) == []


def test_films_can_be_off(serve_films, tmp_path, monkeypatch):
    with serve_films(films="off") as client:
        assert "WPLUS_FILMS" in refusal(send(client), 501, "films-off")
    (tmp_path / "file").touch()
    with serve_films(films=tmp_path / "file") as client:
        assert "WPLUS_FILMS" in refusal(send(client), 501, "films-off")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with serve_films() as client:
        assert "pip install 'wplus[film]'" in refusal(send(client), 501, "missing-extra")


def test_films_taken_before_are_read_deleted_and_swept(serve_films, tmp_path, monkeypatch):
    monkeypatch.setattr(films_module, "SWEEP_S", 0.1)
    cache = tmp_path / "cache"
    with serve_films(films=None, cache=cache) as client:
        done = send(client).json()["id"]
        with working(client):
            finished(client, done)
        waiting = send(client).json()["id"]
        kept = client.get(f"/jobs/{done}/result").content
        queue = client.runtime.jobs.films._opened.folder
    with monkeypatch.context() as patch, serve_films(films=None, cache=cache) as client:
        patch.setattr("importlib.util.find_spec", lambda _name: None)
        refusal(send(client), 501, "missing-extra")
        assert client.get(f"/jobs/{done}/result").content == kept
    (queue / ("o" * 22)).mkdir()
    monkeypatch.setattr(film_sweep, "NEW_S", 0.0)  # not while uploads begin: it would take them
    with serve_films(films="off", cache=cache) as client:
        refusal(send(client), 501, "films-off")
        wait_for(lambda: not (queue / ("o" * 22)).exists())
        assert len(files_in(cache)) == 2
        assert client.get(f"/jobs/{done}").json()["state"] == "succeeded"
        assert client.get(f"/jobs/{done}/preview").status_code == 200
        assert client.get(f"/jobs/{done}/result").content == kept
        for job_id, state in ((waiting, "cancelled"), (done, "succeeded")) * 2:
            assert client.delete(f"/jobs/{job_id}").json()["state"] == state
        assert files_in(cache) == []
        assert "deleted" in refusal(client.get(f"/jobs/{done}/result"), 409, "no-result")


def test_films_in_a_folder_that_is_no_longer_named_are_not_said_to_be_deleted(serve_films):
    with serve_films() as client:
        job_id = send(client).json()["id"]
        folder = client.runtime.settings.films_folder
    with serve_films(films="off") as client:
        assert client.get(f"/jobs/{job_id}").json()["state"] == "queued"
        said = refusal(client.delete(f"/jobs/{job_id}"), 501, "films-off")
        assert "WPLUS_FILMS must be the folder that it is in" in said
        assert "is cancelled all the same" in said
        assert client.get(f"/jobs/{job_id}").json()["state"] == "cancelled"
        assert len(files_in(folder)) == 1
    with serve_films() as client:
        assert client.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
        assert files_in(folder) == []


def test_a_film_is_its_owners(serve_films, tmp_path):
    keys = tmp_path / "keys"
    lines = [f"{name} {hashlib.sha256(name.encode()).hexdigest()}" for name in ("ann", "bob")]
    keys.write_text("\n".join(lines))
    with serve_films(api_keys=keys) as client:
        ann, bob = ({"X-API-Key": name} for name in ("ann", "bob"))
        job_id = send(client, headers=ann).json()["id"]
        with working(client):
            wait_for(
                lambda: client.get(f"/jobs/{job_id}", headers=ann).json()["state"] == "succeeded"
            )
        for path in ("", "/result", "/events", "/preview"):
            refusal(client.get(f"/jobs/{job_id}{path}", headers=bob), 404, "unknown-job")
        refusal(client.delete(f"/jobs/{job_id}", headers=bob), 404, "unknown-job")
        assert client.get(f"/jobs/{job_id}/result", headers=ann).status_code == 200


def test_a_film_without_a_face_fails_in_plain_words(client):
    job_id = send(client).json()["id"]
    with working(client, aligner=films.Blind):
        job = finished(client, job_id)
    assert (job["state"], job["error"]["type"]) == ("failed", "no-face")
    assert "no face was found in the film's 12 frames" in job["error"]["detail"]
    assert files(client) == []
    refusal(client.get(job["urls"]["result"]), 409, "no-result")


def test_a_silent_film_that_moves_again_is_heard_and_hears(client, monkeypatch):
    monkeypatch.setattr(film_run, "SILENT_S", 0.05)
    job_id = send(client, films.film(40)).json()["id"]
    with working(client, delay_s=0.15):
        wait_for(lambda: client.get(f"/jobs/{job_id}").json()["progress"]["phase"] == "edit")
        client.delete(f"/jobs/{job_id}")
        assert finished(client, job_id)["state"] == "cancelled"


def test_a_film_that_grows_while_it_is_edited_is_stopped(client, monkeypatch):
    job_id = send(client).json()["id"]
    monkeypatch.setattr(film_run, "LOOK_FRAMES", 1)
    monkeypatch.setattr(FilmEditors, "max_bytes", len(MP4) + 1)
    with working(client):
        job = finished(client, job_id)
        assert (job["state"], job["error"]["type"]) == ("failed", "film-too-large")
        assert "send it in shorter parts" in job["error"]["detail"]
        job_id = send(client).json()["id"]
        monkeypatch.setattr(film_files, "KEEP_FREE_BYTES", 10**18)
        job = finished(client, job_id)
        assert (job["state"], job["error"]["type"]) == ("failed", "disk-full")
    assert files(client) == []


def test_what_nobody_expected_ends_the_job_and_not_the_worker(client, monkeypatch):
    def fail(*_, progress, **__):
        progress(film_run.FilmProgress("read", 1, None))

        def unreachable(_files):
            raise OSError(errno.ESTALE, "Stale file handle")

        patch.setattr(film_run.FilmFiles, "parts", property(unreachable))
        raise ValueError("nobody expected this")

    job_id = send(client).json()["id"]
    with working(client):
        with monkeypatch.context() as patch:
            patch.setattr(film_run, "edit_film", fail)
            job = finished(client, job_id)
        assert (job["state"], job["error"]["type"]) == ("failed", "internal")
        assert files(client) == []
        assert finished(client, send(client).json()["id"])["state"] == "succeeded"


def test_cancelled_and_deleted_films_leave_nothing(client, tmp_path, monkeypatch):
    waiting, running, done = (send(client, films.film(24, seed=n)).json()["id"] for n in range(3))
    assert client.delete(f"/jobs/{waiting}").json()["state"] == "cancelled"
    with working(client, delay_s=0.1):
        wait_for(lambda: client.get(f"/jobs/{running}").json()["progress"]["phase"] == "edit")
        assert client.delete(f"/jobs/{running}").json()["state"] == "cancelling"
        assert finished(client, running)["state"] == "cancelled"
    with working(client):
        assert finished(client, done)["state"] == "succeeded"
    assert len(files(client)) == 1

    class Late(film_result.FilmResponse):
        async def __call__(self, *connection):
            client.runtime.settings.films_folder.rename(tmp_path / "away")
            await super().__call__(*connection)

    with monkeypatch.context() as patch:
        patch.setattr(film_result, "FilmResponse", Late)
        assert "deleted" in refusal(client.get(f"/jobs/{done}/result"), 409, "no-result")
    (tmp_path / "away").rename(client.runtime.settings.films_folder)
    client.delete(f"/jobs/{done}")
    assert files(client) == []
    assert "deleted" in refusal(client.get(f"/jobs/{done}/result"), 409, "no-result")


def test_progress_is_streamed(client):
    job_id = send(client, films.film(24)).json()["id"]
    with working(client, delay_s=0.02):
        text = client.get(f"/jobs/{job_id}/events").text
    rows = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    phases = [row["progress"]["phase"] for row in rows]
    assert set(phases) >= {"edit", "join"}
    assert all(row["progress"]["total"] == 24 for row in rows if row["progress"]["phase"])
    assert any(row["progress"]["eta_s"] is not None for row in rows)
    assert rows[-1]["state"] == "succeeded"


def test_films_and_refine_jobs_alternate_where_both_wait(client):
    film = send(client, films.film(80)).json()["id"]
    with working(client, delay_s=0.01) as telemetry:
        wait_for(lambda: client.get(f"/jobs/{film}").json()["progress"]["phase"])
        jobs = [refine(client, steps="3").json()["id"] for _ in range(2)]
        first, second = (finished(client, job_id) for job_id in jobs)
        ended = finished(client, film)
    assert (first["state"], second["state"], ended["state"]) == ("succeeded",) * 3
    assert second["finished"] < ended["finished"]
    assert ended["attempts"] == 3  # it made way twice, with a turn in between
    assert ended["film"]["frames_with_face"] == 80
    value = telemetry.registry.get_sample_value
    assert value("wplus_jobs_finished_total", {"state": "succeeded"}) == 3


def test_a_worker_without_films_leaves_them_to_others(client):
    film = send(client).json()["id"]
    refined = refine(client, steps="2").json()["id"]
    with without_films(client):
        finished(client, refined)
        assert client.get(f"/jobs/{film}").json()["state"] == "queued"
    with working(client):
        assert finished(client, film)["state"] == "succeeded"


def test_a_preview_of_parts_that_are_just_being_deleted_has_no_result(client, monkeypatch):
    job_id = send(client).json()["id"]

    def gone(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "glob", gone)
    refusal(client.get(f"/jobs/{job_id}/preview"), 409, "no-result")


def test_a_stopping_worker_hands_a_film_back_and_another_goes_on(client, valkey):
    job_id = send(client, films.film(36)).json()["id"]
    refusal(client.get(f"/jobs/{job_id}/preview"), 409, "no-result")
    with working(client, delay_s=0.02):
        wait_for(lambda: segments_of(client))
    preview = client.get(f"/jobs/{job_id}/preview")
    assert (preview.status_code, preview.headers["content-type"]) == (200, "image/jpeg")
    assert client.get(f"/jobs/{job_id}").json()["state"] == "queued"
    parts = [path for path in files(client) if path.suffix in (".nut", ".npz")]
    assert int(valkey.client.hget(job_key(job_id), "saved")) == len(parts) > 4
    kept = {path.name: path.stat().st_mtime_ns for path in segments_of(client)}
    with working(client, delay_s=0.05):
        wait_for(lambda: len(segments_of(client)) > len(kept))
        assert {p.name: p.stat().st_mtime_ns for p in segments_of(client)}.items() >= kept.items()
        job = finished(client, job_id)
    assert (job["state"], job["attempts"], job["film"]["frames"]) == ("succeeded", 2, 36)


def segments_of(client):
    return [path for path in files(client) if path.suffix == ".nut" and path.name[0] != "."]


def test_ended_films_are_swept_with_their_jobs(serve_films, monkeypatch):
    monkeypatch.setattr(films_module, "SWEEP_S", 0.1)
    with serve_films(job_ttl_s=2) as client:
        job_id = send(client).json()["id"]
        monkeypatch.setattr(film_sweep, "NEW_S", 0.0)  # from now on: an upload may look abandoned
        queue = client.runtime.settings.films_folder.glob("queue-*").__next__()
        (queue / ("o" * 22)).mkdir()
        (queue / ("o" * 22) / "source").touch()  # of an upload whose service was killed
        (queue / "mine").mkdir()
        wait_for(lambda: not (queue / ("o" * 22)).exists())
        assert len(files(client)) == 1  # a waiting film's
        with working(client):
            finished(client, job_id)
        assert [path.name for path in files(client)] == ["film-1.mp4"]
        wait_for(lambda: files(client) == [])
        refusal(client.get(f"/jobs/{job_id}/result"), 404, "unknown-job")
        assert (queue / "mine").exists()  # not ours
        text = client.get("/metrics").text
        assert "wplus_films_bytes 0.0" in text
        assert "wplus_films_submitted_total 1.0" in text


def test_both_clients_edit_films(client, tmp_path):
    (tmp_path / "a.mp4").write_bytes(MP4)
    to, options = tmp_path / "out.mp4", {"transport": client._transport}

    async def edit_slowly():
        async with AsyncClient("http://testserver", transport=InThreads(client)) as wplus:
            job = await wplus.edit_film(tmp_path / "a.mp4", {"smile": 5})
            return await (await job.wait(poll_s=0.05)).save(tmp_path / "b.mp4")

    with working(client), Client("http://testserver", **options) as wplus:
        job = wplus.edit_film(str(tmp_path / "a.mp4"), {"smile": 5})
        assert job.wait(progress=True, poll_s=0.05).save(str(to)) == to
        assert asyncio.run(edit_slowly()).read_bytes() == to.read_bytes()
        assert films.decoded(to.read_bytes())[0].shape == films.decoded(MP4)[0].shape
        assert [type(each).__name__ for each in wplus.jobs()] == ["FilmJob"] * 2
        job.cancel()
        with pytest.raises(ServiceError, match="no-result"):
            job.save(tmp_path / "c.mp4")
        with pytest.raises(ServiceError, match="unsupported-film"):
            wplus.edit_film(__file__, {"smile": 5})
    assert not list(tmp_path.glob("*c.mp4*"))


@pytest.mark.slow
def test_films_outlive_workers_that_hang_or_are_killed(client, start_worker, monkeypatch):
    """The first film's worker is stopped and goes on too late; the second film's is killed."""
    monkeypatch.setenv("TINY_FILMS", "0.05")
    monkeypatch.setenv("WPLUS_DIRECTIONS", str(client.runtime.settings.directions))
    data = films.film(44)
    first = send(client, data).json()["id"]
    worker = start_worker(films=client.runtime.settings.films_folder)
    wait_for(lambda: len(segments_of(client)) == 2)
    worker.process.send_signal(signal.SIGSTOP)
    with working(client, lease_s=1):
        hung = finished(client, first)
    result = client.get(f"/jobs/{first}/result").content
    worker.process.send_signal(signal.SIGCONT)
    wait_for(lambda: "dropped the film" in worker.log)
    second = send(client, data).json()["id"]
    wait_for(lambda: len(segments_of(client)) == 2)
    worker.end(signal.SIGKILL)
    with working(client, lease_s=1):
        killed = finished(client, second)
    assert (hung["state"], hung["attempts"]) == ("succeeded", 2)
    assert (killed["state"], killed["attempts"]) == ("succeeded", 2)
    assert client.get(f"/jobs/{first}/result").content == result
    whole = send(client, data).json()["id"]
    with working(client):
        finished(client, whole)
    for job_id in (first, second):
        assert client.get(f"/jobs/{job_id}/result").content == (
            client.get(f"/jobs/{whole}/result").content
        )
    assert sorted(path.suffix for path in files(client)) == [".mp4"] * 3
