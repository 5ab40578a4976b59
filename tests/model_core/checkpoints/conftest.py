"""The tiny pack of the weights' tests, for the command line that pulls it."""

from tests.model_core.weights.conftest import empty_cache, filled, tiny  # noqa: F401 - fixtures
