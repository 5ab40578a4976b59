"""The landing page: there, self-contained, and under a strict policy."""

import re

import pytest

ASSETS = ("static/app.js", "static/style.css", "static/icon.svg")


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
    assert set(linked) == {*ASSETS, "docs", "metrics", "version"}
    assert not re.search(r"<script>|<style|\son\w+=|style=", answer.text)


@pytest.mark.parametrize("asset", ASSETS)
def test_assets_are_served_and_name_no_other_site(client, asset):
    answer = client.get(f"/{asset}")
    assert answer.status_code == 200
    assert set(re.findall(r"https?://[^\s\"'/]+", answer.text)) <= {"http://www.w3.org"}


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
