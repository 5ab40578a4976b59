"""Find the weights that come with the code: the embedding network, image heads and directions.

They lie in `weights` in a clone, which `model_core/shipped` links to, and in `model_core/shipped`
itself where a wheel was installed.
"""

from importlib.resources import files
from pathlib import Path

# A wheel is always unpacked when it is installed, so the resource is a real folder, and networks
# can be mapped into memory from it. Resolved, because messages should name the clone's `weights`.
SHIPPED = Path(str(files("model_core") / "shipped")).resolve()

EMBEDDING_NETWORK = SHIPPED / "embedding.safetensors"
DETAIL_ENCODER = SHIPPED / "detail.safetensors"
DIRECTIONS = SHIPPED / "directions"


def image_head(img_px: int) -> Path:
    """Return the file of the default generator's image head for a size; it need not exist.

    Args:
        img_px: Side of the images that the head gives: 128 or 256.
    """
    return SHIPPED / f"image_head_{img_px}.safetensors"
