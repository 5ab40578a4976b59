"""The landing page: there, self-contained, and under a strict policy."""

import re

import pytest

from service.routes.pages import STATIC

ROOT = STATIC.parent
TEXTS = [
    path.relative_to(ROOT).as_posix()
    for kind in ("js/*.js", "css/*.css", "icon.svg", "index.html")
    for path in sorted(STATIC.glob(kind))
]
PICTURES = [path.relative_to(ROOT).as_posix() for path in sorted(STATIC.glob("samples/*"))]
LINKED = {"docs", "metrics", "version", "openapi.json", "static/icon.svg", "static/js/main.js"}


def test_the_pages_policy_allows_only_our_own_files(client):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
    assert set(linked) == LINKED | {path for path in TEXTS if path.endswith(".css")}
    assert not re.search(r"<script>|<style|\son\w+=|style=", answer.text)


@pytest.mark.parametrize("asset", TEXTS)
def test_assets_are_served_and_name_no_other_site(client, asset):
    answer = client.get(f"/{asset}")
    assert answer.status_code == 200
    named = set(re.findall(r"https?://[^\s\"'/<]+", answer.text))
    assert named <= {"http://www.w3.org", "http://localhost:8000"}
    for module in re.findall(r'^import .*"\./(.+)";$', answer.text, re.MULTILINE):
        assert f"static/js/{module}" in TEXTS


@pytest.mark.parametrize("picture", PICTURES)
def test_sample_faces_are_marked_as_generated(client, picture):
    answer = client.get(f"/{picture}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert b"trainedAlgorithmicMedia" in answer.content
    assert len(answer.content) < 100_000


def test_the_api_page_needs_no_other_site(client):
    answer = client.get("/docs")
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
    assert "/static/swagger/swagger-ui-bundle.js" in linked
    for link in linked:
        assert client.get(link).status_code == 200, link
    start = client.get("/static/docs.js").text
    assert "SwaggerUIBundle(" in start
    assert "https://" not in answer.text + start


def test_nothing_else_is_served(client):
    assert client.get("/static/../settings.py").status_code == 404
    assert client.get("/static/nothing.js").json()["code"] == "not-found"
