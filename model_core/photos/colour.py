"""Convert decoded pixels of any mode to sRGB on white, from what is known of their colours.

lcms converts any profile that it understands; whether there is anything to convert is measured,
not read from the profile's name. Alpha is removed first and composited onto white at the end,
as viewers do: half-transparent colours are mixed in sRGB.

Not covered: more than 8 bits a colour channel (Pillow decodes their upper 8), spot colours.
"""

import io

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageCms

from model_core.photos.damage import DAMAGE

WHITE = (255, 255, 255)
PROBE_STEPS = 9
UNSEEN = 2  # of 255: profiles meant to be sRGB differ by as much

Ramp = UInt8[np.ndarray, "256 3"]


def to_srgb(img: Image.Image, profiles: tuple[bytes, ...]) -> Image.Image:
    """Return an sRGB image.

    Args:
        img: Loaded, in any mode.
        profiles: ICC profiles, in the order in which to try them; unusable ones are skipped, and an
            empty one is sRGB.
    """
    colour, alpha = _split(img)
    rgb = _convert(colour, profiles)
    if alpha is None:
        return rgb
    white = Image.new("RGB", rgb.size, WHITE)
    white.paste(rgb, mask=alpha)
    return white


def _split(img: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Separate the alpha channel, or what is marked as transparent, from an image."""
    key = img.info.get("transparency")
    if img.mode.startswith("I;16"):
        if not isinstance(key, int):
            return img, None
        return img, Image.fromarray((np.asarray(img) != key).astype(np.uint8) * 255)
    if img.mode in ("La", "RGBa"):
        img = img.convert(img.mode.upper())
    elif img.mode == "PA" or (key is not None and img.mode in ("1", "L", "P", "RGB")):
        img = img.convert("LA" if img.mode in ("1", "L") else "RGBA")
    if img.mode in ("LA", "RGBA"):
        alpha = img.getchannel("A")
        opaque = alpha.getextrema() == (255, 255)
        return img.convert(img.mode[:-1]), None if opaque else alpha
    if img.mode in ("1", "P"):
        return img.convert("L" if img.mode == "1" else "RGB"), None
    return img, None


def _convert(img: Image.Image, profiles: tuple[bytes, ...]) -> Image.Image:
    """Convert with the first profile that fits the image's channels; without one, assume sRGB."""
    for profile in profiles:
        if not profile:
            break
        converted = _by_profile(img, profile)
        if converted is not None:
            return converted
    if img.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return _transformed(img, lab)
    if img.mode.startswith("I;16"):
        return _by_ramp(img, np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1))
    return img.convert("RGB")


def _by_profile(img: Image.Image, data: bytes) -> Image.Image | None:
    """Convert with a profile; None if it is damaged or does not fit the image's channels."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = profile.profile.xcolor_space.strip()
        if img.mode == "L" or img.mode.startswith("I;16"):
            mode = {"GRAY": "L", "RGB": "RGB"}.get(space)
            return None if mode is None else _by_ramp(img, _ramp(profile, mode))
        if (space, img.mode) not in (("RGB", "RGB"), ("CMYK", "CMYK"), ("Lab", "LAB")):
            return None
        return img if space == "RGB" and _is_srgb(profile) else _transformed(img, profile)
    except (ImageCms.PyCMSError, *DAMAGE):
        return None


def _transformed(img: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    rgb = ImageCms.profileToProfile(img, profile, target, outputMode="RGB")
    if rgb is None:
        raise ImageCms.PyCMSError("no image")
    return rgb


def _ramp(profile: ImageCms.ImageCmsProfile, mode: str) -> Ramp:
    """Return the output for each grey level."""
    levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(mode)
    ramp: Ramp = np.asarray(_transformed(levels, profile))[0]
    return ramp


def _by_ramp(img: Image.Image, ramp: Ramp) -> Image.Image:
    """Map the levels of a grey image of 8 or 16 bits, interpolating for the latter."""
    if img.mode == "L":
        return Image.merge("RGB", [img.point(channel.tolist()) for channel in ramp.T])
    levels: Float64[np.ndarray, n] = np.arange(65536) / 257
    steps = [np.interp(levels, np.arange(256), channel) for channel in ramp.T]
    table = np.rint(np.stack(steps, 1)).astype(np.uint8)
    return Image.fromarray(table[np.asarray(img)])


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile changes no colour visibly."""
    steps = np.linspace(0, 255, PROBE_STEPS).astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    seen = np.asarray(_transformed(Image.fromarray(probe), profile))
    return int(np.abs(seen.astype(int) - probe).max()) <= UNSEEN
