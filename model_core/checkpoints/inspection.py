"""Recognise and read checkpoints of other projects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model_core.checkpoints.foreign.ada_pytorch import ADA_PYTORCH
from model_core.checkpoints.foreign.contents import Foreign, Layout
from model_core.checkpoints.foreign.genforce import GENFORCE, GENFORCE_STYLEGAN2, LERNAPPARAT
from model_core.checkpoints.foreign.nvidia_tensorflow import NVIDIA_TENSORFLOW
from model_core.checkpoints.foreign.psp import PSP, new_encoder
from model_core.checkpoints.foreign.recognisers import IRESNET, IRSE
from model_core.checkpoints.foreign.rosinality import ROSINALITY
from model_core.checkpoints.foreign.search import find_network, path_remark
from model_core.containers.restricted_pickle import DAMAGE
from model_core.containers.torch_file import read_foreign
from model_core.encoders.arcface import IResNetFace, IRSEFace
from model_core.errors import CheckpointError
from model_core.generators.families import FAMILIES

LAYOUTS: tuple[Layout, ...] = (
    NVIDIA_TENSORFLOW,
    ADA_PYTORCH,
    PSP,
    ROSINALITY,
    GENFORCE,
    GENFORCE_STYLEGAN2,
    LERNAPPARAT,
    IRSE,
    IRESNET,
)

NETWORKS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    **FAMILIES,
    "style-encoder": new_encoder,
    "arcface-irse": lambda config: IRSEFace(**config),
    "arcface-iresnet": lambda config: IResNetFace(tuple(config["blocks"])),
}
"""By family, a function from a config to an untrained network."""

COMPUTED = {"w_mean", "w_std"}
"""Generator tensors that are estimated if a file lacks them."""


def read_checkpoint(path: Path) -> Foreign:
    """Read a checkpoint of any known layout without running its code.

    Raises:
        CheckpointError: If the file is damaged, of no known layout, or not supported; the message
            says what was found.
    """
    return read_content(read_foreign(path), path.name)


def read_content(content: Any, name: str) -> Foreign:
    """Read the contents of a file of any known layout.

    Args:
        content: Result of `read_foreign`.
        name: Name of the file, for messages.

    Raises:
        CheckpointError: If it is of no known layout, incomplete, or not supported.
    """
    layout = None
    try:
        layout, found = find_network(content, LAYOUTS)
        foreign = layout.read(found)
        foreign.remarks += path_remark(found)
        for network in (foreign, *foreign.companions):
            check_fits(network)
    except CheckpointError as err:
        raise CheckpointError(f"{name}: {err}") from err
    except DAMAGE as err:
        raise CheckpointError(
            f"{name} must be whole, got an incomplete {layout.name if layout else 'known'} "
            f"checkpoint ({type(err).__name__}: {str(err)[:200]})"
        ) from err
    return foreign


def check_fits(foreign: Foreign) -> None:
    """Compare a network's tensors with those its config requires.

    Raises:
        CheckpointError: If one is missing or of the wrong size.
    """
    with torch.device("meta"):  # sizes claimed by the file allocate no memory
        wanted = NETWORKS[foreign.family](foreign.config).state_dict()
    shapes = {key: value.shape for key, value in wanted.items()}
    for key, value in foreign.state.items():
        if key not in shapes or value.shape != shapes[key]:
            theirs = foreign.origins.get(key, key)
            named = key if theirs == key else f"{theirs} (here {key})"
            size = tuple(shapes[key]) if key in shapes else "absent"
            raise CheckpointError(f"{named} must be {size}, got {tuple(value.shape)}")
    ignored = {key for key in shapes if key.endswith("num_batches_tracked")}
    if missing := shapes.keys() - foreign.state.keys() - COMPUTED - ignored:
        raise CheckpointError(
            f"checkpoint must hold every layer, got none for {sorted(missing)[:4]}"
        )


def describe(foreign: Foreign) -> list[str]:
    """Describe in readable lines what was found, what is missing and how it will be handled."""
    lines = [f"layout      {foreign.layout}", f"family      {foreign.family}"]
    if foreign.family in FAMILIES:
        with torch.device("meta"):
            generator = FAMILIES[foreign.family](foreign.config)
        lines.append(f"resolution  {generator.img_resolution} px")
        lines.append(f"codes       {generator.num_ws} rows of {generator.w_dim}")
    lines += [f"{name:<11} {value}" for name, value in foreign.config.items()]
    lines += [f"remark      {remark}" for remark in foreign.remarks]
    for companion in foreign.companions:
        lines += ["", f"companion: {companion.family}", *describe(companion)[2:]]
    return lines
