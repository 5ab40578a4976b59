"""The file of API keys: what a line may be, and whom a key names."""

import hashlib

import pytest

from service.api_keys import KeyFileError, read_keys


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "keys"
        path.write_text(text)
        return path

    return write


def test_a_key_names_its_owner_and_nothing_else_does(write):
    lines = (
        f"# keys\n\nann {digest('one')}\n  bob\t{digest('two').upper()}\nann {digest('three')}\n"
    )
    keys = read_keys(write(lines))
    assert [keys.owner_of(key) for key in ("one", "two", "three")] == ["ann", "bob", "ann"]
    for stranger in ("", "One", "one ", digest("one"), "öne"):
        assert keys.owner_of(stranger) is None


def test_every_digest_is_compared_whichever_fits(write, monkeypatch):
    compared = []

    def compare(known, presented):
        compared.append(known)
        return known == presented

    monkeypatch.setattr("service.api_keys.hmac.compare_digest", compare)
    keys = read_keys(write("".join(f"o{i} {digest(str(i))}\n" for i in range(5))))
    for key in ("0", "4", "unknown"):
        compared.clear()
        keys.owner_of(key)
        assert len(compared) == 5


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must hold a key"),
        ("# none\n", "must hold a key"),
        ("secret-key-itself\n", "line 1 of .* must be a name and a SHA-256"),
        ("\nann secret-key-itself\n", "line 2 of"),
        (f"ann {'0' * 63}\n", "line 1 of"),
        (f"a/b {'0' * 64}\n", "line 1 of"),
    ],
)
def test_other_lines_are_refused_without_being_shown(write, text, rule):
    with pytest.raises(KeyFileError, match=rule) as refusal:
        read_keys(write(text))
    assert "secret" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(KeyFileError, match="nothing must be text, got FileNotFoundError"):
        read_keys(tmp_path / "nothing")
