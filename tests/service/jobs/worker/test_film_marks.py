"""The marks of edited films: XMP in a box that players skip, and a signature of the whole file."""

import pytest

from model_core.output.provenance import COMPOSITE, SOURCE_TYPES
from service.errors import SigningError
from service.jobs.worker.film_marks import XMP_BOX, FilmMarker
from service.wire.signing import ContentSigner
from tests.service import films
from tests.service.certificates import write_certificate
from tests.service.wire.test_signing import read


@pytest.fixture
def signer(tmp_path):
    return ContentSigner(*write_certificate(tmp_path), None, "1.2")


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(films.film(3))
    return path


def test_xmp_is_in_a_box_of_its_own_at_the_end(film):
    before = film.read_bytes()
    FilmMarker("1.2 (fake)", None).mark(film)
    after = film.read_bytes()
    box = after[len(before) :]
    assert after.startswith(before)
    assert (int.from_bytes(box[:4]), box[4:8], box[8:24]) == (len(box), b"uuid", XMP_BOX)
    assert (SOURCE_TYPES + COMPOSITE).encode() in box
    assert (films.decoded(after)[0] == films.decoded(before)[0]).all()


def test_a_film_is_signed_and_a_change_is_found(film, signer):
    plain = films.decoded(film.read_bytes())
    FilmMarker("1.2 (fake)", signer).mark(film)
    data = film.read_bytes()
    assert read("video/mp4", data) == ("Valid", COMPOSITE)
    assert (films.decoded(data)[0] == plain[0]).all()
    spoilt = bytearray(data)
    spoilt[data.index(b"mdat") + 100] ^= 1
    assert read("video/mp4", bytes(spoilt))[0] == "Invalid"
    assert [path.name for path in film.parent.glob("*film*")] == ["film.mp4"]


def test_a_film_that_cannot_be_signed_is_refused_before_it_is_edited(tmp_path, signer):
    FilmMarker("1.2", None).check(tmp_path / "film.mkv")
    FilmMarker("1.2", signer).check(tmp_path / "film.mov")
    with pytest.raises(SigningError, match="send it with its sound as AAC"):
        FilmMarker("1.2", signer).check(tmp_path / "film.mkv")
