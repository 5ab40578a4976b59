"""The loop every training shares: steps, checkpoints, validation, curves; one process or several.

Subclasses define the networks, the data and the losses: `loop` trains the embedding network,
`detail.loop` the detail encoder.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model_core.training.checkpoint import load_checkpoint, save_checkpoint
from model_core.training.code_cache import CodeCache
from model_core.training.config import TrainConfig
from model_core.training.distributed import Ranks
from model_core.training.ema import TrainedNetwork

CHECKPOINTS = "checkpoints"
BOARD_EVERY = 20
"""Steps between points of the TensorBoard curves; the last step is logged too."""


def rate_share(config: TrainConfig, step: int) -> float:
    """Return the learning rate's factor at a step: warm-up, constant, linear decay."""
    decay = max(1, math.ceil(config.steps * config.decay_share))
    return min((step + 1) / max(1, config.warmup_steps), 1.0, (config.steps - step) / decay)


class RunLoop(ABC):
    """One training run: its folder, its state and its steps.

    Args:
        config: Hyperparameters.
        folder: Run folder for checkpoints, TensorBoard events and contact sheets; created if
            missing.
        trained: The trained networks with their averages; on the device.
        modules: The modules a checkpoint holds, by name.
        ranks: The processes of the run.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        trained: Sequence[TrainedNetwork[Any]],
        modules: dict[str, nn.Module],
        ranks: Ranks,
    ):
        self.config, self.folder, self.ranks = config, folder, ranks
        folder.mkdir(parents=True, exist_ok=True)
        self._trained, self._modules = trained, modules
        self.optimizer = torch.optim.Adam(
            [{"params": each.parameters, "lr": each.lr} for each in trained],
            betas=config.betas,
            fused=True,
        )

    @abstractmethod
    def step(self, step: int) -> dict[str, float]:
        """Do one optimiser step; its randomness depends only on seed and step."""

    @abstractmethod
    def validate(self, step: int) -> dict[str, float]:
        """Measure the averaged network and write its contact sheet."""

    @abstractmethod
    def export(self, path: Path, fingerprint: str) -> None:
        """Write the averaged network, and any network trained with it, for use elsewhere.

        Args:
            path: File to write; ends in .safetensors.
            fingerprint: Digest of the generator it was trained for.
        """

    @property
    def _sources(self) -> Sequence[AbstractContextManager[object]]:
        """Data sources of the steps, kept open during the run."""
        return ()

    @property
    def _caches(self) -> Sequence[CodeCache]:
        """Code caches to keep in step with the checkpoints."""
        return ()

    def run(
        self,
        report: Callable[[str], None] = tqdm.write,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the last step, resuming from the newest checkpoint if there is one; call once.

        Args:
            report: Receives one line per validation.
            should_stop: Called after each step; if true, the run writes a checkpoint and returns.

        Returns:
            Whether the run reached the last step.
        """
        first = load_checkpoint(self.folder / CHECKPOINTS, self._modules, self.optimizer)
        for cache in self._caches:
            cache.recover(first)
        config, is_main = self.config, self.ranks.is_main
        with ExitStack() as ending:
            for source in self._sources:
                ending.enter_context(source)
            board = ending.enter_context(SummaryWriter(self.folder / f"board-{self.ranks.rank}"))
            steps = range(first, config.steps)
            bar = tqdm(steps, initial=first, total=config.steps, unit="step", disable=not is_main)
            for step in bar:
                scalars = self.step(step)
                bar.set_postfix({name: f"{value:.3f}" for name, value in scalars.items()})
                done = step + 1
                if done % BOARD_EVERY == 0 or done == config.steps:
                    for name, value in scalars.items():
                        board.add_scalar(f"train/{name}", value, done)
                stops = self.ranks.any(should_stop())
                if done % config.checkpoint_every == 0 or done == config.steps or stops:
                    self._save(done)
                if is_main and (done % config.validate_every == 0 or done == config.steps):
                    figures = self.validate(done)
                    for name, value in figures.items():
                        board.add_scalar(f"held_out/{name}", value, done)
                    line = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
                    report(f"step {done}: {line}")
                if stops:
                    return done == config.steps
        return True

    def _sheet(self, step: int) -> Path:
        """Return the path of a validation's contact sheet."""
        return self.folder / "sheets" / f"{step:08d}.jpg"

    def _descend(self, loss: Float[Tensor, ""], step: int) -> float:
        """Update the weights and their averages; return the first network's gradient norm."""
        config = self.config
        for group, each in zip(self.optimizer.param_groups, self._trained, strict=True):
            group["lr"] = each.lr * rate_share(config, step)
        self.optimizer.zero_grad()
        loss.backward()
        self._average_gradients()
        clip = torch.nn.utils.clip_grad_norm_
        norms = [clip(each.parameters, config.clip_norm) for each in self._trained]
        self.optimizer.step()
        for each in self._trained:
            # Average faster at the start.
            each.average(1 - min(config.ema, (step + 1) / (step + 10)))
        return norms[0].item()

    def _average_gradients(self) -> None:
        """Average the gradients over the processes."""
        for each in self._trained:
            self.ranks.average(p.grad for p in each.parameters if p.grad is not None)

    def _save(self, done: int) -> None:
        """Write a checkpoint and sync the caches with it, safely against a kill at any point."""
        caches = self._caches
        for cache in caches:
            cache.prepare(done)
        self.ranks.wait()
        if self.ranks.is_main:
            save_checkpoint(self.folder / CHECKPOINTS, done, self._modules, self.optimizer)
        self.ranks.wait()
        for cache in caches:
            cache.apply(done)
