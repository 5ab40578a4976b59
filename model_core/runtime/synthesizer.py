"""Run a frozen generator fast: W+ codes in, 8-bit images out, on one of several backends."""

import copy
import logging
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from model_core.generators.contract import Generator
from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.images import to_uint8
from model_core.runtime.backends import Backend, compile_lazily, frozen_weights
from model_core.runtime.background import BackgroundCompiled
from model_core.runtime.compiled import for_inference, one_by_one
from model_core.runtime.execution import Execution
from model_core.runtime.openvino import run_by_openvino

_log = logging.getLogger(__name__)

Run = Callable[[Float[Tensor, "batch num_ws w_dim"]], UInt8[Tensor, "batch height width 3"]]


class _Render(nn.Module):
    """Codes to bytes, in the layout that image encoders read."""

    def __init__(self, generator: Generator | FoldedMobileStyleGAN):
        super().__init__()
        self.generator = generator

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> UInt8[Tensor, "batch height width 3"]:
        dtype = next(self.generator.parameters()).dtype
        img = self.generator.synthesis(ws.to(dtype)).float()
        img = to_uint8(img)
        return img.permute(0, 2, 3, 1).contiguous()


class Synthesizer:
    """Render W+ codes on one of several backends.

    A CPU renders codes one by one: a batch gains nothing there, and memory is bounded. CUDA renders
    a batch at once; its images may differ from single ones by bfloat16's rounding.

    Args:
        generator: Frozen, float32, on the CPU; copied.
        execution: How it runs. eager is the generator as written. compile is TorchInductor,
            compiled here. openvino is for the CPU. auto begins with what needs no compilation,
            OpenVINO on a CPU and eager elsewhere, and switches to TorchInductor's form (eager where
            nothing can compile) once the execution's queue has found that to be faster.
    """

    def __init__(self, generator: Generator, execution: Execution):
        self._execution = execution
        # A batch of two compiles for batches of any size; one code compiles for itself alone.
        sizes = (1,) if execution.on_cpu else (1, 2)
        self._codes = [generator.w_mean.repeat(size, generator.num_ws, 1) for size in sizes]
        self._deferred: BackgroundCompiled[[Tensor], Tensor] | None = None
        self._backends: tuple[Backend, Backend] = (execution.backend, execution.backend)
        if execution.backend == "auto":
            self._run = self._auto(generator)
        else:
            self._run = self._make(execution.backend, generator)

    @property
    def backend(self) -> Backend:
        """How codes are currently rendered."""
        fallback, alternative = self._backends
        return alternative if self._deferred and self._deferred.compiled else fallback

    @torch.inference_mode()
    def __call__(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> UInt8[Tensor, "batch height width 3"]:
        """Render codes to RGB bytes on the CPU."""
        if not self._execution.on_cpu:
            return self._run(ws.float().contiguous())
        return one_by_one(self._run)(ws.float().contiguous())

    def _auto(self, generator: Generator) -> Run:
        """Serve with what is ready, and defer what may be faster."""
        fallback, run = self._ready_at_once(generator)
        alternative: Backend = "compile" if self._execution.compiles else "eager"
        if alternative == "eager":
            _log.warning("no C++ compiler with Python's headers found: TorchInductor cannot run")
        self._backends = (fallback, alternative)
        if fallback == alternative:
            return run
        self._deferred = self._execution.queue.defer(
            "generator", run, lambda: self._make(alternative, generator), self._call
        )
        return self._deferred

    def _ready_at_once(self, generator: Generator) -> tuple[Backend, Run]:
        if self._execution.by_openvino:
            try:
                return "openvino", self._make("openvino", generator)
            except RuntimeError:
                _log.exception("OpenVINO cannot run the generator here: using plain torch")
        return "eager", self._make("eager", generator)

    def _make(self, backend: Backend, generator: Generator) -> Run:
        make = {"eager": _eager, "compile": _compiled, "openvino": _openvino}[backend]
        run = make(copy.deepcopy(generator), self._execution)
        if backend == "compile":
            with frozen_weights():
                self._call(run)
        return run

    @torch.inference_mode()
    def _call(self, run: Run) -> None:
        """Render batches of each size, which triggers compilation."""
        for codes in self._codes:
            run(codes)


def _eager(generator: Generator, execution: Execution) -> Run:
    render = _Render(generator).to(execution.device, execution.precision.dtype)
    return lambda ws: render(ws.to(execution.device)).cpu()


def _compiled(generator: Generator, execution: Execution) -> Run:
    network = _folded(generator)
    network.to(execution.device, execution.precision.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    render = compile_lazily(_Render(network))

    def run(ws: Float[Tensor, "batch num_ws w_dim"]) -> UInt8[Tensor, "batch height width 3"]:
        images: Tensor = render(for_inference(ws.to(execution.device)))
        return images.cpu()

    return run


def _openvino(generator: Generator, execution: Execution) -> Run:
    example = torch.zeros(1, generator.num_ws, generator.w_dim)
    return run_by_openvino(folded_render(generator), execution.precision, example)


def folded_render(generator: Generator) -> nn.Module:
    """Codes to bytes, with the form of a generator that backends run fastest."""
    return _Render(_folded(generator))


def _folded(generator: Generator) -> Generator | FoldedMobileStyleGAN:
    """Take over a generator, in the form that backends run fastest."""
    return FoldedMobileStyleGAN(generator) if isinstance(generator, MobileStyleGAN) else generator
