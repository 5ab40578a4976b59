"""A film's file as it is sent: ranges, and what becomes of those that cannot be read."""

import pytest
from starlette.testclient import TestClient

from service.errors import NoResultError
from service.handlers.film_result import FilmResponse
from service.jobs.sse import Streams

FILM = bytes(range(256)) * 1000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(FILM)
    return path


@pytest.fixture
def client(path):
    status = path.stat()

    async def send(scope, receive, send):
        await FilmResponse(path, "a.mp4", status, Streams(1))(scope, receive, send)

    return TestClient(send)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("bytes=0-9", FILM[:10]),
        ("Bytes=10-", FILM[10:]),
        ("bytes=-7", FILM[-7:]),
        ("bytes=5-999999999", FILM[5:]),
    ],
    ids=["first", "from", "last", "beyond"],
)
def test_a_range_is_sent(client, given, part):
    answer = client.get("/", headers={"Range": given})
    assert (answer.status_code, answer.content) == (206, part)


@pytest.mark.parametrize(
    "given",
    [
        "frames=0-9", "seconds=1-2", "bytes", "bytes 0-9", "bytes=", "bytes=-", "bytes=a-b",
        "bytes=9-5", "0-9", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ranges_that_cannot_be_read_are_ignored(client, given, method):
    answer = client.request(method, "/", headers={"Range": given})
    assert answer.status_code == 200
    assert answer.content == (FILM if method == "GET" else b"")
    assert answer.headers["content-length"] == str(len(FILM))
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("given", ["bytes=999999999-", "bytes=-0"])
def test_ranges_beyond_the_film_are_refused(client, given):
    answer = client.get("/", headers={"Range": given})
    assert (answer.status_code, answer.json()["code"]) == (416, "range-not-satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(FILM)}"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-1,5-9"}])
def test_a_film_that_is_deleted_before_it_is_sent_is_gone(client, path, headers):
    path.unlink()
    with pytest.raises(NoResultError, match="has been deleted"):
        client.get("/", headers=headers)
