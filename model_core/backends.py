"""How networks can run here."""

import shutil
import sysconfig
from pathlib import Path
from typing import Literal

Backend = Literal["auto", "eager", "compile", "openvino"]


def can_compile(device: str) -> bool:
    """Tell whether TorchInductor can run: on the CPU it needs a C++ compiler."""
    compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    return device != "cpu" or (compiler and headers)
