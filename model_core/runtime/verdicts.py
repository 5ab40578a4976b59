"""Remember which form of a network was faster here, so that no start compiles for nothing."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from model_core.atomic_file import write_file

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Times of a network's two forms, in seconds.

    Attributes:
        fallback_s: Time of the form that needs no compilation.
        compiled_s: Time of the compiled form.
        is_sure: Whether the times are worth remembering, which they are not on a busy machine.
    """

    fallback_s: float
    compiled_s: float
    is_sure: bool = True

    @property
    def compiled_wins(self) -> bool:
        """Whether the compiled form is the faster one."""
        return self.compiled_s < self.fallback_s


class Verdicts:
    """Verdicts of one set of weights on one machine, a JSON file each.

    Everything that a verdict depends on is in its file name: with a new processor, version, number
    of threads, precision, set of weights or source code, forms are measured again.

    Args:
        folder: Where they are stored; None remembers nothing.
        device: "cpu" or a CUDA device.
        dtype: Dtype of the networks.
        weights: Digests of the weights.
    """

    def __init__(self, folder: Path | None, device: str, dtype: str, weights: Mapping[str, str]):
        self._folder = folder
        self._facts = {
            "processor": processor_name(device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "openvino": _version("openvino"),
            "dtype": dtype,
            "weights": dict(sorted(weights.items())),
            "source": source_digest() if folder else "",
        }

    def read(self, name: str) -> Verdict | None:
        """Return the verdict on a network; None if there is none that can be read."""
        if self._folder is None:
            return None
        try:
            stored = json.loads(self._file(self._folder, name).read_text())
            return Verdict(float(stored["fallback_s"]), float(stored["compiled_s"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, verdict: Verdict) -> None:
        """Save the verdict on a network.

        Raises:
            OSError: If it cannot be written.
        """
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "network": name,
                "fallback_s": verdict.fallback_s,
                "compiled_s": verdict.compiled_s,
                **self._facts,
            },
            indent=2,
        )
        write_file(self._file(self._folder, name), text.encode() + b"\n")

    def _file(self, folder: Path, name: str) -> Path:
        facts = json.dumps({"network": name, **self._facts}, sort_keys=True)
        digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return folder / f"{name.replace(' ', '-')}-{digest}.json"


def _version(package: str) -> str | None:
    """Return the version of an optional package: training runs without OpenVINO."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def source_digest(package: Path = PACKAGE) -> str:
    """Return a SHA-256 of the names and contents of all source files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        try:
            content = file.read_bytes()
        except OSError:  # an editor's link, or a file that has just been deleted
            continue
        digest.update(f"{file.relative_to(package)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def processor_name(device: str) -> str:
    """Return a device's processor, with the instructions that torch uses on it."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    stated: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        stated.setdefault(key.strip(), value.strip())
    model = [stated[key] for key in ("model name", "cpu family", "model") if stated.get(key)]
    return ", ".join([" ".join(model) or name, torch.backends.cpu.get_cpu_capability()])
