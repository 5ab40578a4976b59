"""What every training does: steps, checkpoints, validations and curves, in one process or several.

What is trained, on what and by which losses is a subclass's: `loop` trains the embedding network,
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
"""Steps between points of TensorBoard's curves; the last step has one too."""


def rate_share(config: TrainConfig, step: int) -> float:
    """Return the share of the learning rate at a step: warm-up, flat, linear decay."""
    decay = max(1, math.ceil(config.steps * config.decay_share))
    return min((step + 1) / max(1, config.warmup_steps), 1.0, (config.steps - step) / decay)


class RunLoop(ABC):
    """One run: its folder, its state and its steps.

    Args:
        config: Hyperparameters.
        folder: Run folder: checkpoints, TensorBoard events and contact sheets; made if it is
            missing.
        trained: The networks whose weights Adam moves, with their averages; on the device.
        modules: What a checkpoint holds, by name.
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
        """Do one optimiser step; its randomness is a function of seed and step."""

    @abstractmethod
    def validate(self, step: int) -> dict[str, float]:
        """Measure the averaged network and draw its contact sheet."""

    @abstractmethod
    def export(self, path: Path, fingerprint: str) -> None:
        """Write the averaged network, and what was trained along with it, for use elsewhere.

        Args:
            path: Where to; ends in .safetensors.
            fingerprint: Of the generator that it was trained for.
        """

    @property
    def _sources(self) -> Sequence[AbstractContextManager[object]]:
        """What the steps draw from, open while the run lasts."""
        return ()

    @property
    def _caches(self) -> Sequence[CodeCache]:
        """What is brought to each checkpoint."""
        return ()

    def run(
        self,
        report: Callable[[str], None] = tqdm.write,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the last step, from the newest checkpoint where there is one; to be called once.

        Args:
            report: Takes one line about each validation.
            should_stop: Asked after each step; if so, a checkpoint is written and the run left.

        Returns:
            Whether the last step was done.
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
        """Return the file of a validation's contact sheet."""
        return self.folder / "sheets" / f"{step:08d}.jpg"

    def _descend(self, loss: Float[Tensor, ""], step: int) -> float:
        """Move the weights and their averages; return the first network's gradient norm."""
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
            # Faster at the start.
            each.average(1 - min(config.ema, (step + 1) / (step + 10)))
        return norms[0].item()

    def _average_gradients(self) -> None:
        """Bring the gradients to their mean over the processes."""
        for each in self._trained:
            self.ranks.average(p.grad for p in each.parameters if p.grad is not None)

    def _save(self, done: int) -> None:
        """Write a checkpoint; caches are brought to it whenever a kill may come."""
        caches = self._caches
        for cache in caches:
            cache.prepare(done)
        self.ranks.wait()
        if self.ranks.is_main:
            save_checkpoint(self.folder / CHECKPOINTS, done, self._modules, self.optimizer)
        self.ranks.wait()
        for cache in caches:
            cache.apply(done)
