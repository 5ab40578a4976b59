"""Faces to codes by an embedding network, compiled where that can be."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.compiled import Compiled
from model_core.encoders.embedding_network import EmbeddingNetwork

FACE_PX = 256

Faces = Float[Tensor, "batch 3 256 256"]
Codes = Float[Tensor, "batch num_ws w_dim"]


class Embedder:
    """The identity of one batch of faces with the attributes of another.

    Args:
        network: Frozen, on its device.
        compiled: Whether it is compiled, which is for the CPU.
        at_once: Be slower until it has been compiled after `hasten`.
    """

    def __init__(self, network: EmbeddingNetwork, compiled: bool, at_once: bool = False):
        merge = _Merge(network)
        face = (3, FACE_PX, FACE_PX)
        self._merge = Compiled(merge, (face, face), "encoder", at_once) if compiled else merge

    def hasten(self) -> None:
        """Begin to compile what `at_once` put off, in a thread of its own."""
        if isinstance(self._merge, Compiled):
            self._merge.hasten()

    @torch.inference_mode()
    def __call__(self, identity: Faces, attribute: Faces) -> Codes:
        """Embed faces in [-1, 1]; codes in float32."""
        ws: Tensor = self._merge(identity, attribute)
        return ws


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
