"""The families of generators, by the name in their sidecars."""

from collections.abc import Callable
from typing import Any

from model_core.generators.contract import Generator
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.generators.stylegan import StyleGAN, StyleGANConfig
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config


def _widths(config: dict[str, Any]) -> dict[str, Any]:
    """Convert what JSON gives to what configs take."""
    return config | {"widths": tuple(config["widths"])}


FAMILIES: dict[str, Callable[[dict[str, Any]], Generator]] = {
    "mobilestylegan": lambda config: MobileStyleGAN(MobileStyleGANConfig(**_widths(config))),
    "stylegan": lambda config: StyleGAN(StyleGANConfig(**_widths(config))),
    "stylegan2": lambda config: StyleGAN2(StyleGAN2Config(**_widths(config))),
}
"""Config, as a sidecar holds it, to an untrained generator."""
