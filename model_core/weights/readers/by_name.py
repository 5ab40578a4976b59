"""Choose the reader of each network's original files."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from model_core.weights.readers.dlib_dat import read_dlib_resnet
from model_core.weights.readers.openvino_ir import convert_mobilestylegan
from model_core.weights.readers.stlpips_pth import read_stlpips
from model_core.weights.readers.tfjs_graph import read_faceres, read_faceres_heads

Converted = tuple[dict[str, Tensor], dict[str, object]]


def _dlib_resnet(folder: Path) -> Converted:
    return read_dlib_resnet(folder / "dlib_face_recognition_resnet_model_v1.dat"), {
        "chip_size_px": 150,
        "feature_dim": 256,
        "descriptor_dim": 128,
    }


def _stlpips_alex(folder: Path) -> Converted:
    return read_stlpips(folder / "alex_shift_tolerant.pth"), {"trunk": "alex"}


def _stlpips_vgg(folder: Path) -> Converted:
    return read_stlpips(folder / "vgg_shift_tolerant.pth"), {"trunk": "vgg"}


def _faceres(folder: Path) -> Converted:
    return read_faceres(folder / "faceres.json"), {"chip_size_px": 224, "descriptor_dim": 1024}


def _faceres_heads(folder: Path) -> Converted:
    return read_faceres_heads(folder / "faceres.json"), {"descriptor_dim": 1024}


CONVERTERS: dict[str, Callable[[Path], Converted]] = {
    "mobilestylegan-ffhq-1024": convert_mobilestylegan,
    "dlib-resnet29": _dlib_resnet,
    "st-lpips-alex": _stlpips_alex,
    "st-lpips-vgg": _stlpips_vgg,
    "faceres": _faceres,
    "faceres-heads": _faceres_heads,
}


def convert(name: str, folder: Path) -> Converted:
    """Read a pack's network from a folder that holds its members under their own names.

    Returns:
        The state dict and the network's config.
    Raises:
        CheckpointError: If a file is damaged or of another layout.
    """
    return CONVERTERS[name](folder)
