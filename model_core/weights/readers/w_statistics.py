"""Estimate the mean and spread of W from a mapping network, identically on every machine."""

import copy

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from model_core.generators.mapping import Mapping

SEED = 0
SAMPLES = 50_000
CHUNK = 2000


@torch.inference_mode()
def w_statistics(
    mapping: Mapping, w_dim: int
) -> tuple[Float[Tensor, " w_dim"], Float[Tensor, " w_dim"]]:
    """Estimate the mean and standard deviation of mapped codes.

    Uses float64 and NumPy's portable normals, so that every machine writes the same bytes.
    """
    random = np.random.default_rng(SEED)
    mapping = copy.deepcopy(mapping).double()
    z = torch.from_numpy(random.standard_normal((SAMPLES, w_dim)))
    w = torch.cat([mapping(batch) for batch in z.split(CHUNK)])
    return w.mean(dim=0).float(), w.std(dim=0).float()
