"""Write ICC profiles for colours described in other ways, so that one engine converts them all.

PNG's chunks and AVIF's boxes name primaries and a transfer function by numbers; EXIF marks Adobe
RGB. A profile with a matrix and a curve gives lcms the same result.

Source: ICC.1:2004-10 (layout, version 2.4), ITU-T H.273 (code points), PNG third edition,
ITU-R BT.2100 and BT.2408 (PQ and HLG; what is brighter than reference white is clipped).
"""

import struct
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

CURVE_POINTS = 4096
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D65, C, DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
HDR_WHITE = 203.0  # cd/m2 of reference white

Chromaticities = tuple[tuple[float, float], ...]
"""x and y of white, red, green, blue."""
Curve = Callable[[Float64[np.ndarray, "*n"]], Float64[np.ndarray, "*n"]]
"""Sample values to light, both 0 to 1."""

SRGB_PRIMARIES: Chromaticities = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_PRIMARIES: Chromaticities = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB_PRIMARIES,
    4: (C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: (C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}


def power(gamma: float) -> Curve:
    """Return the curve that raises samples to a power."""
    return lambda v: v**gamma


def srgb(v: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Return the light of sRGB samples."""
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def _bt709(v: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    return np.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45))


def _pq(v: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    root = v ** (1 / 78.84375)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return np.minimum(light ** (1 / 0.1593017578125) * 10_000 / HDR_WHITE, 1)


def _hlg(v: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    scene = np.where(v <= 0.5, v**2 / 3, (np.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return np.minimum(scene**1.2 * 1000 / HDR_WHITE, 1)


TRANSFERS: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), _bt709),
    4: power(2.2),
    5: power(2.8),
    8: power(1.0),
    13: srgb,
    16: _pq,
    18: _hlg,
}


def coded_profile(primaries: int, transfer: int) -> bytes | None:
    """Return the profile of H.273's code points; empty for sRGB, None if one is not known."""
    if (primaries, transfer) == (1, 13):
        return b""
    if primaries not in PRIMARIES or transfer not in TRANSFERS:
        return None
    return matrix_profile(PRIMARIES[primaries], TRANSFERS[transfer])


def matrix_profile(chromaticities: Chromaticities, curve: Curve) -> bytes | None:
    """Return the ICC profile of an RGB space; None if the points span no space.

    Args:
        chromaticities: White, red, green, blue.
        curve: Curve of all three channels.
    """
    xy = np.array(chromaticities, dtype=np.float64)
    if not (np.isfinite(xy).all() and (xy[:, 1] > 0).all()):
        return None
    # Rows are white, red, green and blue as X, Y, Z at luminance 1.
    xyz = np.stack([xy[:, 0], xy[:, 1], 1 - xy.sum(1)], 1) / xy[:, 1:]
    white, colorants = xyz[0], xyz[1:].T
    if abs(np.linalg.det(colorants)) < 1e-6:
        return None
    colorants = colorants * np.linalg.solve(colorants, white)  # so that they sum up to white
    cones = (BRADFORD @ D50) / (BRADFORD @ white)  # adapted to D50, in which profiles meet
    colorants = np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ colorants
    if not np.isfinite(colorants).all() or np.abs(colorants).max() > 100:
        return None
    table = curve(np.linspace(0, 1, CURVE_POINTS)).clip(0, 1) * 65535
    samples = np.rint(table).astype(">u2").tobytes()
    trc = b"curv\0\0\0\0" + struct.pack(">I", CURVE_POINTS) + samples
    tags = [(b"desc", _description()), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", _xyz(D50))]
    tags += [(b"%cXYZ" % name, _xyz(c)) for name, c in zip(b"rgb", colorants.T, strict=True)]
    tags += [(b"%cTRC" % name, trc) for name in b"rgb"]
    return _assemble(tags)


def _description() -> bytes:
    text = b"made from a file's colour tags\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78


def _xyz(values: Float64[np.ndarray, "3"]) -> bytes:
    fixed = [round(float(value) * 65536) for value in values]
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *fixed)


def _assemble(tags: list[tuple[bytes, bytes]]) -> bytes:
    """Assemble a profile: header of 128 bytes, tag table, tag data; equal data only once."""
    start = 128 + 4 + 12 * len(tags)
    body, index, places = b"", b"", dict[bytes, int]()
    for name, data in tags:
        if data not in places:
            places[data] = start + len(body)
            body += data + b"\0" * (-len(data) % 4)
        index += name + struct.pack(">II", places[data], len(data))
    header = struct.pack(">I4sI", start + len(body), b"none", 0x02400000) + b"mntrRGB XYZ "
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body
