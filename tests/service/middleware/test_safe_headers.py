"""Headers that every answer has, whatever became of it."""

import pytest

from service.middleware.safe_headers import ALWAYS, POLICY


@pytest.mark.parametrize(
    "path", ["/livez", "/nowhere", "/embed", "/", "/docs", "/static/js/main.js"]
)
def test_every_answer_has_them(client, path):
    headers = client.get(path).headers
    assert {name: headers[name] for name in ALWAYS} == ALWAYS
    assert headers["cache-control"] == "no-store"


def test_only_pages_may_run_anything(client):
    assert client.get("/openapi.json").headers["content-security-policy"] == POLICY
    assert client.get("/nowhere").headers["content-security-policy"] == POLICY
    assert "script-src 'self'" in client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in client.get("/docs").headers["content-security-policy"]
