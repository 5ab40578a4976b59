"""PyAV, which only films need."""

from types import ModuleType

from model_core.errors import MissingExtraError


def load_av() -> ModuleType:
    """Import PyAV.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            f"films need the package {err.name}: pip install 'wplus[film]'"
        ) from err
    # Its log stays off, as it is by default: a decoder's threads that log wait for Python's lock,
    # which whoever closes the decoder holds while waiting for them.
    return av
