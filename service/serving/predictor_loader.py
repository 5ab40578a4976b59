"""Load the predictor that the settings ask for."""

import logging
from collections.abc import Callable

from model_core.predictor import Predictor
from model_core.weights.cache import DEFAULT_JUDGE
from service.settings import Settings

logger = logging.getLogger("service.serving.predictor_loader")

PredictorLoader = Callable[[Settings], Predictor]


def load_predictor(settings: Settings) -> Predictor:
    """Load the predictor that the settings ask for."""
    embedder = settings.network_path
    if embedder is None:
        logger.warning(
            "no embedding network for %s: only codes are accepted; set WPLUS_NETWORK to one",
            settings.generator,
        )
    predictor = Predictor.load(
        settings.cache,
        embedder,
        settings.device,
        settings.backend,
        settings.generator,
        settings.polish_head_path,
        dtype=settings.dtype,
        detail=settings.detail_encoder_path,
        defer_compile=True,
    )
    if predictor.identity_judge is None:
        logger.warning(
            "no recogniser in %s: answers will not say whether it is the same person; "
            "`python -m model_core.checkpoints pull %s` fetches it",
            settings.cache,
            DEFAULT_JUDGE,
        )
    return predictor
