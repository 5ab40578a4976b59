"""The training loop of the pretraining stage: E learns the codes of generated faces."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.perceptual import Perceptual
from model_core.training.augmentation import augment
from model_core.training.checkpoint import load_checkpoint, save_checkpoint
from model_core.training.config import TrainConfig
from model_core.training.losses import SensitivityLoss, StyleLoss, measure_row_weights
from model_core.training.pairs import make_render, render_all, sample_codes, seeded
from model_core.training.photos import Photos
from model_core.training.producer import PairProducer
from model_core.training.validation import HeldOut, to_float, validate

FIRST_PAIRS = 256
CHECKPOINTS = "checkpoints"


def rate_share(config: TrainConfig, step: int) -> float:
    """Return the share of the learning rate at a step: warm-up, flat, linear decay."""
    decay = max(1, math.ceil(config.steps * config.decay_share))
    return min((step + 1) / max(1, config.warmup_steps), 1.0, (config.steps - step) / decay)


class Pretraining:
    """One run: its folder, networks and state.

    Args:
        config: Hyperparameters.
        folder: Run folder: checkpoints, pairs, TensorBoard events and contact sheets.
        generator: Frozen, on the CPU, where codes are sampled; copied to where images are made.
        network: Trained in place; moved to the device.
        lpips: Metric of the validation; moved to the device.
        photos: Held-out photographs, or None.
        gradients: Of the generator, from model_core.training.sensitivity.
        device: Where to compute.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        generator: Generator,
        network: EmbeddingNetwork,
        lpips: Perceptual,
        photos: Photos | None,
        gradients: Float[Tensor, "count num_ws w_dim"],
        device: torch.device,
    ):
        self.config, self.folder, self.device = config, folder, device
        folder.mkdir(parents=True, exist_ok=True)
        self._generator = generator
        self.render = make_render(generator, device, config.compile)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.lpips = lpips.to(device)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=config.lr, betas=config.betas, fused=True)
        self.producer = PairProducer(config, folder, generator, device)
        weights = measure_row_weights(self._generator, self.render, config.seed)
        self.style_loss = StyleLoss(self._generator, weights).to(device)
        self.sensitivity_loss = SensitivityLoss(gradients).to(device)
        self.held_out = self._make_held_out(photos)

    def run(self, report: Callable[[str], None] = tqdm.write) -> None:
        """Train to the last step, from the newest checkpoint where there is one.

        Args:
            report: Takes one line about each validation.
        """
        modules = {"network": self.network, "averaged": self.averaged}
        first = load_checkpoint(self.folder / CHECKPOINTS, modules, self.optimizer)
        config = self.config
        with self.producer, SummaryWriter(self.folder) as board:
            bar = tqdm(range(first, config.steps), initial=first, total=config.steps, unit="step")
            for step in bar:
                scalars = self.step(step)
                bar.set_postfix({name: f"{value:.3f}" for name, value in scalars.items()})
                done = step + 1
                if done % 20 == 0:
                    for name, value in scalars.items():
                        board.add_scalar(f"train/{name}", value, done)
                if done % config.checkpoint_every == 0 or done == config.steps:
                    save_checkpoint(self.folder / CHECKPOINTS, done, modules, self.optimizer)
                if done % config.validate_every == 0 or done == config.steps:
                    figures = self.validate(done)
                    for name, value in figures.items():
                        board.add_scalar(f"held_out/{name}", value, done)
                    line = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
                    report(f"step {done}: {line}")

    def step(self, step: int) -> dict[str, float]:
        """Do one optimiser step; its randomness is a function of seed and step."""
        config = self.config
        newest = self._pairs_at(step)
        self.producer.wait_for(newest)
        random = seeded(config.seed, "step", step)
        oldest = max(0, newest - config.window)
        img, ws = self.producer.ring.draw(oldest, newest, config.batch, random)
        x = augment(to_float(img), config.jitter, config.degrade_share, random).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * rate_share(config, step)
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            predicted = self.network(x)
        losses = self._code_losses(predicted, ws.to(self.device))
        loss = (
            losses["style"]
            + config.sensitivity_weight * losses["sensitivity"]
            + config.latent_weight * losses["latent"]
        )
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.optimizer.step()
        self._average(step)
        return {name: value.item() for name, value in losses.items()} | {"grad_norm": norm.item()}

    def validate(self, step: int) -> dict[str, float]:
        """Measure the averaged network and draw its contact sheet."""
        sheet = self.folder / "sheets" / f"{step:08d}.jpg"
        return validate(
            self.averaged, self.held_out, self.render, self.style_loss, self.lpips, sheet
        )

    def _code_losses(
        self,
        predicted: Float[Tensor, "batch num_ws w_dim"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return style error, first-order image error and latent error in units of W's spread."""
        return {
            "style": self.style_loss(predicted, ws).mean(),
            "sensitivity": self.sensitivity_loss(predicted, ws).mean(),
            "latent": ((predicted - ws) / self.network.w_std).square().mean(),
        }

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged weights towards the trained ones, faster at the start."""
        rate = 1 - min(self.config.ema, (step + 1) / (step + 10))
        for mean, value in zip(
            self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, rate)
            else:
                mean.copy_(value)

    def _pairs_at(self, step: int) -> int:
        """Return how many pairs have been generated when a step draws."""
        return FIRST_PAIRS + int(step * self.config.batch / self.config.replay)

    def _make_held_out(self, photos: Photos | None) -> HeldOut:
        """Generate the held-out pairs (a stream of their own) and read the photos."""
        config = self.config
        random = seeded(config.seed, "held-out", 0)
        with torch.no_grad():
            ws = sample_codes(self._generator, config, config.validation_pairs, random)
        img = render_all(self.render, ws)
        count = min(config.validation_photos, len(photos)) if photos else 0
        none = torch.empty(0, *img.shape[1:], dtype=torch.uint8)
        read = photos.read(range(count)) if photos and count else none
        return HeldOut(img, ws, read)
