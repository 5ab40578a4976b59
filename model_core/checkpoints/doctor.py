"""Tell what a checkpoint of another project is, and read it."""

from pathlib import Path
from typing import Any

import torch

from model_core.checkpoints.foreign.ada_pytorch import ADA_PYTORCH
from model_core.checkpoints.foreign.contents import Foreign, Layout
from model_core.checkpoints.foreign.genforce import GENFORCE, LERNAPPARAT
from model_core.checkpoints.foreign.nvidia_tensorflow import NVIDIA_TENSORFLOW
from model_core.checkpoints.foreign.psp import PSP
from model_core.checkpoints.foreign.recognisers import IRESNET, IRSE, RESNET50
from model_core.checkpoints.foreign.rosinality import ROSINALITY
from model_core.checkpoints.foreign_file import read_foreign
from model_core.checkpoints.restricted_pickle import DAMAGE
from model_core.errors import CheckpointError
from model_core.generators.families import FAMILIES

LAYOUTS: tuple[Layout, ...] = (
    NVIDIA_TENSORFLOW,
    ADA_PYTORCH,
    PSP,
    ROSINALITY,
    GENFORCE,
    LERNAPPARAT,
    IRSE,
    IRESNET,
    RESNET50,
)
NAMES_SHOWN = 6


def read_checkpoint(path: Path) -> Foreign:
    """Read a checkpoint of any known layout; nothing in it is run.

    Raises:
        CheckpointError: If the file is damaged, of no known layout, or not covered; the message
            says what was found.
    """
    content = read_foreign(path)
    try:
        for layout in LAYOUTS:
            if layout.matches(content):
                return layout.read(content)
    except CheckpointError as err:
        raise CheckpointError(f"{path.name}: {err}") from err
    except DAMAGE as err:
        raise CheckpointError(
            f"{path.name} must be whole, got a {layout.name} checkpoint that is not "
            f"({type(err).__name__}: {str(err)[:200]})"
        ) from err
    raise CheckpointError(
        f"{path.name} must be of a known layout ({', '.join(each.name for each in LAYOUTS)}), "
        f"got {_outline(content)}"
    )


def describe(foreign: Foreign) -> list[str]:
    """Say in lines for people what was found, what is missing and what will be done about it."""
    lines = [f"layout      {foreign.layout}", f"family      {foreign.family}"]
    if foreign.family in FAMILIES:
        with torch.device("meta"):
            generator = FAMILIES[foreign.family](foreign.config)
        lines.append(f"resolution  {generator.img_resolution} px")
        lines.append(f"codes       {generator.num_ws} rows of {generator.w_dim}")
    lines += [f"{name:<11} {value}" for name, value in foreign.config.items()]
    lines += [f"remark      {remark}" for remark in foreign.remarks]
    for companion in foreign.companions:
        lines += ["", f"beside it, a {companion.family}:", *describe(companion)[2:]]
    return lines


def _outline(content: Any) -> str:
    """Describe a content in a few words: its kind and its first names."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [str(name)[:60] for name in list(content)[:NAMES_SHOWN]]
    return f"{len(content)} entries such as {', '.join(names)}" if names else "an empty dict"
