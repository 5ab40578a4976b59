"""The latents of prepared faces, and everything that they depend on."""

from typing import Any

import torch

from model_core.errors import WplusError
from model_core.latents.latent import Detail, Latent
from model_core.predictor import Predictor
from model_core.shapes import Codes, Faces

FACES_AT_ONCE = 4


class DeviceLostError(WplusError):
    """The device no longer answers, so no further photo can be processed."""


def check_device(predictor: Predictor) -> None:
    """Check after a failure that the device still works, so that the failure is this photo's alone.

    Raises:
        DeviceLostError: If it does not.
    """
    try:
        torch.zeros(1, device=predictor.device).add_(1).item()
    except RuntimeError as err:
        raise DeviceLostError(
            f"device {predictor.device} no longer answers; run the same command again to continue"
        ) from err


def faces_at_once(predictor: Predictor) -> int:
    """Return how many faces to run together.

    Where batches gain nothing, one: what is computed for its detail is then there for rendering.
    """
    return FACES_AT_ONCE if predictor.batches("synthesize") else 1


def about_results(predictor: Predictor) -> dict[str, Any]:
    """Return everything that codes, images and figures depend on."""
    return {
        "generator": predictor.generator_name,
        "fingerprint": predictor.fingerprint,
        "weights": dict(sorted(predictor.weight_digests.items())),
    }


def latents_of(predictor: Predictor, faces: Faces, ws: Codes) -> list[Latent]:
    """Add details to the codes of faces, if there is a detail encoder."""
    if predictor.detail_shape is None:
        return [Latent(code) for code in ws]
    details = predictor.encode_detail(faces, ws)
    return [Latent(code, Detail(detail, code)) for code, detail in zip(ws, details, strict=True)]
