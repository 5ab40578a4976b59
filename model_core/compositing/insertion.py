"""Put the changed face of a photo back, in the way that suits the change."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from model_core.compositing.luminance import with_luminance
from model_core.compositing.pasting import Blend, Pasted, choose_blend, render, transfer
from model_core.pixels import Pixels, SquarePixels

BlendChoice = Literal["auto", Blend]
"""`transfer` or `render`; auto takes transfer unless the change moves the face."""


def insert(
    photo: Pixels,
    quad: Float[np.ndarray, "4 2"],
    new: SquarePixels,
    own: SquarePixels | None,
    blend: BlendChoice = "auto",
    keep_luminance: bool = False,
) -> tuple[SquarePixels, Pasted]:
    """Put a changed face into its photo.

    Args:
        photo: The photo, which is changed.
        quad: The corners of the face's crop, as in `AlignedFace`.
        new: Render of the changed face, in the crop's frame.
        own: Render of the photo's own face, without which nothing can be transferred; None if
            there is none.
        blend: How the face is pasted; without an own face, always `render`.
        keep_luminance: Whether the new face takes the luminance of the own one.

    Returns:
        The face as it was pasted, and what pasting has done.
    """
    if own is None:
        return new, render(photo, quad, new)
    if keep_luminance:
        new = with_luminance(new, own)
    if blend == "auto":
        # The photo's own brightness stays where only a difference of colours is added.
        blend = "transfer" if keep_luminance else choose_blend(own, new)
    if blend == "transfer":
        return new, transfer(photo, quad, own, new)
    return new, render(photo, quad, new, own)
