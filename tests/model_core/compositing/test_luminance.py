import numpy as np
from PIL import Image

from model_core.compositing.luminance import with_luminance


def test_luminance_comes_from_the_one_and_colour_from_the_other():
    colored = np.full((32, 32, 3), (180, 90, 60), np.uint8)
    grey = np.broadcast_to(np.linspace(60, 160, 32).astype(np.uint8)[:, None], (32, 32, 3))
    grey = grey.transpose(1, 0, 2).copy()
    grey[...] = grey[..., :1]
    mixed = with_luminance(colored, grey)
    as_ycc = [np.asarray(Image.fromarray(p).convert("YCbCr")) for p in (mixed, grey, colored)]
    assert np.abs(as_ycc[0][..., 0].astype(int) - as_ycc[1][..., 0]).max() <= 2
    assert np.abs(as_ycc[0][..., 1:].astype(int) - as_ycc[2][..., 1:]).max() <= 3
