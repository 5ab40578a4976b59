"""Faces to codes with an embedding network, as fast as possible."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.images import FACE_PX
from model_core.runtime.compiled import defer_network, one_by_one
from model_core.runtime.execution import Execution
from model_core.runtime.openvino import run_by_openvino
from model_core.runtime.precision import Precision
from model_core.shapes import Codes, FaceImages

Run = Callable[[Tensor, Tensor], Tensor]

_log = logging.getLogger(__name__)


class Embedder:
    """Embeds the identity of one batch of faces with the attributes of another.

    On a CPU OpenVINO runs the network unless the backend is eager; auto takes TorchInductor's
    form if that proves faster.

    Args:
        network: Frozen, on the execution's device.
        execution: How it runs.

    Attributes:
        disentangled: Whether identity has any effect: the paper's ablation uses attributes alone.
    """

    def __init__(self, network: EmbeddingNetwork, execution: Execution):
        self.disentangled = network.config.disentangled
        merge = _Merge(network, execution.precision)
        self._merge: Run = merge
        if execution.by_openvino:
            self._merge = _convert(network, merge, execution.precision)
            if execution.backend == "auto" and execution.compiles:
                shapes = [(3, FACE_PX, FACE_PX)] * 2
                self._merge = defer_network(
                    execution.queue, "embedding network", merge, self._merge, shapes
                )

    @torch.inference_mode()
    def __call__(self, identity: FaceImages, attribute: FaceImages) -> Codes:
        """Embed faces in [-1, 1]; codes in float32."""
        return self._merge(identity, attribute)


class _Merge(nn.Module):
    """The network with its encoders in the precision's dtype and its regressor in float32."""

    def __init__(self, network: EmbeddingNetwork, precision: Precision):
        super().__init__()
        self.network, self.precision = network, precision

    def forward(self, identity: FaceImages, attribute: FaceImages) -> Codes:
        with self.precision.autocast(identity.device.type):
            f_id = self.network.identity(identity)
            f_attr = self.network.read_attributes(attribute)
        return self.network.decode(f_attr.float(), f_id.float())


def _convert(network: EmbeddingNetwork, plain: Run, precision: Precision) -> Run:
    """Have OpenVINO run the network on its batches' items one by one, if it can."""
    face = torch.zeros(1, 3, FACE_PX, FACE_PX)
    try:
        run = run_by_openvino(network, precision, face, face)
    except RuntimeError:
        _log.exception("OpenVINO cannot run the embedding network here: using plain torch")
        return plain

    embed = one_by_one(run)
    return lambda identity, attribute: embed(attribute, identity)
