"""Training checkpoints: one safetensors file with everything a resumed run needs."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from model_core.atomic_file import partial_file, publish
from model_core.errors import CheckpointError

KEPT = 2
# Raised below when a file is damaged or belongs to another run.
FAULTS = (SafetensorError, RuntimeError, LookupError, ValueError, TypeError, OSError)


def save_checkpoint(
    folder: Path,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: Optimizer,
) -> Path:
    """Save modules and optimiser after a step and delete all but the newest two checkpoints.

    Args:
        folder: The run's checkpoint folder.
        step: Steps done.
        modules: Modules by name, which prefixes their stored tensors.
        optimizer: Optimiser whose moments are stored in the order of its parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{name}/{key}": value.contiguous()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{key}": value.contiguous() for key, value in moments.items()}
    path = folder / f"{step:08d}.safetensors"
    with partial_file(path) as file:
        save_file(tensors, file.name, {"step": str(step)})
        publish(file, path)
    for old in sorted(folder.glob("*.safetensors"))[:-KEPT]:
        old.unlink()
    return path


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a folder, or None."""
    return max(folder.glob("*.safetensors"), default=None)


def load_checkpoint(folder: Path, modules: dict[str, nn.Module], optimizer: Optimizer) -> int:
    """Restore modules and optimiser in place from the newest checkpoint in a folder.

    Returns:
        Steps done; 0 if there is no checkpoint.
    Raises:
        CheckpointError: If the newest checkpoint does not fit or cannot be read.
    """
    newest = newest_checkpoint(folder)
    if newest is None:
        return 0
    try:
        with safe_open(newest, "pt") as stored:
            step = int(stored.metadata()["step"])
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        for name, module in modules.items():
            module.load_state_dict(_below(tensors, name))
        _load_optimizer(optimizer, _below(tensors, "optimizer"))
    except FAULTS as err:
        raise CheckpointError(f"{newest.name} must be a checkpoint of this run: {err}") from err
    return step


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        moments.setdefault(int(index), {})[name] = value
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, state in moments.items():
        for name, tensor in state.items():
            if name == "step":
                continue
            parameter = parameters[i]
            if tensor.shape != parameter.shape:  # copy_ would broadcast
                raise ValueError(
                    f"{name} of parameter {i} must have shape {(*parameter.shape,)}, "
                    f"got {(*tensor.shape,)}"
                )
            # Keep the parameter's memory layout, which fused kernels rely on.
            state[name] = torch.empty_like(parameter).copy_(tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
