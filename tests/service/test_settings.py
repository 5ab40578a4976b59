"""Settings: what is read, what is refused at start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from model_core.weights.shipped import EMBEDDING_NETWORK
from service.settings import PREFIX, Settings, UnknownVariableError, check_names


def test_defaults_serve_a_bare_machine():
    settings = Settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "cpu")
    assert settings.max_upload_bytes == 20_000_000
    assert settings.max_pixels == 51_000_000


def test_every_field_is_the_variable_of_its_name(monkeypatch):
    monkeypatch.setenv("WPLUS_PORT", "1234")
    monkeypatch.setenv("WPLUS_CACHE", "/somewhere")
    monkeypatch.setenv("WPLUS_HOST", "")
    settings = Settings()
    assert (settings.port, settings.cache) == (1234, Path("/somewhere"))
    assert settings.host == "127.0.0.1"
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_known_and_foreign_variables_are_accepted():
    known = [PREFIX + field.upper() for field in Settings.model_fields]
    with pytest.raises(UnknownVariableError) as refused:
        check_names([*known, "PATH", "wplus_port", "OTHER_WPLUS_THING", "WPLUS_QQQ"])
    assert str(refused.value) == "WPLUS_ variables must name a setting, got WPLUS_QQQ"


def test_a_misspelt_variable_is_an_error_that_names_the_right_one():
    with pytest.raises(UnknownVariableError, match=r"WPLUS_PROT \(did you mean WPLUS_PORT\?\)"):
        check_names(["WPLUS_PROT"])
    with pytest.raises(UnknownVariableError, match=r"got WPLUS_XYZZY$"):
        check_names(["WPLUS_XYZZY"])


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"max_batch": 0}, {"backend": "magic"}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_the_default_embedder_depends_on_the_generator(tmp_path):
    assert Settings().network_path == EMBEDDING_NETWORK
    settings = Settings(cache=tmp_path, generator="mine")
    assert settings.network_path is None
    encoder = tmp_path / "converted" / "mine-encoder.safetensors"
    encoder.parent.mkdir()
    encoder.touch()
    assert settings.network_path == encoder
    assert Settings(cache=tmp_path, generator="mine", network="other").network_path == Path("other")


@pytest.mark.parametrize(
    ("text", "size"),
    [("20000000", 20_000_000), ("20MB", 20_000_000), ("1.5 mb", 1_500_000), ("20MiB", 20 << 20)],
)
def test_sizes_may_have_a_unit(monkeypatch, text, size):
    monkeypatch.setenv("WPLUS_MAX_UPLOAD_BYTES", text)
    assert Settings().max_upload_bytes == size


@pytest.mark.parametrize("text", ["20 apples", "1kb", "-5", "MB"])
def test_invalid_sizes_are_refused(monkeypatch, text):
    monkeypatch.setenv("WPLUS_MAX_UPLOAD_BYTES", text)
    with pytest.raises(ValidationError):
        Settings()
