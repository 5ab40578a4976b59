"""AI marks of photos, read back in every spelling."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from model_core.output.encoding import encode_image
from model_core.output.input_marks import (
    MAX_PACKET_BYTES,
    PACKET_END,
    PACKET_START,
    InputMarks,
    read_marks,
    xmp_after,
)
from model_core.output.provenance import COMPOSITE, GENERATED, SOURCE_TYPES, xmp_packet

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


def test_a_photo_changed_twice_after_another_system_names_this_one_once():
    first = xmp_packet(GENERATED, "1.2 (generator)", ("Dreams", "3"))
    marks = read_marks(first)
    assert marks == InputMarks(GENERATED, "Dreams; wplus", "3; 1.2 (generator)")
    _, second = xmp_after(COMPOSITE, "1.3 (generator)", marks)
    assert read_marks(second) == InputMarks(GENERATED, "Dreams; wplus", "3; 1.3 (generator)")


def test_names_lose_control_characters():
    body = ATTRIBUTES.replace("Dreams &amp; Co", "Dr\x01ea&#8;ms\n Co")
    assert read_marks(photo(body)).system == "Dreams Co"


def spellings(name):
    """Beginnings of a property, none of which has a value that ends."""
    return [f":{name}>", f":{name}='", f':{name}="', f":{name} = ", f":{name} rdf:resource = "]


@pytest.mark.parametrize("spelling", [*spellings("DigitalSourceType"), *spellings("AISystemUsed")])
def test_a_packet_made_to_be_searched_for_long_is_not(spelling):
    """This takes milliseconds; searching from each property to the end would take minutes."""
    known = f':DigitalSourceType="{GENERATED}"' if "AISystem" in spelling else ""
    body = known + spelling * ((MAX_PACKET_BYTES - 200) // len(spelling))
    started_s = time.process_time()
    read_marks(PACKET_START + body.encode() + PACKET_END)
    assert time.process_time() - started_s < 5
