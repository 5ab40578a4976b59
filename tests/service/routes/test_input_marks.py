"""The AI mark of a photo, on images that show it and on those that do not."""

import pytest

from model_core.output.encoding import encode_image
from model_core.output.provenance import COMPOSITE, GENERATED, SOURCE_TYPES, xmp_packet
from tests.model_core.output.test_encoding import mark_of
from tests.model_core.output.test_input_marks import ATTRIBUTES, CAPTURE, ELEMENTS, PIXELS, photo


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
