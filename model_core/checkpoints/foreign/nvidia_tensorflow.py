"""NVIDIA's TensorFlow pickles, .pkl, of StyleGAN, StyleGAN2 and StyleGAN2-ADA: three networks each.

Source: dnnlib/tflib/network.py and training/networks*.py of NVlabs/stylegan, stylegan2 and
stylegan2-ada, for the fields, the variables' names and the settings.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from model_core.checkpoints.foreign.checks import expect
from model_core.checkpoints.foreign.contents import Foreign, Found, Layout, parts
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of
from model_core.checkpoints.foreign.stylegan_weights import FUSED_FROM_PX, stylegan_of
from model_core.checkpoints.foreign.tensors import Tensors
from model_core.errors import CheckpointError

MAPPING_LR = 0.01
KERNEL_TOLERANCE = 1e-4

NAMES = re.compile(
    r"dlatent_avg|lod|mapping/(?:Dense\d+/(?:weight|bias)|Label(?:Concat|Embed)/\w+)"
    r"|synthesis/(?:lod|noise\d+|ToRGB_lod\d+/(?:weight|bias)|\d+x\d+/Const/const"
    r"|\d+x\d+/(?:Const|Conv|Conv0_up|Conv1|ToRGB|Skip)/"
    r"(?:weight|bias|noise_strength|mod_weight|mod_bias|Noise/weight|StyleMod/(?:weight|bias)))"
)

CONVOLUTION = {"affine.weight": "mod_weight", "affine.bias": "mod_bias"}
STYLEGAN_PARTS = {
    "noise_strength": "Noise/weight",
    "style.weight": "StyleMod/weight",
    "style.bias": "StyleMod/bias",
}

REQUIRED: dict[str, tuple[object, ...]] = {
    "num_channels": (3,),
    "label_size": (0, None),
    "normalize_latents": (True,),
    "mapping_nonlinearity": ("lrelu",),
    "nonlinearity": ("lrelu",),
    "architecture": ("skip",),
    "use_styles": (True,),
    "const_input_layer": (True,),
    "use_wscale": (True,),
    "use_pixel_norm": (False,),
    "use_instance_norm": (True,),
    "fmap_const": (None,),
}
"""Settings that affect images, and the values our networks support."""

KERNELS = {"resample_kernel": (1, 3, 3, 1), "blur_filter": (1, 2, 1)}
HONOURED = ("mapping_lrmul", "conv_clamp", "fused_scale", "use_noise")
IGNORED = re.compile(
    r"truncation_.*|dlatent_.*|style_mixing_prob|randomize_noise|fmap_.*|mapping_(?:fmaps|func)"
    r"|label_fmaps|synthesis_func|func_name|structure|fused_modconv|is_.*|force_clean_graph"
    r"|return_dlatents|components"
)
"""Settings that tensor shapes already show, or that affect only how networks run or train."""


def read_nvidia_tensorflow(found: Found) -> Foreign:
    """Read the averaged generator, which is the last of the three."""
    settings = Settings(found.module)
    mapping_lr = float(settings.one("mapping_lrmul", MAPPING_LR) or MAPPING_LR)
    use_noise = bool(settings.one("use_noise", True))
    if any("/mod_" in name for name in found.state):
        source = Tensors(found.state, spell_stylegan2, _turned_stylegan2)
        source.drop("lod")  # StyleGAN2 does not grow progressively: lod exists but has no effect
        source.require(["mapping.w_avg"])
        clamp = float(settings.one("conv_clamp", None) or 0)
        foreign = stylegan2_of("nvidia-tensorflow", source, mapping_lr, clamp, use_noise=use_noise)
    else:
        foreign = _read_stylegan(found.state, settings, mapping_lr, use_noise)
    sizes = len(foreign.config["widths"])
    settings.check(
        resolution=2 << sizes,
        mapping_layers=foreign.config["mapping_layers"],
        latent_size=foreign.config["w_dim"],
        dlatent_size=foreign.config["w_dim"],
    )
    foreign.remarks += settings.remarks()
    return foreign


def _read_stylegan(
    state: Mapping[str, Any], settings: "Settings", mapping_lr: float, use_noise: bool
) -> Foreign:
    heads = [int(hit[1]) for name in state if (hit := re.match(r"synthesis/ToRGB_lod(\d+)/", name))]
    sizes = _sizes(state)
    if heads and max(heads) >= sizes:
        raise CheckpointError(f"ToRGB_lod must be below {sizes}, got {max(heads)}")
    source = Tensors(state, lambda name: _spell_stylegan(name, sizes), _turned_stylegan)
    source.require(["truncation.w_avg", "synthesis.lod"])
    source.drop("lod")  # a copy of the generator's own lod, passed on at run time
    chosen = settings.one("fused_scale", "auto")
    expect("fused_scale", chosen, True, False, "auto")
    fused: Callable[[int, int], bool] = {
        True: lambda _, __: True,
        False: lambda _, __: False,
    }.get(chosen, lambda _, px: px >= FUSED_FROM_PX)
    return stylegan_of(
        "nvidia-tensorflow", source, mapping_lr, fused, filters=False, use_noise=use_noise
    )


class Settings:
    """The settings of a generator and its two parts.

    Args:
        network: The generator's record; None if there are only variables.
    """

    def __init__(self, network: Any):
        self._stated: list[tuple[str, Any]] = []
        self._bare = network is None
        if network is not None:
            for _, part in parts(network, ("components",), "components", "/"):
                stated = part.get("static_kwargs")
                self._stated += stated.items() if isinstance(stated, dict) else ()
        for name, value in self._stated:
            if name in REQUIRED:
                expect(name, value, *REQUIRED[name])
            if name in KERNELS:
                _check_kernel(name, value)

    def one(self, name: str, default: Any) -> Any:
        """Return a setting.

        Raises:
            CheckpointError: If the parts disagree.
        """
        values = [value for stated, value in self._stated if stated == name]
        if any(value != values[0] for value in values):
            raise CheckpointError(f"{name} must be one value, got {values[:3]}")
        return values[0] if values else default

    def check(self, **facts: int) -> None:
        """Raise CheckpointError if a setting contradicts the variables."""
        for name, fact in facts.items():
            stated = self.one(name, fact)
            if stated not in (fact, None):
                raise CheckpointError(
                    f"{name} must be {fact}, as in the variables, got {str(stated)[:40]}"
                )

    def remarks(self) -> list[str]:
        """Return remarks on settings that are computed differently or unknown."""
        if self._bare:
            return ["the file has variables without settings: the originals' defaults are assumed"]
        checked = {*REQUIRED, *KERNELS, *HONOURED, "resolution", "mapping_layers", "latent_size"}
        said = []
        for name, value in dict(self._stated).items():
            if name == "num_fp16_res" or (name == "dtype" and value != "float32"):
                if value:
                    said.append("the original runs some sizes in float16; here in float32")
            elif name not in {*checked, "dtype"} and not IGNORED.fullmatch(str(name)):
                said.append(f"the setting {str(name)[:40]} is unknown and ignored")
        return said


def _check_kernel(name: str, value: Any) -> None:
    """Refuse low-pass filters other than the usual one, up to scale."""
    usual = KERNELS[name]
    taps = [tap for tap in value if isinstance(tap, int | float)] if value else []
    total = sum(taps)
    same = len(taps) == len(usual) and all(
        abs(tap * sum(usual) - ours * total) <= KERNEL_TOLERANCE * abs(total)
        for tap, ours in zip(taps, usual, strict=True)
    )
    if not same or not total:
        raise CheckpointError(
            f"{name} must be {list(usual)}, got {str(value)[:60]}: it is not supported"
        )


def variables(generator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the variables of a network's record and its components."""
    for prefix, network in parts(generator, ("variables", "components"), "components", "/"):
        yield from ((prefix + name, value) for name, value in network["variables"])


