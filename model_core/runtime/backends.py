"""Which backends can run here."""

import shutil
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import torch._inductor.config

P = ParamSpec("P")
R = TypeVar("R")

Backend = Literal["auto", "eager", "compile", "openvino"]


def can_compile(device: str) -> bool:
    """Whether TorchInductor can run: on the CPU it needs a C++ compiler."""
    compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    return device != "cpu" or (compiler and headers)


def compile_lazily(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that TorchInductor compiles when it is first called.

    TorchInductor's cache on disk does not know for which vectors it wrote its code. Code for AVX2
    that is built again for AVX-512, because the cache was filled on another processor or under
    ATEN_CPU_CAPABILITY, writes past the end of its buffers. As a setting, the width of the vectors
    is part of the cache's key.

    Args:
        function: A function of tensors, or a module.
    """
    options: dict[str, Any] = {}
    if can_compile("cpu"):
        from torch._inductor.cpu_vec_isa import pick_vec_isa  # TorchInductor's import takes seconds

        options["cpp.simdlen"] = pick_vec_isa().bit_width()
    return torch.compile(function, options=options)


@contextmanager
def frozen_weights() -> Iterator[None]:
    """Have TorchInductor pack weights into what this thread compiles inside the block.

    As an option of torch.compile it reaches fewer passes. The setting is local to the thread, so
    that what other threads compile, or this one later, is unaffected.
    """
    with torch._inductor.config.patch(freezing=True):
        yield


def import_compiler() -> None:
    """Import what `trace_ahead` needs of TorchInductor, which takes seconds; on any thread."""
    import torch._inductor.loop_body  # noqa: F401


def trace_ahead() -> None:
    """Let TorchInductor do the trace that it caches; call before another thread compiles.

    While it runs, nn.Module's call is replaced for the whole process, so calling a module on
    another thread raises NameError.
    Source: github.com/pytorch/pytorch/pull/187589
    """
    from torch._inductor.loop_body import InterpreterShim

    InterpreterShim._dummy_gm()
