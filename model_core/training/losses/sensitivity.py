"""Which directions of W+ show in the image: random rows of the generator's Jacobian.

For v white noise over the pixels, g = J' v has E[g g'] = J' J, so the mean of (g . delta)^2 over
many g is the squared change of the image, to first order, averaged over the sampled codes.
"""

import copy
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from model_core.errors import CheckpointError, ModelMismatchError
from model_core.generators.contract import Generator
from model_core.generators.sampling import sample_each, seeded
from model_core.runtime.backends import compile_lazily
from model_core.training.config import TrainConfig
from model_core.weights.store import load_network, save_network

PIXELS = 64
CHUNK = 4
FAMILY = "sensitivity"


def sample_gradients(
    generator: Generator,
    config: TrainConfig,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "count num_ws w_dim"]:
    """Sample g = J' v at random codes, for the image at 64 px by area, scaled so that the mean of
    (g . delta)^2 is the MSE on [-1, 1].

    Args:
        generator: Frozen, on the CPU.
        config: sensitivity_samples (each gradient is at a code of its own), seed, compile and the
            sampling of codes are read.
        device: Where to compute.
        dtype: What the generator computes in.
    """
    network = copy.deepcopy(generator)
    network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def project(ws: Tensor, v: Tensor) -> Tensor:
        img = F.adaptive_avg_pool2d(network.synthesis(ws.to(dtype)).float(), PIXELS)
        return (img * v).sum()

    run = compile_lazily(project) if config.compile else project
    gradients = []
    for chunk in tqdm(torch.arange(config.sensitivity_samples).split(CHUNK), unit="chunk"):
        randoms = [seeded(config.seed, "sensitivity", i) for i in chunk.tolist()]
        with torch.no_grad():
            ws = sample_each(generator, config, randoms).to(device)
        ws.requires_grad_(True)
        noise = [torch.randn(3, PIXELS, PIXELS, generator=random) for random in randoms]
        # (chunk, 3, 64, 64). (g . delta)^2 is a sum over the image's values; divided, their mean.
        v = torch.stack(noise).to(device) / (3 * PIXELS * PIXELS) ** 0.5
        gradients.append(torch.autograd.grad(run(ws, v), ws)[0].cpu())
    return torch.cat(gradients)


def load_or_sample(
    path: Path,
    generator: Generator,
    fingerprint: str,
    config: TrainConfig,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "count num_ws w_dim"]:
    """Read gradients from a file, or sample them and write it.

    Args:
        path: A safetensors file.
        generator: Frozen, on the CPU.
        fingerprint: Of the generator's weights.
        config: As in sample_gradients.
        device: Where to sample.
        dtype: As in sample_gradients.

    Raises:
        ModelMismatchError: If the file's belong to another generator.
        CheckpointError: If the file does not hold as many as asked for, shaped like codes.
    """
    if not path.exists():
        gradients = sample_gradients(generator, config, device, dtype)
        about = {"name": path.stem, "family": FAMILY, "generator": fingerprint}
        save_network(path, {"gradients": gradients}, about)
    tensors, sidecar = load_network(path)
    if sidecar.get("family") != FAMILY or sidecar.get("generator") != fingerprint:
        raise ModelMismatchError(
            f"{path.name} must hold gradients of the generator {fingerprint[:12]}, "
            f"got {sidecar.get('family')} of {str(sidecar.get('generator'))[:12]}"
        )
    shape = (config.sensitivity_samples, generator.num_ws, generator.w_dim)
    found = {name: (*tensor.shape,) for name, tensor in tensors.items()}
    if found != {"gradients": shape}:
        raise CheckpointError(f"{path.name} must hold gradients of shape {shape}, got {found}")
    return tensors["gradients"]
