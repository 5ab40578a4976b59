"""The latents of prepared faces, and everything that they depend on."""

from typing import Any

from model_core.latents.latent import Detail, Latent
from model_core.predictor import Predictor
from model_core.shapes import Codes, Faces

FACES_AT_ONCE = 4


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
