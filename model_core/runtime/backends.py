"""How networks can run here."""

import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch._inductor.config

Backend = Literal["auto", "eager", "compile", "openvino"]


def can_compile(device: str) -> bool:
    """Tell whether TorchInductor can run: on the CPU it needs a C++ compiler."""
    compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    return device != "cpu" or (compiler and headers)


@contextmanager
def frozen_weights() -> Iterator[None]:
    """Have TorchInductor pack the weights of what this thread compiles inside.

    As an option of torch.compile it reaches fewer passes. The setting is the thread's own, so that
    what other threads compile, and this one later, is left alone.
    """
    with torch._inductor.config.patch(freezing=True):
        yield


def import_compiler() -> None:
    """Import what `trace_ahead` needs of TorchInductor, which takes seconds; any thread can."""
    import torch._inductor.loop_body  # noqa: F401


def trace_ahead() -> None:
    """Let TorchInductor do the trace that it keeps; call this before another thread compiles.

    While it runs, nn.Module's call is replaced for the whole process, so that a module called in
    another thread raises NameError.
    Source: github.com/pytorch/pytorch/pull/187589
    """
    from torch._inductor.loop_body import InterpreterShim

    InterpreterShim._dummy_gm()
