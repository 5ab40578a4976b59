"""Time one 1024 px synthesis on each backend: python benchmarks/generator.py [--rounds N].

For comparison it also times the published inference graph, run by OpenVINO, and a StyleGAN2
config-f generator with random weights, which do not affect speed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import torch
from interleave import interleave, report

from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.networks.loading import load_generator
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.execution import Execution
from model_core.runtime.openvino import PRECISION_HINTS
from model_core.runtime.precision import choose_precision
from model_core.runtime.synthesizer import Synthesizer
from model_core.weights.cache import cache_folder
from model_core.weights.packs import original_file

CONFIG_F = (512, 512, 512, 512, 512, 256, 128, 64, 32)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--memory",
        choices=("kept", "returned"),
        default="kept",
        help="the service keeps memory",
    )
    options = parser.parse_args()
    if options.memory == "kept":
        keep_freed_memory()
    cache = cache_folder(None)
    generator, _ = load_generator(cache)
    w = generator.mapping(torch.randn(1, generator.w_dim))
    ws = w[:, None].repeat(1, generator.num_ws, 1)
    variants: dict[str, Callable[[], object]] = {}
    for backend in ("compile", "openvino", "eager"):
        execution = Execution.choose(backend=backend)
        name = f"ours, {backend}, {execution.precision.name}"
        variants[name] = call(Synthesizer(generator, execution), ws)
    variants["the published graph, OpenVINO"] = published(cache, w.numpy())
    peer = StyleGAN2(StyleGAN2Config(widths=CONFIG_F)).eval().requires_grad_(False)
    variants["StyleGAN2 config-f, eager"] = call(peer.synthesis, ws)
    title = "generator" if options.memory == "kept" else "generator memory returned"
    report(title, interleave(variants, options.rounds))


def call(synthesize: Callable[[torch.Tensor], object], ws: torch.Tensor) -> Callable[[], object]:
    """Return a function that synthesises without gradients."""
    return torch.inference_mode()(lambda: synthesize(ws))


def published(cache: Path, w: np.ndarray) -> Callable[[], object]:
    """Return a function that runs the published synthesis graph, which takes a code of W."""
    original_file(cache, "SynthesisNetwork.bin")
    graph = original_file(cache, "SynthesisNetwork.xml")
    hint = PRECISION_HINTS[choose_precision().name]
    network = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return lambda: network(w)


if __name__ == "__main__":
    main()
