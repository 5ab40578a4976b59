"""Sample the generator's Jacobian to find which directions of W+ change the image.

If v is white noise over the pixels, g = J' v has E[g g'] = J' J, so the mean of (g . delta)^2 over
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
    """Sample g = J' v at random codes, scaled so that the mean of (g . delta)^2 is the image MSE.

    The image is downscaled to 64 px by area; the MSE is on [-1, 1].

    Args:
        generator: Frozen, on the CPU.
        config: Its fields sensitivity_samples (each gradient is taken at another code), seed,
            compile and those about sampling codes are read.
        device: Device to compute on.
        dtype: Precision of the generator.
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
        # (chunk, 3, 64, 64). (g . delta)^2 sums over the image's values; dividing makes it a mean.
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
    """Read gradients from a file; sample them and write the file if it does not exist.

    Args:
        path: A safetensors file.
        generator: Frozen, on the CPU.
        fingerprint: Digest of the generator's weights.
        config: See sample_gradients.
        device: Device to sample on.
        dtype: See sample_gradients.

    Raises:
        ModelMismatchError: If the file's gradients belong to another generator.
        CheckpointError: If the file's gradients have the wrong number or shape.
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
