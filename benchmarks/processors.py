"""Time every network, precision and backend: python benchmarks/processors.py [--emulate avx2].

Times, interleaved, the generator (also ONNX Runtime on the same graph), the generator with the
detail encoder, the embedding network, the quality metrics, polish steps, and refine steps on the
code and on the detail. --emulate avx2 limits PyTorch, oneDNN and OpenVINO to AVX2 by their
environment variables. The table marks the service's choice on this machine.
"""

import argparse
import itertools
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from emulation import add_emulate, emulate, titled
from interleave import interleave
from networks import WEIGHTS, load_networks
from tables import show
from torch import Tensor

from model_core.inversion.detail_iterator import COMPARE_EVERY, DetailIterator, DetailRender
from model_core.inversion.iterator import IteratorState, LatentIterator
from model_core.inversion.polisher import POLISHING
from model_core.inversion.rendering import DetailImages, SmallImages
from model_core.metrics.quality import Comparison
from model_core.networks.loading import (
    load_detail_encoder,
    load_generator,
    load_image_head,
    load_judge,
    load_stlpips,
)
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.runtime.background import CompileQueue
from model_core.runtime.detail import DetailEncoding, DetailRenderer
from model_core.runtime.embedder import Embedder
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.runtime.precision import BFLOAT16, FLOAT32, Precision, choose_precision
from model_core.runtime.synthesizer import Synthesizer, folded_render
from model_core.weights.cache import cache_folder
from model_core.weights.shipped import DETAIL_ENCODER, image_head

FACE_PX = 256
STEPS, DETAIL_STEPS = 3, COMPARE_EVERY

Variants = dict[str, Callable[[], object]]


class Compiling(CompileQueue):
    """A queue that compiles immediately and always uses the compiled form."""

    def defer(
        self,
        name: str,  # noqa: ARG002
        fallback: Callable[..., Any],  # noqa: ARG002
        make: Callable[[], Callable[..., Any]],
        call: Callable[..., object],  # noqa: ARG002
    ) -> Callable[..., Any]:
        """Return the compiled form."""
        return make()


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    add_emulate(parser)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    emulate(options.emulate)
    keep_freed_memory()
    chosen = choose_precision()
    print(f"{torch.backends.cpu.get_cpu_capability()}, {chosen.name}: {chosen.reason}")
    cache = cache_folder(None)
    for network in options.networks:
        variants_of = NETWORKS[network]
        variants: Variants = {}
        for precision in (FLOAT32, BFLOAT16):
            if precision.name in options.dtypes:
                variants |= variants_of(cache, precision)
        seconds = interleave(variants, options.rounds)
        tell(network, seconds, options.emulate, chosen)


def tell(
    network: str, seconds: dict[str, list[float]], emulated: str | None, chosen: Precision
) -> None:
    """Print and save the medians, and each variant's ratio to the fastest."""
    median_s = {name: statistics.median(values) for name, values in seconds.items()}
    least_s = min(median_s.values())
    rows: list[dict[str, object]] = [
        {
            "variant": name,
            "median, ms": took_s * 1e3,
            "relative to the fastest": took_s / least_s,
            "in the service's precision": "yes" if chosen.name in name else "",
        }
        for name, took_s in median_s.items()
    ]
    show(titled(f"processors {network}", emulated), rows)


def generator_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of one 1024 px synthesis."""
    generator, _ = load_generator(cache)
    ws = generator.w_mean.repeat(1, generator.num_ws, 1)
    variants: Variants = {}
    for backend in ("eager", "openvino", "compile"):
        synthesizer = Synthesizer(generator, Execution("cpu", backend, precision))
        variants[f"{backend} {precision.name}"] = lambda s=synthesizer: s(ws)
    if precision is FLOAT32:
        variants["ONNX Runtime float32"] = by_onnxruntime(folded_render(generator), ws)
    return variants


def by_onnxruntime(network: torch.nn.Module, ws: Tensor) -> Callable[[], object]:
    """Export a network and run it with ONNX Runtime on as many threads as torch uses."""
    import onnxruntime  # from the extra [bench]

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "generator.onnx")
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the newer exporter needs onnxscript
            torch.onnx.export(network, (ws,), file, dynamo=False)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: ws.numpy()}
    return lambda: session.run(None, given)


def executions(precision: Precision) -> dict[str, Execution]:
    """Ways to run a network that every backend can run, by backend."""
    return {
        "eager": Execution("cpu", "eager", precision),
        "openvino": Execution("cpu", "openvino", precision),
        "compile": Execution("cpu", "auto", precision, Compiling()),
    }


def detailed_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of encoding a detail and rendering its code with it.

    A service uses the faster form of each of the three networks involved.
    """
    generator, fingerprint = load_generator(cache)
    loaded = load_detail_encoder(DETAIL_ENCODER, generator, fingerprint)
    face = torch.zeros(1, FACE_PX, FACE_PX, 3).permute(0, 3, 1, 2)
    mean = generator.w_mean.repeat(1, generator.num_ws, 1)
    variants: Variants = {}
    for backend, execution in executions(precision).items():
        renderer = DetailRenderer(generator, *loaded, execution)
        codes = itertools.cycle([mean, 0.9 * mean])  # the features of the last code are kept
        variants[f"{backend} {precision.name}"] = lambda r=renderer, c=codes: detailed(r, face, c)
    return variants


