"""Time embedding and rendering of an aligned face: python benchmarks/embedding.py [--rounds N].

Compares our embedding network and generator, as in the service, with those of pSp and e4e: an
IR-SE50 with a head for every row, and a StyleGAN2 config-f. The latter have random weights, which
do not affect speed. They run as in the projects (eager float32), and again with TorchInductor in
our generator's precision.
"""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from interleave import interleave, report
from torch import Tensor

from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.images import FACE_PX
from model_core.predictor import Predictor
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.runtime.execution import Execution
from model_core.runtime.precision import choose_precision
from model_core.runtime.synthesizer import Synthesizer
from model_core.weights.cache import cache_folder

CONFIG_F = (512, 512, 512, 512, 512, 256, 128, 64, 32)
NETWORK = Path(__file__).parents[1] / "weights" / "embedding.safetensors"

Embed = Callable[[], Tensor]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    precision = choose_precision()
    predictor = Predictor.load(cache_folder(None), NETWORK)
    generator = StyleGAN2(StyleGAN2Config(widths=CONFIG_F)).eval().requires_grad_(False)
    encoder = StyleEncoder(StyleEncoderConfig(generator.num_ws)).eval().requires_grad_(False)
    face = np.random.default_rng(0).integers(256, size=(1, FACE_PX, FACE_PX, 3), dtype=np.uint8)
    img = torch.from_numpy(face).permute(0, 3, 1, 2) / 127.5 - 1
    fast = copy.deepcopy(encoder).to(precision.dtype, memory_format=torch.channels_last)
    codes: dict[str, Embed] = {
        "ours": lambda: predictor.embed(face),
        "pSp, eager float32": call(encoder, img),
        f"pSp, TorchInductor {precision.name}": call(
            compile_lazily(fast), img.to(precision.dtype, memory_format=torch.channels_last)
        ),
    }
    renders = (
        predictor.synthesize,
        Synthesizer(generator, Execution(backend="eager")),
        Synthesizer(generator, Execution("cpu", "compile", precision)),
    )
    variants: dict[str, Callable[[], object]] = {}
    for (name, embed), render in zip(codes.items(), renders, strict=True):
        variants[f"{name}: code and image"] = lambda e=embed, r=render: r(e())
        variants[f"{name}: code"] = embed
    seconds = interleave(variants, options.rounds)
    for title, part in (("embedding", "code and image"), ("embedding code alone", "code")):
        report(title, {name: seconds[f"{name}: {part}"] for name in codes})


def call(network: Callable[[Tensor], Tensor], img: Tensor) -> Embed:
    """Return a function that runs the network without gradients."""
    return torch.inference_mode()(lambda: network(img).float())


if __name__ == "__main__":
    main()
