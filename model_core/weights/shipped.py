"""Find the weights shipped with the code: embedding network, image heads and directions.

They are in `weights` in a clone, which `model_core/shipped` links to, and in `model_core/shipped`
itself in an installed wheel.
"""

from importlib.resources import files
from pathlib import Path

# Installing always unpacks a wheel, so the resource is a real folder, and networks
# can be mapped into memory from it. Resolved, because messages should name the clone's `weights`.
SHIPPED = Path(str(files("model_core") / "shipped")).resolve()

EMBEDDING_NETWORK = SHIPPED / "embedding.safetensors"
DETAIL_ENCODER = SHIPPED / "detail.safetensors"
DIRECTIONS = SHIPPED / "directions"


def image_head(img_px: int) -> Path:
    """Return the file of the default generator's image head for a size; it need not exist.

    Args:
        img_px: Side of the images that the head renders: 128 or 256.
    """
    return SHIPPED / f"image_head_{img_px}.safetensors"