def detailed(renderer: DetailRenderer, face: Tensor, codes: Iterator[Tensor]) -> Tensor:
    """Render the next code with a face's detail."""
    ws = next(codes)
    return renderer(ws, renderer.encode(face, ws))


def embedding_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of embedding one face."""
    _, network, _ = load_networks(cache, WEIGHTS / "image_head_128.safetensors")
    face = torch.zeros(1, FACE_PX, FACE_PX, 3).permute(0, 3, 1, 2)
    variants: Variants = {}
    for backend, execution in executions(precision).items():
        embed = Embedder(network, execution)
        variants[f"{backend} {precision.name}"] = lambda e=embed: e(face, face)
    return variants


def quality_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of one answer's quality metrics."""
    generator, _, _ = load_networks(cache, WEIGHTS / "image_head_128.safetensors")
    lpips, judge, px = load_stlpips(cache), load_judge(cache), generator.img_resolution
    face = torch.zeros(1, FACE_PX, FACE_PX, 3).permute(0, 3, 1, 2)
    img = torch.from_numpy(np.zeros((1, px, px, 3), np.float32)).permute(0, 3, 1, 2)
    variants: Variants = {}
    for backend in ("eager", "compile"):
        execution = executions(precision)[backend]
        compare = Comparison(lpips, judge and IdentityJudge(judge, execution), execution)
        variants[f"{backend} {precision.name}"] = lambda c=compare: c(face, img)
    return variants


def polish_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of steps with the 128 px head."""
    return step_variants(cache, precision, WEIGHTS / "image_head_128.safetensors")


def refine_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of steps with the full generator."""
    return step_variants(cache, precision, None)


def step_variants(cache: Path, precision: Precision, head_file: Path | None) -> Variants:
    """Variants of iterator steps, eager and compiled."""
    generator, _, head = load_networks(cache, head_file or WEIGHTS / "image_head_128.safetensors")
    lpips = load_stlpips(cache).to(precision.dtype)
    px = head.config.img_px if head_file else FACE_PX
    ws, target = generator.w_mean.repeat(1, generator.num_ws, 1), torch.zeros(1, 3, px, px)
    images = SmallImages(generator, px, head if head_file else None, precision.dtype)
    written = SmallImages(generator, px, head if head_file else None, precision.dtype, folded=False)
    variants: Variants = {}
    for backend, render in (("eager", written), ("compile", compile_lazily(images))):
        iterator = LatentIterator(render, lpips, POLISHING)
        variants[f"{backend} {precision.name}"] = lambda i=iterator: i.run(
            IteratorState.start(ws), target, STEPS, score_last=False
        )
    return variants


def detail_variants(cache: Path, precision: Precision) -> Variants:
    """Variants of steps on the detail, with the 256 px head."""
    generator, fingerprint = load_generator(cache)
    head = load_image_head(image_head(FACE_PX), fingerprint)
    execution = Execution("cpu", "eager", precision)
    loaded = load_detail_encoder(DETAIL_ENCODER, generator, fingerprint)
    encoder = DetailEncoding(generator, *loaded, execution).encoder
    true, cheap = (
        DetailImages(
            SmallImages(generator, FACE_PX, each, precision.dtype), encoder, precision.dtype
        )
        for each in (None, head)
    )
    lpips = load_stlpips(cache).to(precision.dtype)
    ws, target = (
        generator.w_mean.repeat(1, generator.num_ws, 1),
        torch.zeros(1, 3, FACE_PX, FACE_PX),
    )
    config = encoder.config
    details = torch.randn(1, config.bottleneck, config.features_px, config.features_px)
    variants: Variants = {}
    for backend, render in (("eager", cheap), ("compile", compile_lazily(cheap))):
        iterator = DetailIterator(DetailRender(true.features, true, render), lpips)
        variants[f"{backend} {precision.name}"] = lambda i=iterator: i.run(
            i.start(details, target), ws, target, DETAIL_STEPS
        )
    return variants


NETWORKS = {
    "generator": generator_variants,
    "image with its detail": detailed_variants,
    "embedding network": embedding_variants,
    "quality": quality_variants,
    f"{STEPS} polish steps": polish_variants,
    f"{STEPS} refine steps": refine_variants,
    f"{DETAIL_STEPS} detail steps": detail_variants,
}


if __name__ == "__main__":
    main()
