"""Faces to codes by an embedding network, compiled where that can be."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.swap import Swap

FACE_PX = 256

Faces = Float[Tensor, "batch 3 256 256"]
Codes = Float[Tensor, "batch num_ws w_dim"]
Run = Callable[[Faces, Faces], Codes]


class Embedder:
    """The identity of one batch of faces with the attributes of another.

    Compiled, faces are embedded one by one, as a batch of every size would be compiled anew; that
    is for the CPU, where it costs no time.

    Args:
        network: Frozen, on its device.
        compiled: Whether it is compiled; the first call then takes long.
        at_once: Be slower until it has been compiled after `hasten`.
    """

    def __init__(self, network: EmbeddingNetwork, compiled: bool, at_once: bool = False):
        self._merge = _Merge(network)
        self._run: Run = self._merge
        self._swap: Swap[[Tensor, Tensor], Tensor] | None = None
        if compiled and at_once:
            self._run = self._swap = Swap(self._merge, self._compile, "encoder")
        elif compiled:
            self._run = self._compile()

    def hasten(self) -> None:
        """Begin to compile what `at_once` put off, in a thread of its own."""
        if self._swap:
            self._swap.start()

    @torch.inference_mode()
    def __call__(self, identity: Faces, attribute: Faces) -> Codes:
        """Embed faces in [-1, 1]; codes in float32."""
        return self._run(identity, attribute)

    @torch.inference_mode()
    def _compile(self) -> Run:
        torch._inductor.config.freezing = True
        merge = torch.compile(self._merge)

        def one_by_one(identity: Tensor, attribute: Tensor) -> Tensor:
            pairs = zip(identity.split(1), attribute.split(1), strict=True)
            return torch.cat([merge(*pair) for pair in pairs])

        face = torch.zeros(1, 3, FACE_PX, FACE_PX)
        one_by_one(face, face)
        return one_by_one


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
