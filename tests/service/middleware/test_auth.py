"""Who may call, whose latents are whose, and how often anybody may ask."""

import hashlib
import logging

import pytest

from service.settings import Settings
from tests.service import photos

KEYS = {"ann": "ann-1234567890", "bob": "bob-1234567890"}
JPEG = photos.plain()


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    rows = (f"{name} {hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def guarded(serve, key_file):
    with serve(api_keys=key_file) as client:
        yield client


def bearer(name):
    return {"Authorization": f"Bearer {KEYS[name]}"}


def embed(client, headers=None, **fields):
    return client.post("/embed", files={"image": JPEG}, data=fields, headers=headers)


def generate(client, latent_id, headers):
    return client.post("/generate", json={"latent_id": latent_id}, headers=headers)


def test_both_headers_open_the_service(guarded):
    for headers in (
        bearer("ann"),
        {"Authorization": f"bearer  {KEYS['bob']}"},
        {"X-API-Key": KEYS["ann"]},
    ):
        assert embed(guarded, headers).status_code == 200
        assert guarded.get("/version", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"Authorization": "Bearer "}, "missing"),
        ({"Authorization": "Bearer wrong"}, "unknown"),
        ({"X-API-Key": "wrong"}, "unknown"),
        ({"Authorization": "Basic YW5uOmFubg=="}, "scheme"),
    ],
)
def test_invalid_keys_are_refused_and_counted(guarded, headers, reason):
    answer = embed(guarded, headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="wplus"'
    for path in ("/version", "/metrics", "/nowhere", "/static"):
        assert guarded.get(path, headers=headers).status_code == 401
    text = guarded.get("/metrics", headers=bearer("ann")).text
    assert f'wplus_auth_failures_total{{reason="{reason}"}} 5.0' in text
    assert 'wplus_rejected_total{reason="unauthorized"} 1.0' in text


def test_a_refused_caller_takes_no_slot_and_sends_no_body(guarded):
    chunks = iter([b"x" * 10, b"y" * 10])
    answer = guarded.post("/embed", content=chunks, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 401
    text = guarded.get("/metrics", headers=bearer("ann")).text
    assert 'wplus_upload_bytes_count{op="embed"}' not in text


def test_probes_page_and_description_need_no_key(guarded):
    for path in ("/", "/livez", "/readyz", "/docs", "/openapi.json", "/static/css/page.css"):
        assert guarded.get(path).status_code == 200


def test_the_description_names_the_keys_only_where_they_are_asked_for(guarded, serve):
    document = guarded.get("/openapi.json").json()
    assert document["security"] == [{"bearer": []}, {"header": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    assert document["paths"]["/livez"]["get"]["security"] == []
    assert "security" not in document["paths"]["/embed"]["post"]
    with serve() as client:
        assert "security" not in client.get("/openapi.json").json()


def test_a_latent_is_known_to_its_owner_only(guarded):
    latent_id = embed(guarded, bearer("ann")).json()["latent_id"]
    assert generate(guarded, latent_id, bearer("ann")).status_code == 200
    other = generate(guarded, latent_id, bearer("bob"))
    unknown = generate(guarded, "A" * 22, bearer("bob"))
    for answer in (other, unknown):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-latent")
    assert other.json()["detail"] == unknown.json()["detail"]
    files = {"gray": (None, latent_id), "color": JPEG}
    assert guarded.post("/colorize", files=files, headers=bearer("bob")).status_code == 404
    sources = {"sources": [{"latent_id": latent_id}] * 2}
    assert guarded.post("/morph", json=sources, headers=bearer("bob")).status_code == 404


def test_keys_are_not_logged(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    embed(guarded, bearer("ann"))
    embed(guarded, {"X-API-Key": "wrong-key-here"})
    guarded.get("/version", headers={"X-API-Key": KEYS["bob"]})
    for secret in (*KEYS.values(), "wrong-key-here"):
        assert secret not in caplog.text


def test_nothing_is_stored_on_request(client):
    answer = embed(client, no_store="true")
    assert "latent_id" not in answer.json()
    assert "code" in answer.json()
    image = embed(client, {"Accept": "image/jpeg"}, no_store="true")
    assert "x-latent-id" not in image.headers
    drawn = client.post("/generate", json={"seed": 1, "no_store": True})
    assert "latent_id" not in drawn.json()
    photos_ = [("image", JPEG)] * 2
    assert "latent_id" not in client.post("/morph?no_store=1", files=photos_).json()
    assert client.runtime.latents.size == 0
    embed(client)
    assert client.runtime.latents.size == 1


def test_a_caller_is_limited_without_affecting_others(serve, key_file):
    with serve(api_keys=key_file, rate_limit="3/minute;100/hour") as client:
        seed = {"seed": 1, "return": "code"}

        def draw(name):
            return client.post("/generate", json=seed, headers=bearer(name))

        assert [draw("ann").status_code for _ in range(3)] == [200] * 3
        refused = draw("ann")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
        assert 30 < int(refused.headers["retry-after"]) <= 60
        assert draw("bob").status_code == 200
        assert client.get("/version", headers=bearer("ann")).status_code == 200
        text = client.get("/metrics", headers=bearer("ann")).text
        assert 'wplus_rejected_total{reason="rate-limited"} 1.0' in text


def test_without_keys_all_are_one_caller(serve):
    with serve(rate_limit="1/minute") as client:
        assert embed(client).status_code == 200
        assert embed(client, {"X-API-Key": "any"}).status_code == 429


def test_an_invalid_limit_is_refused_at_start():
    with pytest.raises(ValueError, match="parse rate limit string"):
        Settings(rate_limit="often")
