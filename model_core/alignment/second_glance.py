"""Find faces that dlib's detector misses: turned far, dark, tilted or partly covered ones.

BlazeFace, full range, by OpenVINO from the file as it is published. It looks once at a copy of
192 px, in 5 to 10 ms, so it finds faces from about an eighth of the photo's length.

Source: Bazarevsky et al. 2019; MediaPipe's full-range model, Apache-2.0. Facts (anchors, scaling)
from its published graph; code our own.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from model_core.errors import CheckpointError

SIDE_PX = 192
CELLS = 48  # one anchor in the middle of each cell of 4 px
LEAST_LOGIT = 0.5  # probability .62
SAME_FACE = 0.5  # of the wider box: centres nearer than that show one face
POINTS = 6  # right eye, left eye, nose, mouth, right ear, left ear


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """A face as the second glance sees it, in the photo's plane (corner of the first pixel at 0).

    Attributes:
        centre: Middle of the box.
        width: Side of the box.
        points: Right eye, left eye and mouth, as the person would call them.
        probability: That it is a face.
    """

    centre: Float[np.ndarray, "2"]
    width: float
    points: Float[np.ndarray, "3 2"]
    probability: float


class SecondGlance:
    """The detector; one instance serves any number of threads, one after another."""

    def __init__(self, model: Path) -> None:
        """Compile the network, which takes a fraction of a second.

        Raises:
            CheckpointError: If OpenVINO cannot read the file.
        """
        import openvino  # slow to import; not needed without the file

        try:
            core = openvino.Core()
            settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            self._network = core.compile_model(core.read_model(str(model)), "CPU", settings)
        except RuntimeError as err:
            raise CheckpointError(
                f"{model} must be a network that OpenVINO reads, got {err}"
            ) from err
        self._turn = threading.Lock()  # its only request must not be used by two threads at a time
        y, x = (np.mgrid[:CELLS, :CELLS] + 0.5) / CELLS
        self._anchors = np.stack([x, y], -1).reshape(-1, 1, 2)

    def look(self, grey: Image.Image) -> list[Glimpse]:
        """Find faces in a photo's brightness, the most probable first."""
        scale = SIDE_PX / max(grey.size)
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        square = Image.new("L", (SIDE_PX, SIDE_PX))
        small = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        square.paste(ImageOps.autocontrast(small, cutoff=1))  # dark and hazy photos
        x = np.asarray(square, np.float32)[None, ..., None].repeat(3, 3) / 127.5 - 1
        with self._turn:
            out = self._network(x)
            rows, logits = (np.asarray(out[i])[0].copy() for i in (0, 1))
        # (cells, 16): centre, size and six points, each in pixels from the cell's anchor.
        pairs = rows.reshape(-1, 2 + POINTS, 2) / SIDE_PX
        places = np.concatenate([pairs[:, :1], pairs[:, 2:]], 1) + self._anchors
        ratio = np.array(grey.size) / np.array(size) * SIDE_PX  # to photo pixels, per axis
        found: list[Glimpse] = []
        for i in np.argsort(-logits[:, 0], kind="stable"):
            if logits[i, 0] < LEAST_LOGIT:
                break
            width = float((pairs[i, 1] * ratio).mean())
            centre = places[i, 0] * ratio
            glimpse = Glimpse(
                centre,
                width,
                places[i, [1, 2, 4]] * ratio,
                float(1 / (1 + np.exp(-min(logits[i, 0], 80.0)))),
            )
            lies_inside = bool(np.all((centre >= 0) & (centre < grey.size)))  # not in the padding
            if width > 1 and lies_inside and not any(_same(glimpse, other) for other in found):
                found.append(glimpse)
        return found


def _same(a: Glimpse, b: Glimpse) -> bool:
    distance = float(np.linalg.norm(a.centre - b.centre))
    return distance < SAME_FACE * max(a.width, b.width)
