"""From an aligned face to its 1024 px image: python benchmarks/embedding.py [--rounds N].

Beside our embedding network and generator stand those that pSp and e4e put together: an IR-SE50
with a head for every row, and a StyleGAN2 config-f. Theirs have random weights, on which speed does
not depend; they run as the projects run them (eager float32), and once more compiled in bfloat16.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from interleave import interleave, report
from torch import Tensor

from model_core.checkpoints.layout import cache_folder
from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.heap import keep_freed_memory
from model_core.loading import load_embedding_network, load_generator
from model_core.synthesizer import Synthesizer

CONFIG_F = (512, 512, 512, 512, 512, 256, 128, 64, 32)
NETWORK = Path(__file__).parents[1] / "weights" / "embedding.safetensors"
FACE_PX = 256

Embed = Callable[[], Tensor]


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    keep_freed_memory()
    cache = cache_folder(None)
    generator, fingerprint = load_generator(cache)
    network = load_embedding_network(NETWORK, cache, generator, fingerprint)
    network.to(memory_format=torch.channels_last)
    rival_generator = StyleGAN2(StyleGAN2Config(widths=CONFIG_F)).eval().requires_grad_(False)
    rival = StyleEncoder(StyleEncoderConfig(rival_generator.num_ws)).eval().requires_grad_(False)
    ways = both("ours", embedder(network, torch.bfloat16), Synthesizer(generator))
    eager = embedder(rival, torch.float32), Synthesizer(rival_generator, backend="eager")
    ways |= both("pSp's, eager float32", *eager)
    fast = torch.compile(rival.to(memory_format=torch.channels_last))
    ways |= both(
        "pSp's, compiled bfloat16", embedder(fast, torch.bfloat16), Synthesizer(rival_generator)
    )
    report("embedding", interleave(ways, options.rounds))


def embedder(network: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Embed:
    """Return a call that embeds a face, under autocast where dtype asks for it."""
    face = torch.rand(1, 3, FACE_PX, FACE_PX, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def embed() -> Tensor:
        reduced = dtype == torch.bfloat16
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            return network(face).float()

    return embed


def both(name: str, embed: Embed, synthesize: Synthesizer) -> dict[str, Callable[[], object]]:
    """Return a call of encoder and generator, and one of the encoder alone."""
    return {name: lambda: synthesize(embed()), f"{name}: the code alone": embed}


if __name__ == "__main__":
    main()
