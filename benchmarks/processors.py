"""Every network in every precision and backend: python benchmarks/processors.py [--emulate avx2].

One interleaved run: the generator (beside ONNX Runtime on the same graph), the embedding network,
the quality figures, a polish step and a refine step. --emulate avx2 runs it as on a processor that
has AVX2 alone, by what PyTorch, oneDNN and OpenVINO heed at their start. What the service would
take here is marked.
"""

import argparse
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from interleave import interleave
from networks import WEIGHTS, load_networks
from tables import show
from torch import Tensor

from model_core.inversion.iterator import IteratorState, LatentIterator
from model_core.inversion.polisher import POLISHING
from model_core.inversion.rendering import SmallImages
from model_core.metrics.quality import Comparison
from model_core.networks.loading import load_generator, load_judge, load_stlpips
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.runtime.background import CompileQueue
from model_core.runtime.embedder import Embedder
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.runtime.precision import BFLOAT16, FLOAT32, Precision, choose_precision
from model_core.runtime.synthesizer import Synthesizer, folded_render
from model_core.weights.cache import cache_folder

FACE_PX = 256
STEPS = 3
EMULATED = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OV_CPU_MAX_ISA": "AVX2",  # with oneDNN's own, or OpenVINO finds no kernels
    }
}

Ways = dict[str, Callable[[], object]]


class Compiling(CompileQueue):
    """A queue that compiles at once and takes the compiled form, whatever its speed."""

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
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--emulate", choices=EMULATED, help="another processor's instructions")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    options = parser.parse_args()
    wanted = EMULATED.get(options.emulate, {})
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)  # noqa: S606
    keep_freed_memory()
    chosen = choose_precision()
    print(f"{torch.backends.cpu.get_cpu_capability()}, {chosen.name}: {chosen.reason}")
    cache = cache_folder(None)
    for network, ways_of in NETWORKS.items():
        ways: Ways = {}
        for precision in (FLOAT32, BFLOAT16):
            if precision.name in options.dtypes:
                ways |= ways_of(cache, precision)
        seconds = interleave(ways, options.rounds)
        tell(network, seconds, options.emulate, chosen)


def tell(
    network: str, seconds: dict[str, list[float]], emulated: str | None, chosen: Precision
) -> None:
    """Print and keep the medians, and how far each way is from the fastest."""
    median_s = {name: statistics.median(values) for name, values in seconds.items()}
    least_s = min(median_s.values())
    rows: list[dict[str, object]] = [
        {
            "way": name,
            "median, ms": took_s * 1e3,
            "times the fastest": took_s / least_s,
            "in the service's precision": "yes" if chosen.name in name else "",
        }
        for name, took_s in median_s.items()
    ]
    show(f"processors {network}{f' emulated {emulated}' if emulated else ''}", rows)


def generator_ways(cache: Path, precision: Precision) -> Ways:
    """One 1024 px synthesis."""
    generator, _ = load_generator(cache)
    ws = generator.w_mean.repeat(1, generator.num_ws, 1)
    ways: Ways = {}
    for backend in ("eager", "openvino", "compile"):
        synthesizer = Synthesizer(generator, Execution("cpu", backend, precision))
        ways[f"{backend} {precision.name}"] = lambda s=synthesizer: s(ws)
    if precision is FLOAT32:
        ways["ONNX Runtime float32"] = by_onnxruntime(folded_render(generator), ws)
    return ways


def by_onnxruntime(network: torch.nn.Module, ws: Tensor) -> Callable[[], object]:
    """Export a network and run it by ONNX Runtime on as many threads as torch has."""
    import onnxruntime  # an extra: .[bench]

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


def embedding_ways(cache: Path, precision: Precision) -> Ways:
    """One face to its code."""
    _, network, _ = load_networks(cache, WEIGHTS / "image_head_128.safetensors")
    face = torch.zeros(1, FACE_PX, FACE_PX, 3).permute(0, 3, 1, 2)
    executions = {
        "eager": Execution("cpu", "eager", precision),
        "openvino": Execution("cpu", "openvino", precision),
        "compile": Execution("cpu", "auto", precision, Compiling()),
    }
    ways: Ways = {}
    for backend, execution in executions.items():
        embed = Embedder(network, execution)
        ways[f"{backend} {precision.name}"] = lambda e=embed: e(face, face)
    return ways


def quality_ways(cache: Path, precision: Precision) -> Ways:
    """The quality figures of one answer."""
    generator, _, _ = load_networks(cache, WEIGHTS / "image_head_128.safetensors")
    lpips, judge, px = load_stlpips(cache), load_judge(cache), generator.img_resolution
    face = torch.zeros(1, FACE_PX, FACE_PX, 3).permute(0, 3, 1, 2)
    img = torch.from_numpy(np.zeros((1, px, px, 3), np.float32)).permute(0, 3, 1, 2)
    executions = {
        "eager": Execution("cpu", "eager", precision),
        "compile": Execution("cpu", "auto", precision, Compiling()),
    }
    ways: Ways = {}
    for backend, execution in executions.items():
        compare = Comparison(lpips, judge and IdentityJudge(judge, execution), px, execution)
        ways[f"{backend} {precision.name}"] = lambda c=compare: c(face, img)
    return ways


def polish_ways(cache: Path, precision: Precision) -> Ways:
    """Steps through the 128 px head."""
    return step_ways(cache, precision, WEIGHTS / "image_head_128.safetensors")


def refine_ways(cache: Path, precision: Precision) -> Ways:
    """Steps through true output."""
    return step_ways(cache, precision, None)


def step_ways(cache: Path, precision: Precision, head_file: Path | None) -> Ways:
    """Steps of the iterator, eager as the generator is written and in the compiled form."""
    generator, _, head = load_networks(cache, head_file or WEIGHTS / "image_head_128.safetensors")
    lpips = load_stlpips(cache).to(precision.dtype)
    px = head.config.img_px if head_file else FACE_PX
    ws, target = generator.w_mean.repeat(1, generator.num_ws, 1), torch.zeros(1, 3, px, px)
    images = SmallImages(generator, px, head if head_file else None, precision.dtype)
    written = SmallImages(generator, px, head if head_file else None, precision.dtype, folded=False)
    ways: Ways = {}
    for backend, render in (("eager", written), ("compile", compile_lazily(images))):
        iterator = LatentIterator(render, lpips, POLISHING)
        ways[f"{backend} {precision.name}"] = lambda i=iterator: i.run(
            IteratorState.start(ws), target, STEPS, score_last=False
        )
    return ways


NETWORKS = {
    "generator": generator_ways,
    "embedding network": embedding_ways,
    "quality": quality_ways,
    f"{STEPS} polish steps": polish_ways,
    f"{STEPS} refine steps": refine_ways,
}


if __name__ == "__main__":
    main()
