"""Measures of a face from its pixels, at places that its 68 landmarks name.

Faces are 256 px FFHQ crops. Places are in units of the distance between the eyes, from the middle
between them, x along the line that joins them and y down at right angles to it.
"""

import numpy as np
from jaxtyping import Float64, UInt8

from model_core.alignment.landmarks import LEFT_EYE, RIGHT_EYE

Face = UInt8[np.ndarray, "height width 3"]
Landmarks = Float64[np.ndarray, "68 2"]
Grey = Float64[np.ndarray, "rows columns"]

BRIGHTNESS = np.array([0.299, 0.587, 0.114])
STEP = 1 / 40  # of the distance between the eyes: samples are closer than pixels
# Left, top, right, bottom of what is compared.
BRIDGE = (-0.16, -0.12, 0.16, 0.22)  # where glasses join, between the inner corners of the eyes
HAIR = (-0.55, -1.55, 0.55, -1.15)  # above the hairline of most faces
CHEEKS = ((-0.62, 0.38, -0.38, 0.62), (0.38, 0.38, 0.62, 0.62))


def glasses(face: Face, landmarks: Landmarks) -> float:
    """Measure how much the bridge of the nose has of a bridge of glasses.

    The largest mean change of brightness, from row to row, of a row across the nose's bridge.
    """
    grey = _sample(face, landmarks, BRIDGE)
    steps = np.abs(grey[2:] - grey[:-2]).mean(axis=1)
    return float(steps.max() - np.median(steps))


def beard(face: Face, landmarks: Landmarks) -> float:
    """Measure how much darker lip and chin are than the cheeks; 0 is the same, 1 black on white."""
    skin = 255 * skin_tone(face, landmarks)
    darker = [1 - np.median(_sample_points(face, at)) / max(skin, 1) for at in _zones(landmarks)]
    return float(np.mean(darker))


def skin_tone(face: Face, landmarks: Landmarks) -> float:
    """Measure how light the cheeks are, 0 to 1: skin and light together."""
    cheeks = np.concatenate([_sample(face, landmarks, box).ravel() for box in CHEEKS])
    return float(np.median(cheeks) / 255)


def hair_tone(face: Face, landmarks: Landmarks) -> float:
    """Measure how light the hair above the forehead is, 0 to 1."""
    return float(np.median(_sample(face, landmarks, HAIR)) / 255)


def gaze(face: Face, landmarks: Landmarks) -> float:
    """Measure how far the irises lie to the image's right in the eyes, in widths of an eye.

    No direction is fitted to it: what moved the irises by a tenth of an eye moved the light more.
    """
    shifts = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        left, right = landmarks[eye][0], landmarks[eye][3]
        top, bottom = landmarks[eye][[1, 2]].mean(axis=0), landmarks[eye][[4, 5]].mean(axis=0)
        # (rows, columns, 2): a grid from corner to corner, over the middle of the eye's height.
        across = np.linspace(0.12, 0.88, 33)[None, :, None]
        down = np.linspace(-0.3, 0.3, 9)[:, None, None]
        grid = left + across * (right - left) + down * (bottom - top)
        darkness = 255 - _sample_points(face, grid.reshape(-1, 2)).reshape(9, 33)
        column = darkness.mean(axis=0)
        weight = np.clip(column - np.quantile(column, 0.5), 0, None) ** 2
        shifts.append((weight @ (across[0, :, 0] - 0.5)) / max(weight.sum(), 1e-9))
    return float(np.mean(shifts))


def _zones(landmarks: Landmarks) -> list[Float64[np.ndarray, "n 2"]]:
    """Return points of the upper lip's zone, and of the chin's."""
    lip = _strip(landmarks[[31, 33, 35]], landmarks[[50, 51, 52]], 0.35, 0.8)
    chin = _strip(landmarks[[58, 57, 56]], landmarks[[7, 8, 9]], 0.3, 0.75)
    return [lip, chin]


def _strip(
    upper: Float64[np.ndarray, "3 2"], lower: Float64[np.ndarray, "3 2"], start: float, end: float
) -> Float64[np.ndarray, "n 2"]:
    """Return points between two lines, from a share of the way to another."""
    share = np.linspace(start, end, 8)[:, None, None]
    across = np.linspace(0, 2, 17)
    ends = [
        np.stack([np.interp(across, [0, 1, 2], line[:, i]) for i in (0, 1)], axis=1)
        for line in (upper, lower)
    ]
    points: Float64[np.ndarray, "n 2"] = (ends[0] + share * (ends[1] - ends[0])).reshape(-1, 2)
    return points


def _sample(face: Face, landmarks: Landmarks, box: tuple[float, float, float, float]) -> Grey:
    """Sample the brightness in a box, rows from the top."""
    right, left = landmarks[RIGHT_EYE].mean(axis=0), landmarks[LEFT_EYE].mean(axis=0)
    x_axis, middle = left - right, (left + right) / 2
    y_axis = np.array([-x_axis[1], x_axis[0]])
    x = np.arange(box[0], box[2] + STEP / 2, STEP)
    y = np.arange(box[1], box[3] + STEP / 2, STEP)
    points = middle + x[None, :, None] * x_axis + y[:, None, None] * y_axis
    return _sample_points(face, points.reshape(-1, 2)).reshape(len(y), len(x))


def _sample_points(face: Face, points: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, " n"]:
    """Read the brightness at points, between pixels too; beyond the edge it is the edge's."""
    height, width = face.shape[:2]
    x, y = points[:, 0].clip(0, width - 1.001), points[:, 1].clip(0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    rows = [face[top + i, left] * (1 - fx) + face[top + i, left + 1] * fx for i in (0, 1)]
    brightness: Float64[np.ndarray, " n"] = (rows[0] * (1 - fy) + rows[1] * fy) @ BRIGHTNESS
    return brightness
