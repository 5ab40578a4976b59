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
    av.logging.set_level(av.logging.PANIC)  # what matters is raised; the rest confuses users
    return av
