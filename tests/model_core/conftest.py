from pathlib import Path

import pytest

from model_core.predictor import Predictor

NETWORK = Path(__file__).parents[2] / "weights" / "embedding.safetensors"


@pytest.fixture(scope="session")
def network_file() -> Path:
    """The embedding network that is shipped."""
    return NETWORK


@pytest.fixture(scope="session")
def predictor(cache, network_file) -> Predictor:
    """The default predictor, on the backend that needs no compiler."""
    return Predictor.load(cache, network_file, backend="openvino")
