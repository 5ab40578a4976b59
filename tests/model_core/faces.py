"""A photo with a face, for tests: NASA's portrait of Eileen Collins, in the public domain."""

import numpy as np
from PIL import Image
from skimage.data import astronaut

LANDMARK_MODEL = "shape_predictor_68_face_landmarks.dat"


def portrait() -> Image.Image:
    """512 x 512 px, a face of about 90 px around (224, 125)."""
    return Image.fromarray(astronaut())


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))
