"""A process that generates pairs ahead of the training loop."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, multiprocessing

from model_core.errors import WplusError
from model_core.generators.contract import Generator
from model_core.training.config import TrainConfig
from model_core.training.pairs import RENDER_CHUNK, PairRing, make_render, sample_codes, seeded

LOOKAHEAD = 512
POLL_S = 0.05


class PairProducer:
    """Keep a ring of pairs filled from a child process, a bounded way ahead of the consumer.

    Pair i is a function of the seed and i alone, and draws depend on the step alone, so it does not
    matter how far ahead the producer is. The ring is longer than the window by what may be
    generated after a checkpoint: a resumed run finds every pair that it draws.

    Args:
        config: seed, window, batch, replay, checkpoint_every and the sampling are read.
        folder: Where the ring lies.
        generator: Frozen, on the CPU; copied into the child.
        device: Where the child renders.
    """

    def __init__(
        self, config: TrainConfig, folder: Path, generator: Generator, device: torch.device
    ):
        self._config, self._folder, self._generator = config, folder, generator
        self._device = device
        self._shape = (generator.num_ws, generator.w_dim)
        self._slots = (
            config.window
            + 2 * LOOKAHEAD
            + 2 * int(config.checkpoint_every * config.batch / config.replay)
        )
        self.ring = PairRing(folder, self._slots, self._shape)
        context = multiprocessing.get_context("spawn")
        self._made = context.Value("q", 0)
        self._wanted = context.Value("q", 0)
        self._process = context.Process(target=self._produce, daemon=True)

    def start(self, first: int) -> None:
        """Start the child; pairs before `first` lie in the ring already."""
        self._made.value = self._wanted.value = first // RENDER_CHUNK * RENDER_CHUNK
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.pid is not None:
            self._process.terminate()
            self._process.join()

    def wait_for(self, count: int) -> None:
        """Ask for pairs up to `count` and some more, and wait until these are there.

        Raises:
            WplusError: If the child died.
        """
        self._wanted.value = count + LOOKAHEAD
        while self._made.value < count:
            if not self._process.is_alive():
                raise WplusError(
                    f"the pair producer must be alive, got exit code {self._process.exitcode}"
                )
            time.sleep(POLL_S)

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in ("ring", "_process")}

    def _produce(self) -> None:
        """Run in the child: generate whatever is wanted and not made."""
        ring = PairRing(self._folder, self._slots, self._shape)
        render = make_render(self._generator, self._device, self._config.compile)
        while True:
            first = self._made.value
            if first >= self._wanted.value:
                time.sleep(POLL_S)
                continue
            ws = torch.stack([self._sample(first + i) for i in range(RENDER_CHUNK)])
            ring.write(first, render(ws), ws)
            self._made.value = first + RENDER_CHUNK

    @torch.no_grad()
    def _sample(self, index: int) -> Float[Tensor, "num_ws w_dim"]:
        random = seeded(self._config.seed, "pair", index)
        return sample_codes(self._generator, self._config, 1, random)[0]
