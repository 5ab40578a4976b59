"""AI marks of photos that arrive, and what becomes of them on images that show the photo."""

import io

import numpy as np
import pytest
from PIL import Image

from model_core.output.encoding import encode_image
from model_core.output.provenance import COMPOSITE, GENERATED, SOURCE_TYPES, xmp_packet
from service.wire.input_marks import InputMarks, read_marks
from tests.model_core.output.test_encoding import mark_of

PIXELS = np.full((96, 96, 3), 102, np.uint8)
ATTRIBUTES = f"""<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType='{SOURCE_TYPES}{GENERATED}'
    Iptc4xmpExt:AISystemUsed="Dreams &amp; Co" Iptc4xmpExt:AISystemVersionUsed="3"/>"""
ELEMENTS = f"""<rdf:Description><ext:DigitalSourceType>{SOURCE_TYPES}compositeSynthetic
    </ext:DigitalSourceType></rdf:Description>"""
RESOURCE = f"""<ext:DigitalSourceType rdf:resource="{SOURCE_TYPES}{COMPOSITE}"/>"""
CAPTURE = f"""<ext:DigitalSourceType>{SOURCE_TYPES}digitalCapture</ext:DigitalSourceType>"""


def photo(body, form="JPEG"):
    out = io.BytesIO()
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{body}</rdf:RDF></x:xmpmeta>'
    Image.fromarray(PIXELS).save(out, form, xmp=packet.encode())
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "marks"),
    [
        (photo(ATTRIBUTES), InputMarks(GENERATED, "Dreams & Co", "3")),
        (photo(ATTRIBUTES, "WEBP"), InputMarks(GENERATED, "Dreams & Co", "3")),
        (photo(ELEMENTS), InputMarks("compositeSynthetic")),
        (photo(RESOURCE), InputMarks(COMPOSITE)),
        (photo(CAPTURE), None),
        (photo(""), None),
        (photo(ATTRIBUTES)[:300], None),
        (b"", None),
    ],
    ids=["attributes", "webp", "elements", "resource", "camera", "none", "cut off", "empty"],
)
def test_the_mark_is_read_in_every_spelling(data, marks):
    assert read_marks(data) == marks


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_our_own_mark_is_read_back(form):
    data = encode_image(PIXELS, form, 95, xmp_packet(COMPOSITE, "1.2 (generator)"))
    assert read_marks(data) == InputMarks(COMPOSITE, "wplus", "1.2 (generator)")


@pytest.mark.parametrize(
    ("body", "source_type", "system"),
    [
        (ATTRIBUTES, GENERATED, "Dreams &amp; Co; wplus"),
        (ELEMENTS, COMPOSITE, "wplus"),
        (CAPTURE, COMPOSITE, "wplus"),
    ],
    ids=["generated", "composite", "camera"],
)
def test_a_composite_keeps_the_mark_of_its_photo(client, body, source_type, system):
    image = {"image": photo(body)}
    png = {"Accept": "image/png"}
    whole = client.post("/embed", files=image, data={"output": "photo"}, headers=png)
    colored = client.post(
        "/colorize",
        files={"gray": photo(body), "color": photo("")},
        data={"keep_luminance": "true"},
        headers=png,
    )
    for answer in (whole, colored):
        assert answer.status_code == 200, answer.text
        mark = mark_of(answer.content)
        assert mark["DigitalSourceType"] == SOURCE_TYPES + source_type
        assert mark["AISystemUsed"] == system
        assert mark["AISystemVersionUsed"].startswith("3; ") == ("Dreams" in system)
    face = client.post("/embed", files=image, headers=png)
    assert mark_of(face.content)["AISystemUsed"] == "wplus"  # shows none of the photo's pixels


def test_a_photo_changed_twice_names_this_service_once(client):
    data = encode_image(PIXELS, "png", 95, xmp_packet(COMPOSITE, "0.0.9 (older)"))
    asked = {"data": {"output": "photo"}, "headers": {"Accept": "image/jpeg"}}
    mark = mark_of(client.post("/embed", files={"image": data}, **asked).content)
    assert mark["AISystemUsed"] == "wplus"
    assert "older" not in mark["AISystemVersionUsed"]
