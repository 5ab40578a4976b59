"""Convert another project's checkpoint to safetensors with a sidecar and a sample image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign
from model_core.checkpoints.inspection import check_fits, read_checkpoint
from model_core.contact_sheet import draw_sheet
from model_core.generators.contract import Generator
from model_core.generators.families import FAMILIES
from model_core.generators.sampling import sample_w
from model_core.runtime.execution import Execution
from model_core.runtime.synthesizer import Synthesizer
from model_core.weights.cache import converted_path, encoder_path
from model_core.weights.files import file_digest
from model_core.weights.readers.w_statistics import w_statistics
from model_core.weights.store import save_network

LICENCE_NOTE = (
    "Provided by the user: the original file's licence applies. NVIDIA's StyleGAN and StyleGAN2 "
    "weights, and networks trained from them, are for non-commercial use."
)
SAMPLES = 4
SAMPLE_PSI = 0.7
SHEET_PX = 512
FAR_MEAN = 1.0


def import_checkpoint(
    source: Path, cache: Path, name: str, licence: str, say: Callable[[str], None]
) -> list[Path]:
    """Convert a checkpoint into the cache.

    Args:
        source: The file.
        cache: Weights cache.
        name: Name of the converted network; an encoder in the same file gets the suffix
            `-encoder`.
        licence: Licence to record in the sidecar.
        say: Receives every remark and step.

    Returns:
        The written files, without sidecars.

    Raises:
        CheckpointError: If the file cannot be read or its network is incomplete.
    """
    path = converted_path(cache, name)
    foreign = read_checkpoint(source)
    about = {
        "licence": licence,
        "licence_note": LICENCE_NOTE,
        "source": {"file": source.name, "sha256": file_digest(source), "layout": foreign.layout},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if foreign.family not in FAMILIES:
        _report(foreign, say)
        return [_save(path, foreign, about)[0]]
    generator = complete_generator(foreign)
    _report(foreign, say)
    made, fingerprint = _save(path, foreign, about)
    files = [made]
    for companion in foreign.companions:
        owner = about | {"generator": fingerprint}
        files.append(_save(encoder_path(cache, name), companion, owner)[0])
    say("drawing four samples")
    files.append(_draw_samples(generator, path.with_suffix(".jpg")))
    return files


def complete_generator(foreign: Foreign) -> Generator:
    """Build the generator, estimating tensors the file lacks and adding them to its state.

    Raises:
        CheckpointError: If a tensor is missing or of the wrong size.
    """
    check_fits(foreign)
    generator = FAMILIES[foreign.family](foreign.config)
    generator.load_state_dict(foreign.state, strict=False)
    mean, foreign.state["w_std"] = w_statistics(generator.mapping_network, generator.w_dim)
    known: Tensor = foreign.state.setdefault("w_mean", mean)
    distance = float(
        ((known - mean) / foreign.state["w_std"].clamp_min(1e-8)).square().mean().sqrt()
    )
    if distance > FAR_MEAN:
        foreign.remarks.append(
            f"the mean code is {distance:.1f} standard deviations from the mapping network's "
            "mean: the two may not belong together"
        )
    generator.load_state_dict(foreign.state)
    return generator.eval().requires_grad_(False)


def _save(path: Path, foreign: Foreign, about: dict[str, Any]) -> tuple[Path, str]:
    facts = {"name": path.stem, "family": foreign.family, "config": foreign.config}
    sidecar = save_network(path, foreign.state, about | facts | {"remarks": foreign.remarks})
    return path, str(sidecar["sha256"])


def _report(foreign: Foreign, say: Callable[[str], None]) -> None:
    for network in (foreign, *foreign.companions):
        for remark in network.remarks:
            say(remark)


def _draw_samples(generator: Generator, path: Path) -> Path:
    """Render four random codes side by side, JPEG."""
    w = sample_w(generator, range(SAMPLES), SAMPLE_PSI)
    images = Synthesizer(generator, Execution(backend="eager"))(
        w[:, None].repeat(1, generator.num_ws, 1)
    )
    draw_sheet([list(images.numpy())], path, cell_px=min(SHEET_PX, generator.img_resolution))
    return path
