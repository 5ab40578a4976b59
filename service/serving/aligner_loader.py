"""Load the face aligner that the settings ask for."""

import logging

from model_core.alignment.ffhq import FaceAligner
from model_core.weights.cache import LANDMARKS, SECOND_GLANCE, verified_path, weight_path
from service.settings import Settings

LOOKS_AT_ONCE = 2  # of one photo: for its largest face and for all others

logger = logging.getLogger("service.serving.aligner_loader")


def load_aligner(settings: Settings) -> FaceAligner:
    """Load the face aligner, without its second detector where the weights are missing.

    Raises:
        CheckpointError: If the landmark file is missing or a digest is not the pinned one.
    """
    second = None
    if weight_path(settings.cache, SECOND_GLANCE).is_file():
        second = verified_path(settings.cache, SECOND_GLANCE)
    else:
        logger.warning(
            "no second face detector in %s: some dark, turned or covered faces are not found; "
            "`python -m model_core.checkpoints pull %s` fetches it",
            settings.cache,
            SECOND_GLANCE,
        )
    return FaceAligner(verified_path(settings.cache, LANDMARKS), second, LOOKS_AT_ONCE)
