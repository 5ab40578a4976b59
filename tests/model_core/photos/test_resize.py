import numpy as np
import pytest
from PIL import Image

from model_core.photos.resize import resize_square


@pytest.mark.parametrize("size_px", [1, 2, 41, 64, 127, 128, 255, 511, 512, 513, 1000, 1024, 1999])
@pytest.mark.parametrize("side_px", [1, 2, 17, 64, 96, 256, 300])
def test_every_byte_is_as_from_one_call(size_px, side_px):
    noise = np.random.default_rng(0).integers(0, 256, (size_px, size_px, 3), np.uint8)
    image = Image.fromarray(noise)
    whole = image.resize((side_px, side_px), Image.Resampling.LANCZOS)
    found = resize_square(image, side_px)
    assert np.array_equal(found, np.asarray(whole))
    assert found.flags.writeable
