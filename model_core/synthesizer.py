"""Run a frozen generator fast: W+ codes in, 8-bit images out, by one of several backends."""

import copy
import logging
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from model_core.backends import Backend, can_compile, freeze
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.openvino_run import run_by_openvino
from model_core.swap import Swap

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
        img = ((img.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return img.permute(0, 2, 3, 1).contiguous()


class Synthesizer:
    """Render W+ codes by the backend chosen at construction.

    A CPU renders codes one by one: a batch gains nothing there, and memory is bounded. CUDA renders
    a batch at once, whose images may differ from single ones by the rounding of bfloat16.

    Args:
        generator: Frozen, float32, on the CPU; copied, with `at_once` again after `hasten`.
        device: "cpu" or a CUDA device.
        backend: eager is the float32 reference; compile is TorchInductor in bfloat16 and needs a
            C++ compiler; openvino is for the CPU; auto takes compile, or openvino where no
            compiler is found.
        at_once: Answer by a backend that needs no compilation, until auto's choice has been
            compiled after `hasten`.
    Raises:
        InvalidInputError: If the backend cannot run on the device.
    """

    def __init__(
        self,
        generator: Generator,
        device: str = "cpu",
        backend: Backend = "auto",
        at_once: bool = False,
    ):
        if backend == "openvino" and device != "cpu":
            raise InvalidInputError(f"backend must not be openvino on {device}, got openvino")
        self.device = device
        chosen = _choose(device) if backend == "auto" else backend
        make = {"eager": _eager, "compile": _compiled, "openvino": _openvino}
        self._chosen = self._interim = chosen
        if at_once and backend == "auto" and chosen == "compile":
            self._interim = "openvino" if device == "cpu" else "eager"
        self._run = make[self._interim](copy.deepcopy(generator), device)
        self._swap: Swap[[Tensor], Tensor] | None = None
        if self._interim != chosen:
            # A batch of two compiles for batches of any size, one code for itself alone.
            sizes = (1,) if device == "cpu" else (1, 2)
            codes = [generator.w_mean.repeat(size, generator.num_ws, 1) for size in sizes]
            self._run = self._swap = Swap(
                self._run,
                lambda: _run_once(make[chosen](copy.deepcopy(generator), device), codes),
                "generator",
            )

    @property
    def backend(self) -> Backend:
        """How codes are rendered at present."""
        return self._chosen if self._swap is None or self._swap.swapped else self._interim

    @property
    def dtype(self) -> str:
        """What the generator computes in; of OpenVINO's choice by the processor it is "auto"."""
        return {"eager": "float32", "compile": "bfloat16", "openvino": "auto"}[self.backend]

    def hasten(self) -> None:
        """Begin to compile what `at_once` put off, in a thread of its own."""
        if self._swap:
            self._swap.start()

    @torch.inference_mode()
    def __call__(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> UInt8[Tensor, "batch height width 3"]:
        """Render codes to RGB bytes on the CPU."""
        if self.device != "cpu":
            return self._run(ws.float().contiguous())
        return torch.cat([self._run(code[None].float().contiguous()) for code in ws])


@torch.inference_mode()
def _run_once(run: Run, codes: list[Float[Tensor, "batch num_ws w_dim"]]) -> Run:
    """Render batches of each size, which compiles what is to be compiled."""
    for batch in codes:
        run(batch)
    return run


def _choose(device: str) -> Backend:
    """Take the backend that measured fastest on the device, of those that can run."""
    if can_compile(device):
        return "compile"
    _log.warning(
        "no C++ compiler with Python's headers found: the generator runs by OpenVINO, "
        "which is slower than TorchInductor"
    )
    return "openvino"


def _eager(generator: Generator, device: str) -> Run:
    render = _Render(generator).to(device)
    return lambda ws: render(ws.to(device)).cpu()


def _compiled(generator: Generator, device: str) -> Run:
    network = _folded(generator)
    network.to(device, torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    render = torch.compile(_Render(network))

    def run(ws: Float[Tensor, "batch num_ws w_dim"]) -> UInt8[Tensor, "batch height width 3"]:
        freeze()
        images: Tensor = render(ws.to(device))
        return images.cpu()

    return run


def _openvino(generator: Generator, _device: str) -> Run:
    example = torch.zeros(1, generator.num_ws, generator.w_dim)
    return run_by_openvino(_Render(_folded(generator)), example)


def _folded(generator: Generator) -> Generator | FoldedMobileStyleGAN:
    """Take a generator over, in the form that backends run fastest."""
    return FoldedMobileStyleGAN(generator) if isinstance(generator, MobileStyleGAN) else generator
