"""Faces to codes by an embedding network, fast where that can be."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.openvino_run import run_by_openvino

FACE_PX = 256

Faces = Float[Tensor, "batch 3 256 256"]
Codes = Float[Tensor, "batch num_ws w_dim"]
Run = Callable[[Tensor, Tensor], Tensor]


class Embedder:
    """The identity of one batch of faces with the attributes of another.

    Args:
        network: Frozen, on its device.
        by_openvino: Whether OpenVINO runs it, which is for the CPU.

    Attributes:
        disentangled: Whether identity counts at all: the paper's ablation has attributes alone.
    """

    def __init__(self, network: EmbeddingNetwork, by_openvino: bool):
        self.disentangled = network.config.disentangled
        self._merge: Run = _convert(network) if by_openvino else _Merge(network)

    @torch.inference_mode()
    def __call__(self, identity: Faces, attribute: Faces) -> Codes:
        """Embed faces in [-1, 1]; codes in float32."""
        return self._merge(identity, attribute)


class _Merge(nn.Module):
    """The network with its encoders in bfloat16 and its regressor in float32."""

    def __init__(self, network: EmbeddingNetwork):
        super().__init__()
        self.network = network

    def forward(self, identity: Faces, attribute: Faces) -> Codes:
        with torch.autocast(identity.device.type, torch.bfloat16):
            f_id = self.network.identity(identity)
            f_attr = self.network.read_attributes(attribute)
        return self.network.decode(f_attr.float(), f_id.float())


def _convert(network: EmbeddingNetwork) -> Run:
    """Have OpenVINO run the network on the items of its batches one by one."""
    face = torch.zeros(1, 3, FACE_PX, FACE_PX)
    run = run_by_openvino(network, face, face)

    def one_by_one(identity: Faces, attribute: Faces) -> Codes:
        pairs = zip(attribute.split(1), identity.split(1), strict=True)
        return torch.cat([run(*pair) for pair in pairs])

    return one_by_one
