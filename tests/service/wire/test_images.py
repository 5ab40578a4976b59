"""Intake of photos: what is converted, what is refused, and that nothing is decoded too early."""

import contextlib
import io
import random
import warnings

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from model_core.errors import (
    BrokenImageError,
    ImageRejectedError,
    TooManyPixelsError,
    TooSmallError,
    UnsupportedImageError,
)
from service.errors import TooLargeError
from service.wire.images import ImageLimits, harden, read_photo, read_whole_photo
from tests.service import photos

LIMITS = ImageLimits(max_bytes=5_000_000, max_pixels=1_000_000, min_side_px=64)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def hardened():
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        harden(ImageLimits())
        yield
    Image.MAX_IMAGE_PIXELS = before


def read(data, limits=LIMITS):
    return read_photo(data, limits).pixels


def gradient(mode="RGB", size=(160, 120)):
    x, y = np.meshgrid(np.linspace(20, 235, size[0]), np.linspace(20, 235, size[1]))
    image = Image.fromarray(np.stack([x, y, np.full_like(x, 90)], -1).astype(np.uint8))
    return image.convert(mode)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_the_formats_are_read(form):
    pixels = read(photos.plain((200, 100, 50), (100, 80), form))
    assert pixels.shape == (80, 100, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 4


def test_cmyk_becomes_rgb():
    image = gradient()
    pixels = read(photos.encode(image.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - np.asarray(image)).mean() < 3


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(np.uint16)
    pixels = read(photos.encode(Image.fromarray(values), "PNG"))
    assert np.abs(pixels[..., 0].astype(int) - (values >> 8)).max() <= 1


def test_sixteen_bit_colour_is_scaled_too():
    ramp = np.linspace(0, 65535, 128).astype(">u2")
    row = np.stack([ramp, ramp[::-1], ramp], -1).astype(">u2").tobytes()
    data = photos.png(128, 128, 16, (b"\0" + row) * 128)
    pixels = read(data)
    assert np.abs(pixels[0, :, 0].astype(int) - (ramp >> 8)).max() <= 1
    assert np.abs(pixels[0, :, 1].astype(int) - (ramp[::-1] >> 8)).max() <= 1


def test_a_palette_with_alpha_is_composited_on_white():
    image = Image.new("RGBA", (100, 100), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 50, 100))
    data = photos.encode(image.convert("P", palette=Image.Palette.ADAPTIVE), "PNG")
    palette = Image.open(io.BytesIO(data))
    assert palette.mode == "P"
    assert "transparency" in palette.info
    pixels = read(data)
    assert (pixels[:, :40] == 255).all()
    assert (pixels[:, 60:] == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_white(mode):
    image = Image.new(mode, (100, 100), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    assert (read(photos.encode(image, "PNG")) == 255).all()


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_bilevel_become_rgb(mode):
    pixels = read(photos.encode(gradient(mode), "PNG"))
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert pixels.std() > 10


def test_the_first_frame_of_an_mpo_is_read():
    first, second = Image.new("RGB", (128, 96), "red"), Image.new("RGB", (128, 96), "blue")
    data = photos.encode(first, "MPO", save_all=True, append_images=[second])
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    pixels = read(data)
    assert pixels.shape == (96, 128, 3)
    assert pixels[..., 0].min() > 250
    assert pixels[..., 2].max() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation):
    upright = np.zeros((80, 120, 3), np.uint8)
    upright[:40, :60] = (250, 0, 0)  # top left red, bottom right blue
    upright[40:, 60:] = (0, 0, 250)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = photos.encode(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert (read(data) == upright).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_means_upright(exif):
    assert read(photos.encode(gradient(), "JPEG", exif=exif)).shape == (120, 160, 3)


def test_a_profile_other_than_srgb_is_applied():
    linear = ImageCms.createProfile("LAB")
    data = photos.encode(gradient(), "PNG", icc_profile=ImageCms.ImageCmsProfile(linear).tobytes())
    assert read(data).shape == (120, 160, 3)  # a profile that does not fit is passed over
    data = photos.encode(gradient(), "PNG", icc_profile=b"garbage")
    assert (read(data) == np.asarray(gradient())).all()
    swapped = photos.encode(gradient(), "PNG", icc_profile=swapped_channels_profile())
    assert (read(swapped)[..., 0] != np.asarray(gradient())[..., 0]).any()


def swapped_channels_profile():
    """An sRGB profile in which the colorants of red and green have changed places."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return (
        data.replace(b"rXYZ", b"tXYZ", 1)
        .replace(b"gXYZ", b"rXYZ", 1)
        .replace(b"tXYZ", b"gXYZ", 1)
        .replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    )


def test_a_very_large_jpeg_is_decoded_at_half_its_size():
    limits = ImageLimits(max_pixels=40_000_000)
    photo = read_photo(photos.plain((10, 200, 30), (5000, 4000)), limits)
    assert photo.pixels.shape == (2000, 2500, 3)
    assert photo.scale == 2.0
    assert read_photo(photos.plain(size=(4000, 3000)), limits).scale == 1.0


def test_for_a_whole_photo_no_jpeg_is_shrunk_and_none_may_be_larger_than_others():
    limits = ImageLimits(max_pixels=40_000_000)
    data = photos.plain((10, 200, 30), (5000, 4000))
    photo = read_whole_photo(data, limits, 25_000_000)
    assert (photo.pixels.shape, photo.scale) == ((4000, 5000, 3), 1.0)
    for most in (19_999_999, 25_000_000):
        bounds = ImageLimits(max_pixels=min(most, 19_000_000))
        with pytest.raises(TooManyPixelsError, match="output=face takes larger photos"):
            read_whole_photo(data, bounds, most)


def test_a_grey_photograph_keeps_its_pixels():
    grey = Image.fromarray(skimage.data.astronaut()).convert("L")
    assert (read(photos.encode(grey, "PNG"))[..., 1] == np.asarray(grey)).all()


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is no image at all",
        b"\0" * 1000,
        b"BM is how this text begins, and it is long enough",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 200,
        b"\xff\x0a" + b"\0" * 200,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["text", "zeros", "bm", "video", "jxl", "svg"],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(
        UnsupportedImageError, match=r"image must be JPEG, PNG, WebP, .* or BMP, got"
    ):
        read(data)


def test_a_heic_error_says_what_to_send_instead():
    with pytest.raises(UnsupportedImageError, match="HEIC: export it as JPEG"):
        read(photos.heic())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_images_are_refused(form, share):
    data = photos.encode(photos.noise(), form)
    with pytest.raises(BrokenImageError):
        read(data[: int(len(data) * share)])


def test_a_huge_png_header_is_refused_before_decoding():
    with pytest.raises(TooManyPixelsError):
        read(photos.png_header(50_000, 50_000))


def test_too_many_pixels_are_refused_before_decoding():
    with pytest.raises(TooManyPixelsError, match="at most 1000000 pixels, got 1100x1000, 1100000"):
        read(photos.png_header(1100, 1000))


@pytest.mark.parametrize("side", [4500, 9000], ids=["warning", "error"])
def test_pillows_bomb_guard_gives_the_same_error(monkeypatch, side):
    with warnings.catch_warnings():
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        harden(LIMITS)
        with pytest.raises(TooManyPixelsError, match=f"at most 1000000 pixels, got {side}000"):
            read(photos.png_header(side, 1000))


def test_a_tiny_image_is_refused():
    with pytest.raises(TooSmallError, match="at least 64 pixels a side, got 300x63"):
        read(photos.plain(size=(300, 63)))


def test_too_many_bytes_are_refused():
    with pytest.raises(TooLargeError):
        read(photos.plain() + b"\0" * 5_000_000)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_of_several_pictures_the_first_is_read(form):
    pixels = read(photos.animation(form))
    assert np.abs(pixels.astype(int) - (40, 90, 10)).max() <= 6


SEEDS = [
    photos.encode(photos.noise((96, 80)), "JPEG"),
    photos.encode(photos.noise((96, 80)), "PNG"),
    photos.encode(photos.noise((96, 80)), "WEBP"),
    photos.encode(gradient("P"), "PNG"),
    photos.encode(gradient("CMYK"), "JPEG"),
    photos.animation("WEBP"),
    photos.encode(gradient(), "MPO", save_all=True, append_images=[gradient()]),
    photos.encode(photos.noise((96, 80)), "AVIF"),
    photos.encode(photos.noise((96, 80)), "TIFF", compression="tiff_lzw"),
    photos.encode(gradient("P"), "GIF"),
    photos.encode(gradient(), "BMP"),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.integers(1, 20))
def test_mutated_images_are_read_or_refused(data, seed, changes):
    rng = random.Random(seed)  # noqa: S311
    mutant = bytearray(data)
    for _ in range(changes):
        mutant[rng.randrange(min(len(mutant), rng.choice((64, 1024, 10**6))))] = rng.randrange(256)
    with contextlib.suppress(ImageRejectedError):
        assert read(bytes(mutant)).ndim == 3