def spell_stylegan2(name: str) -> str:
    """Translate one of NVIDIA's PyTorch names to the variable's."""
    if hit := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
        return f"mapping/Dense{hit[1]}/{hit[2]}"
    if name in ("mapping.w_avg", "synthesis.b4.const"):
        return {"mapping.w_avg": "dlatent_avg"}.get(name, "synthesis/4x4/Const/const")
    hit = re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)\.(.+)", name)
    if not hit:
        return name
    px, layer, end = int(hit[1]), hit[2], hit[3]
    if end == "noise_const":
        return f"synthesis/noise{2 * (px.bit_length() - 3) - (layer == 'conv0')}"
    theirs = {"conv0": "Conv0_up", "torgb": "ToRGB"}.get(layer, "Conv" if px == 4 else "Conv1")
    return f"synthesis/{px}x{px}/{theirs}/{CONVOLUTION.get(end, end)}"


def _turned_stylegan2(name: str, value: Tensor) -> Tensor:
    """Convert a variable to torch's axes; upsampling kernels are stored flipped."""
    end = name.rpartition(".")[2]
    if end == "weight" and value.ndim == 4:
        value = value.permute(3, 2, 0, 1)
        return value.flip(2, 3) if ".conv0." in name else value
    if end == "weight" and value.ndim == 2:
        return value.T
    return value + 1 if name.endswith("affine.bias") else value


def _sizes(state: Mapping[str, Any]) -> int:
    """Return the number of sizes, from 4 px up, that have variables."""
    px = [int(hit[1][:6]) for name in state if (hit := re.match(r"synthesis/(\d+)x\d+/", name))]
    return max(max(px, default=4).bit_length() - 2, 1)


def _spell_stylegan(name: str, sizes: int) -> str:
    """Translate one of our names to the variable's."""
    if hit := re.fullmatch(r"mapping\.dense(\d+)\.(weight|bias)", name):
        return f"mapping/Dense{hit[1]}/{hit[2]}"
    if hit := re.fullmatch(r"synthesis\.output(\d+)\.(weight|bias)", name):
        return f"synthesis/ToRGB_lod{sizes - 1 - int(hit[1])}/{hit[2]}"
    hit = re.fullmatch(r"synthesis\.layer(\d+)\.(.+)", name)
    if not hit:
        return {"truncation.w_avg": "dlatent_avg", "synthesis.lod": "synthesis/lod"}.get(name, name)
    stage, second = divmod(int(hit[1]), 2)
    if hit[2] == "noise":
        return f"synthesis/noise{hit[1]}"
    theirs = (("Const", "Conv"), ("Conv0_up", "Conv1"))[stage > 0][second]
    return f"synthesis/{4 << stage}x{4 << stage}/{theirs}/{STYLEGAN_PARTS.get(hit[2], hit[2])}"


def _turned_stylegan(name: str, value: Tensor) -> Tensor:
    if name.endswith("weight"):
        return (
            value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T if value.ndim == 2 else value
        )
    return value


NVIDIA_TENSORFLOW = Layout("nvidia-tensorflow", NAMES, read_nvidia_tensorflow)
