"""Outgoing images: their formats, their qualities, and the mark that each of them carries."""

import io
import re

import numpy as np
import pytest
from PIL import Image, ImageSequence

from model_core.output.encoding import (
    encode_gif,
    encode_image,
    encode_webp_animation,
)
from model_core.output.provenance import COMPOSITE, GENERATED, xmp_packet

XMP = xmp_packet(GENERATED, 'wplus 1 <"fake">')
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def mark_of(data):
    """Read the mark back as other programs do: from where each format keeps XMP."""
    with Image.open(io.BytesIO(data)) as image:
        if image.format == "GIF":
            packet = re.search(rb"\x21\xff\x0bXMP DataXMP(.*?)\x01\xff\xfe", data, re.DOTALL)[1]
        else:
            packet = image.info["xmp"]
            image.info["xmp"] = packet  # Pillow parses it where defusedxml is there
    text = packet.decode() if isinstance(packet, bytes) else packet
    return dict(re.findall(r'Iptc4xmpExt:(\w+)="([^"]*)"', text))


def smooth(side=128):
    x, y = np.meshgrid(np.linspace(0, 255, side), np.linspace(0, 255, side))
    return np.stack([x, y, 255 - x], -1).astype(np.uint8)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_images_are_of_the_format_and_carry_the_mark(form):
    data = encode_image(smooth(), form, 95, XMP)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == form.upper()
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - smooth()).mean() < 3
    assert mark_of(data) == {
        "DigitalSourceType": SOURCE + "trainedAlgorithmicMedia",
        "AISystemUsed": "wplus",
        "AISystemVersionUsed": "wplus 1 &lt;&quot;fake&quot;&gt;",
    }


def test_a_composite_is_marked_as_one():
    data = encode_image(smooth(), "png", 95, xmp_packet(COMPOSITE, "1"))
    assert mark_of(data)["DigitalSourceType"] == SOURCE + "compositeWithTrainedAlgorithmicMedia"


def test_png_is_lossless():
    with Image.open(io.BytesIO(encode_image(smooth(), "png", 1, XMP))) as image:
        assert (np.asarray(image) == smooth()).all()


def test_jpeg_keeps_full_colour_resolution():
    with Image.open(io.BytesIO(encode_image(smooth(), "jpeg", 95, XMP))) as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_quality_costs_bytes(form):
    pixels = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    low, high = (len(encode_image(pixels, form, quality, XMP)) for quality in (30, 95))
    assert low < high / 2


def frames():
    return [np.full((64, 64, 3), shade, np.uint8) for shade in (20, 120, 220)]


@pytest.mark.parametrize(
    ("encode", "form"),
    [
        (lambda: encode_webp_animation(frames(), 120, 90, XMP), "WEBP"),
        (lambda: encode_gif(frames(), 120, XMP), "GIF"),
    ],
    ids=["webp", "gif"],
)
def test_animations_hold_every_frame_in_order_and_carry_the_mark(encode, form):
    data = encode()
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames, image.info["loop"]) == (form, 3, 0)
        shades = [np.asarray(f.convert("RGB")).mean() for f in ImageSequence.Iterator(image)]
        assert shades == pytest.approx([20, 120, 220], abs=3)
        assert image.info["duration"] == 120
    assert mark_of(data)["DigitalSourceType"] == SOURCE + "trainedAlgorithmicMedia"
