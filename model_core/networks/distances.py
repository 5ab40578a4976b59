"""Every perceptual distance by its name."""

from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from model_core.errors import CheckpointError, InvalidInputError
from model_core.networks.loading import load_stlpips
from model_core.perceptual.stlpips import Perceptual
from model_core.perceptual.trunks import find_trunk
from model_core.perceptual.vgg_features import VggFeatures


class NoDistance(Perceptual):
    """Treats all images as equal, for losses that are MSE only."""

    name = "none"

    def features(self, img: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Return one map without channels."""
        return [img[:, :0]]


def _vgg_features(cache: Path, trunks: Path | None) -> Perceptual:
    if trunks is not None:
        return VggFeatures.torchvision(find_trunk("vgg", trunks))
    return VggFeatures.shift_tolerant(load_stlpips(cache, "vgg"))


def _lpips(trunk: str, trunks: Path | None) -> Perceptual:
    file = find_trunk(trunk, trunks)
    try:
        # The package may be missing where networks are trained.
        from model_core.perceptual.lpips import PackageLPIPS
    except ImportError as err:
        raise CheckpointError(
            f"lpips-{trunk} must have the package lpips, got none ({err}): pip install lpips"
        ) from err
    return PackageLPIPS(trunk, file)


DISTANCES: dict[str, Callable[[Path, Path | None], Perceptual]] = {
    "st-lpips-alex": lambda cache, _: load_stlpips(cache, "alex"),
    "st-lpips-vgg": lambda cache, _: load_stlpips(cache, "vgg"),
    "vgg-features": _vgg_features,
    "lpips-alex": lambda _, trunks: _lpips("alex", trunks),
    "lpips-vgg": lambda _, trunks: _lpips("vgg", trunks),
    "none": lambda _cache, _trunks: NoDistance(),
}


def load_distance(name: str, cache: Path, trunks: Path | None = None) -> Perceptual:
    """Load a perceptual distance, frozen, in float32 on the CPU.

    Args:
        name: One of DISTANCES. "vgg-features" uses torchvision's VGG-16 if a folder of trunks
            is given, else ST-LPIPS's; the result is then named "st-vgg-features".
        cache: Weights cache.
        trunks: Folder with torchvision's weights, for distances that need them.

    Raises:
        InvalidInputError: If the name is unknown.
        CheckpointError: If weights, or the package that LPIPS comes from, are missing or damaged.
    """
    if name not in DISTANCES:
        raise InvalidInputError(f"distance must be one of {sorted(DISTANCES)}, got {name!r}")
    return DISTANCES[name](cache, trunks)
