"""Reader of OpenVINO IR v10 constants, and of MobileStyleGAN's layout in them.

Only the constants are read; the graph's meaning is written once in generators/mobilestylegan.py.
"""

import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_core.errors import CheckpointError
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.weights.readers.w_statistics import w_statistics


class IrGraph:
    """Constants of an IR by name, and which node feeds which."""

    def __init__(self, xml: Path):
        try:
            root = ET.parse(xml).getroot()  # noqa: S314  the file's digest is pinned
            self._blob = xml.with_suffix(".bin").read_bytes()
        except (ET.ParseError, OSError) as err:
            raise CheckpointError(f"{xml.name} must be a readable OpenVINO IR, got {err}") from err
        self._layers = {layer.get("id"): layer for layer in root.iter("layer")}
        self._ids = {layer.get("name"): key for key, layer in self._layers.items()}
        self._inputs: dict[str | None, list[str | None]] = {}
        for edge in sorted(root.iter("edge"), key=lambda e: int(e.get("to-port", 0))):
            self._inputs.setdefault(edge.get("to-layer"), []).append(edge.get("from-layer"))

    def constant(self, name: str) -> Tensor:
        """Return the float32 constant of that name."""
        layer = self._layers.get(self._ids.get(name))
        data = layer.find("data") if layer is not None and layer.get("type") == "Const" else None
        if data is None or data.get("element_type") != "f32":
            raise CheckpointError(f"the IR must hold a float32 constant {name!r}, got none")
        shape = [int(side) for side in data.get("shape", "").split(",") if side.strip()]
        offset, size = int(data.get("offset", 0)), int(data.get("size", 0))
        if size != 4 * int(np.prod(shape)) or offset + size > len(self._blob):
            raise CheckpointError(f"constant {name!r} must lie inside the IR's .bin, got {offset}")
        array = np.frombuffer(self._blob, "<f4", size // 4, offset).reshape(shape)
        return torch.from_numpy(array.copy())

    def has(self, name: str) -> bool:
        """Whether a node of that name exists."""
        return name in self._ids

    def names(self, kind: str) -> list[str]:
        """Return the names of all nodes of a type, in graph order."""
        return [
            layer.get("name", "") for layer in self._layers.values() if layer.get("type") == kind
        ]

    def inputs(self, name: str) -> list[str]:
        """Return the names of the nodes that feed the named one, by port."""
        sources = self._inputs.get(self._ids.get(name), [])
        return [self._layers[source].get("name", "") for source in sources]

    def consumers(self, name: str) -> list[str]:
        """Return the names of the nodes that the named one feeds."""
        key = self._ids.get(name)
        return [
            self._layers[target].get("name", "")
            for target, sources in self._inputs.items()
            if key in sources
        ]


def convert_mobilestylegan(data_dir: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Read MappingNetwork and SynthesisNetwork from a folder into MobileStyleGAN's state dict.

    The mean code and its spread are estimated from 50,000 seeded samples of the mapping network.

    Returns:
        The state dict and the network's config.
    Raises:
        CheckpointError: If a file is damaged or of another layout.
    """
    config = MobileStyleGANConfig()
    state = _mapping(IrGraph(data_dir / "MappingNetwork.xml"))
    state |= _synthesis(IrGraph(data_dir / "SynthesisNetwork.xml"), config)
    generator = MobileStyleGAN(config)
    missing = generator.state_dict().keys() - state.keys() - {"w_mean", "w_std"}
    if missing:
        raise CheckpointError(f"the IR must hold every layer, got none for {sorted(missing)}")
    generator.load_state_dict(state, strict=False)
    state["w_mean"], state["w_std"] = w_statistics(generator.mapping_network, generator.w_dim)
    return state, asdict(config)


def _mapping(graph: IrGraph) -> dict[str, Tensor]:
    """Read the fully connected layers in order."""
    state = {}
    for i, matmul in enumerate(graph.names("MatMul")):
        (add,) = (name for name in graph.consumers(matmul) if name.startswith("Add"))
        (reshape,) = (name for name in graph.inputs(add) if name.startswith("Reshape"))
        state[f"mapping_network.layers.{i}.weight"] = graph.constant(graph.inputs(matmul)[1])
        state[f"mapping_network.layers.{i}.bias"] = graph.constant(graph.inputs(reshape)[0])
    return state


def _synthesis(graph: IrGraph, config: MobileStyleGANConfig) -> dict[str, Tensor]:
    """Read the constant, convolutions and modulations."""
    state = {"const": graph.constant("m.input.input")} | _styled_conv(graph, "m.conv1", "conv")
    for i in range(len(config.widths)):
        state |= _affine(graph, f"m.layers.{i}.up.modulation", f"blocks.{i}.up_affine")
        for conv in ("conv1", "conv2"):
            state |= _styled_conv(graph, f"m.layers.{i}.{conv}", f"blocks.{i}.{conv}")
    last = f"m.layers.{len(config.widths) - 1}.to_img"
    state |= _affine(graph, f"{last}.conv.modulation", "to_img_affine")
    state["to_img.weight"] = graph.constant(f"{last}.conv.weight")
    state["to_img.bias"] = graph.constant(f"{last}.bias").flatten()
    return state


def _styled_conv(graph: IrGraph, source: str, target: str) -> dict[str, Tensor]:
    """Read one modulated convolution: style, depthwise and pointwise weight, noise, bias."""
    bias = f"{source}.bias"
    (add,) = graph.consumers(bias)
    (noisy,) = (name for name in graph.inputs(add) if name != bias)
    conv, noise = graph.inputs(noisy)
    state = _affine(graph, f"{source}.conv.modulation", f"{target}.affine")
    state[f"{target}.conv.weight"] = graph.constant(graph.inputs(conv)[1])
    state[f"{target}.conv.bias"] = graph.constant(bias).flatten()
    state[f"{target}.noise"] = graph.constant(noise)
    depthwise = f"{source}.conv.weight_dw"
    if graph.has(depthwise):
        state[f"{target}.depthwise.weight"] = graph.constant(depthwise).squeeze(1)
    return state


def _affine(graph: IrGraph, source: str, target: str) -> dict[str, Tensor]:
    """Read a modulation, folding in the scalar that may follow it."""
    (gemm,) = graph.consumers(f"{source}.bias")
    (reshape,) = (name for name in graph.consumers(gemm) if name.startswith("Reshape"))
    (product,) = graph.consumers(reshape)
    scalars = [name for name in graph.inputs(product) if name.startswith("Constant")]
    scale = graph.constant(scalars[0]).flatten() if scalars else torch.ones(1)
    weight = graph.constant(f"{source}.weight") * scale
    return {
        f"{target}.weight": weight,
        f"{target}.bias": graph.constant(f"{source}.bias").flatten() * scale,
    }
