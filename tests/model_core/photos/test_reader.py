"""Photos as cameras, phones and programs write them: what is shown is what is read."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from model_core.errors import BrokenImageError, TooManyPixelsError, UnsupportedImageError
from model_core.photos.profiles import (
    ADOBE_PRIMARIES,
    PRIMARIES,
    SRGB_PRIMARIES,
    matrix_profile,
    power,
    srgb,
)
from model_core.photos.reader import PhotoLimits, harden, read_photo

LINEAR = matrix_profile(SRGB_PRIMARIES, power(1.0))
P3 = matrix_profile(PRIMARIES[12], srgb)
# The same colours in sRGB, in linear light, and sRGB's in Display P3 (CSS Color 4's samples).
SRGB_COLOURS = np.array([[255, 0, 0], [128, 128, 128], [200, 120, 60]], np.uint8)
P3_COLOURS = np.array([[234, 51, 35], [128, 128, 128], [189, 124, 71]], np.uint8)


@pytest.fixture(autouse=True)
def _hardened():
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        harden(PhotoLimits(max_pixels=51_000_000))
        yield
    Image.MAX_IMAGE_PIXELS = before


def read(data, **limits):
    return read_photo(data, PhotoLimits(**limits)).pixels


def encode(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def stripes(colours):
    """Twenty columns of each colour."""
    return Image.fromarray(np.repeat(np.asarray(colours, np.uint8)[None], 20, 1).repeat(20, 0))


def seen(data):
    """The colour in the middle of each stripe."""
    return read(data)[10, 10::20].astype(int)


def linear(colours):
    return np.rint(srgb(np.asarray(colours) / 255) * 255).astype(np.uint8)


def with_chunks(png, *chunks):
    packed = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return png[:33] + packed + png[33:]


def noise(size=(96, 80)):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    return Image.fromarray(pixels).resize((size[0] * 2, size[1] * 2))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_linear_light_is_recognised_by_its_curve_in_every_format(form):
    how = {"quality": 100} if form in ("JPEG", "WEBP", "AVIF") else {}
    how |= {"subsampling": "4:4:4"} if form in ("JPEG", "AVIF") else {}
    data = encode(stripes(linear(SRGB_COLOURS)), form, icc_profile=LINEAR, **how)
    assert np.abs(seen(data) - SRGB_COLOURS)[1:].max() < 12


def test_a_wide_gamut_is_converted_to_srgb():
    assert np.abs(seen(encode(stripes(P3_COLOURS), icc_profile=P3)) - SRGB_COLOURS).max() <= 4


def test_our_srgb_is_that_of_lcms():
    ours = io.BytesIO(matrix_profile(SRGB_PRIMARIES, srgb))
    grid = stripes(np.stack(np.meshgrid(*[range(0, 256, 51)] * 3), -1).reshape(-1, 3))
    turned = ImageCms.profileToProfile(grid, ours, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(turned).astype(int) - np.asarray(grid)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
@pytest.mark.parametrize("profile", ["GRAY", "RGB"])
def test_grey_profiles_do_not_depend_on_the_mode(mode, profile):
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    rgb = bytearray(LINEAR)
    grey = bytes(rgb[:16]) + b"GRAY" + bytes(rgb[20:128]) + struct.pack(">I", 2)
    grey += struct.pack(">4sII4sII", b"wtpt", 156, 20, b"kTRC", 176, 14) + white + curve + b"\0\0"
    grey = struct.pack(">I", len(grey)) + grey[4:]
    image = stripes(linear(np.array([[0] * 3, [90] * 3, [160] * 3, [255] * 3]))).convert(mode)
    data = encode(image, icc_profile=grey if profile == "GRAY" else LINEAR)
    wanted = np.asarray(image.convert("L"))[10, 10::20] if mode == "1" else [0, 90, 160, 255]
    assert np.abs(seen(data)[:, 0] - wanted).max() <= 3


def test_sixteen_bits_of_grey_keep_their_shadows_in_linear_light():
    levels = np.linspace(0, 1, 64)
    deep = np.rint(srgb(levels) * 65535).astype(np.uint16)
    image = Image.fromarray(np.repeat(deep[None], 64, 0))
    grey = read(encode(image, icc_profile=LINEAR))[10, :, 0].astype(int)
    assert np.abs(grey - levels * 255).max() <= 2


def test_alpha_is_composited_on_white_after_colour_conversion():
    image = stripes(linear(SRGB_COLOURS)).convert("RGBA")
    image.putalpha(128)
    wanted = SRGB_COLOURS * (128 / 255) + 255 * (127 / 255)
    assert np.abs(seen(encode(image, icc_profile=LINEAR)) - wanted).max() <= 3


GAMA_LINEAR = (b"gAMA", struct.pack(">I", 100_000))
CHRM_P3 = (b"cHRM", struct.pack(">8I", *(round(v * 1e5) for xy in PRIMARIES[12] for v in xy)))
ICC_LINEAR = (b"iCCP", b"x\0\0" + zlib.compress(LINEAR))
SRGB = (b"sRGB", b"\0")


@pytest.mark.parametrize(
    ("chunks", "as_linear"),
    [
        ([GAMA_LINEAR], True),
        ([(b"gAMA", struct.pack(">I", 45_455))], False),
        ([(b"gAMA", b"\0\0\0\0")], False),
        ([(b"gAMA", b"\0")], False),
        ([GAMA_LINEAR, SRGB], False),
        ([ICC_LINEAR, SRGB], True),
        ([(b"cICP", bytes([1, 13, 0, 1])), ICC_LINEAR], False),
        ([(b"cICP", bytes([1, 8, 0, 1])), SRGB], True),
        ([(b"cICP", bytes([2, 2, 0, 1])), ICC_LINEAR], True),
        ([(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")), GAMA_LINEAR], True),
    ],
)
def test_png_colour_chunks_apply_in_the_standards_order(chunks, as_linear):
    dark = linear(SRGB_COLOURS)
    data = with_chunks(encode(stripes(dark)), *chunks)
    assert np.abs(seen(data) - (SRGB_COLOURS if as_linear else dark)).max() <= 3


def test_primaries_of_a_png_count():
    data = with_chunks(encode(stripes(P3_COLOURS)), (b"gAMA", struct.pack(">I", 45_455)), CHRM_P3)
    assert np.abs(seen(data) - SRGB_COLOURS).max() <= 4


def test_adobe_rgb_is_recognised_by_its_exif_mark():
    # IFD0 points to the Exif folder at 26, which points to the interoperability folder at 44.
    exif = b"Exif\0\0MM\0*\0\0\0\x08"
    exif += b"\0\x01" + struct.pack(">HHII", 0x8769, 4, 1, 26) + b"\0" * 4
    exif += b"\0\x01" + struct.pack(">HHII", 0xA005, 4, 1, 44) + b"\0" * 4
    exif += b"\0\x01" + struct.pack(">HHI4s", 1, 2, 4, b"R03\0") + b"\0" * 4
    profile = matrix_profile(ADOBE_PRIMARIES, power(563 / 256))
    wanted = seen(encode(stripes([[180, 120, 60]]), icc_profile=profile))
    got = seen(
        encode(stripes([[180, 120, 60]]), "JPEG", exif=exif, quality=100, subsampling="4:4:4")
    )
    assert np.abs(got - wanted).max() <= 4


def test_lab_and_cmyk_tiffs_are_read():
    lab = ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(
        stripes(SRGB_COLOURS), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
    )
    assert np.abs(seen(encode(image, "TIFF")) - SRGB_COLOURS).max() <= 6
    cmyk = encode(stripes(SRGB_COLOURS).convert("CMYK"), "TIFF")
    assert np.abs(seen(cmyk) - SRGB_COLOURS).max() <= 6


@pytest.mark.parametrize(
    "chunk",
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(b"1," * 2_000_000)),
        (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"1" * 70_000_000)),
        (b"tEXt", b"\xff" * 1000),
        (b"iCCP", b"x\0\0" + zlib.compress(bytes(5_000_000))),
        (b"acTL", b"\0"),
        (b"pHYs", b""),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
def test_ancillary_chunks_do_not_prevent_reading_a_png(chunk):
    plain = encode(noise())
    assert (read(with_chunks(plain, chunk)) == read(plain)).all()


def test_unusual_segments_do_not_prevent_reading_a_jpeg():
    plain = encode(noise(), "JPEG", quality=90)
    odd = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
        for marker, body in (
            (0xE2, b"MPF\0\xff\xff"),
            (0xE1, b"Exif\0\0II"),
            (0xED, b"Photoshop 3.0\0"),
        )
    )
    assert (read(plain[:2] + odd + plain[2:]) == read(plain)).all()


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"quality": 30}], ids=str)
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_may_lack_its_end_marker(how, cut):
    data = encode(noise(), "JPEG", **how)
    assert (read(data[:-cut]) == read(data)).all()
    assert (read(data[:-2] + b"\0" * 100) == read(data)).all()


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("cut", [8, 40, 400, 4000])
def test_a_jpeg_that_lacks_pixels_is_refused(how, cut):
    with pytest.raises(BrokenImageError):
        read(encode(noise(), "JPEG", quality=90, **how)[:-cut])


def test_photos_of_phones_are_read_within_bounds():
    large = encode(Image.new("L", (16_384, 12_288), 120), "JPEG", quality=30)
    photo = read_photo(large, PhotoLimits(max_pixels=51_000_000))
    assert (photo.pixels.shape, photo.scale) == ((3072, 4096, 3), 4.0)
    with pytest.raises(TooManyPixelsError, match="at most 51000000 pixels, got 9000x6000, 5400"):
        read(encode(Image.new("L", (9000, 6000), 120), "JPEG", progressive=True))


@pytest.mark.parametrize("form", ["TIFF", "BMP"])
def test_slow_and_rare_codecs_are_refused(form):
    if form == "TIFF":
        data = encode(Image.new("1", (100, 100)), "TIFF", compression="group4")
    else:
        data = bytearray(encode(Image.new("P", (100, 100)), "BMP"))
        data[30:34] = struct.pack("<I", 1)  # says that it is run-length encoded
        data = bytes(data)
    with pytest.raises(UnsupportedImageError, match="unusual compression"):
        read(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_is_turned_upright(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (60, 40), "white")
    stored.paste((200, 0, 0), (0, 0, 30, 20))
    upright = {
        1: (0, 0),
        2: (0, 1),
        3: (1, 1),
        4: (1, 0),
        5: (0, 0),
        6: (0, 1),
        7: (1, 1),
        8: (1, 0),
    }[orientation]  # row and column of the red quarter
    pixels = read(encode(stored, form, exif=exif))
    assert pixels.shape == ((60, 40, 3) if orientation > 4 else (40, 60, 3))
    height, width, _ = pixels.shape
    middle = pixels[
        height // 4 + upright[0] * height // 2, width // 4 + upright[1] * width // 2
    ].astype(int)
    assert middle[0] > 150
    assert middle[1] < 60


def test_a_server_bug_is_not_a_client_error(monkeypatch):
    monkeypatch.setattr("model_core.photos.reader.to_srgb", lambda img, *_: img.nothing)
    with pytest.raises(AttributeError):
        read(encode(noise()))


def test_out_of_memory_is_not_a_client_error(monkeypatch):
    def fail(_self):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(MemoryError):
        read(encode(noise()))
