"""Edit a face in a frame: its own code and detail, rendered before and after, and pasted back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from model_core.compositing.pasting import Blend, choose_blend, render, transfer
from model_core.compositing.placement import Box
from model_core.latents.directions.library import Step
from model_core.predictor import Predictor
from model_core.shapes import Face, Pixels, SquarePixels, Ws


@dataclass(frozen=True, slots=True, eq=False)
class FaceInFrame:
    """A face to be edited.

    Attributes:
        pixels: The frame, which is changed.
        quad: The crop's corners.
        crop: The crop.
        ws: Its code, smoothed.
        strength: Share of the edit, 0 to 1.
    """

    pixels: Pixels
    quad: Float64[np.ndarray, "4 2"]
    crop: Face
    ws: Ws
    strength: float


class Retoucher:
    """Edits faces.

    Args:
        predictor: Encodes details, and renders.
        step: What is added to codes.
    """

    def __init__(self, predictor: Predictor, step: Step):
        self._predictor, self._step = predictor, step

    def retouch(self, faces: Sequence[FaceInFrame], blend: Blend) -> list[Box | None]:
        """Edit faces in their frames; return what may have changed in each."""
        boxes = []
        for face, (own, new) in zip(faces, self._renders(faces), strict=True):
            whole = face.strength >= 1 or blend == "transfer"
            before = None if whole else face.pixels.copy()
            if blend == "transfer":
                pasted = transfer(face.pixels, face.quad, own, new)
            else:
                pasted = render(face.pixels, face.quad, new, own)
            boxes.append(pasted.box)
            if before is not None:
                mixed = before + face.strength * (face.pixels.astype(np.float32) - before)
                face.pixels[:] = np.rint(mixed).astype(np.uint8)
        return boxes

    def choose_blend(self, faces: Sequence[FaceInFrame]) -> Blend:
        """Choose how to paste: by what most of some faces need, as it must not change in a film."""
        choices = [choose_blend(own, new) for own, new in self._renders(faces)]
        return "transfer" if 2 * choices.count("transfer") > len(choices) else "render"

    def _renders(self, faces: Sequence[FaceInFrame]) -> list[tuple[SquarePixels, SquarePixels]]:
        """Render faces as they are, and edited."""
        ws = torch.stack([face.ws for face in faces])
        strengths = torch.tensor([face.strength for face in faces])[:, None, None]
        edited = ws + strengths * self._step
        predictor = self._predictor
        if predictor.detail_shape is None:
            owns, news = predictor.synthesize(ws), predictor.synthesize(edited)
        else:
            # In this order, because the features of the last codes are kept.
            details = predictor.encode_detail(np.stack([face.crop for face in faces]), ws)
            owns = predictor.synthesize(ws, details)
            news = predictor.synthesize(edited, predictor.carry_detail(details, ws, edited))
        return list(zip(owns, news, strict=True))
