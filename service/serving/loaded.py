"""What the service has loaded once it is ready: the networks, the aligner and the directions."""

from collections.abc import Mapping
from dataclasses import dataclass

from model_core.alignment.ffhq import FaceAligner
from model_core.latents.directions.library import Direction
from model_core.predictor import Predictor
from service.wire.codes import DetailId, GeneratorId


@dataclass(frozen=True, slots=True)
class Loaded:
    """Built once, when everything is loaded.

    Attributes:
        predictor: The networks; only the engine runs them, on the device thread.
        aligner: Finds faces.
        directions: What /edit can change, by name.
    """

    predictor: Predictor
    aligner: FaceAligner
    directions: Mapping[str, Direction]

    @property
    def generator(self) -> GeneratorId:
        """The generator in use."""
        predictor = self.predictor
        shape = (predictor.num_ws, predictor.w_dim)
        digest, detail_shape = predictor.detail_digest, predictor.detail_shape
        detail = DetailId(digest, detail_shape) if digest and detail_shape else None
        return GeneratorId(predictor.generator_name, predictor.fingerprint, shape, detail)
