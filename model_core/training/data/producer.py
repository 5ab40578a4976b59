"""A child process that generates pairs ahead of the training loop."""

import multiprocessing
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.errors import WplusError
from model_core.generators.contract import Generator
from model_core.generators.sampling import sample_each, seeded
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import RENDER_CHUNK, PairRing, make_render
from model_core.training.distributed import Ranks

FIRST_PAIRS = 256
LOOKAHEAD = 512
POLL_S = 0.05


class PairProducer:
    """Keep a ring of pairs filled from a child process, a bounded distance ahead of the consumer.

    Pair i depends only on the settings and i, and draws depend only on the step, so results do not
    depend on how far ahead the producer is. The ring exceeds the window by the number of pairs that
    may be generated after a checkpoint, so a resumed run finds every pair it draws.

    Args:
        config: Its seed, window, batch, replay, checkpoint_every and sampling fields are read.
        folder: Folder of the ring.
        generator: Frozen, on the CPU; copied into the child.
        device: Device the child renders on.
        dtype: Precision the child renders in.
        produces: False if another process of the run owns the child; the ring is shared.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        generator: Generator,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        produces: bool = True,
    ):
        self._config, self._folder, self._generator = config, folder, generator
        self._device, self._dtype, self._produces = device, dtype, produces
        self._shape = (generator.num_ws, generator.w_dim)
        self._slots = (
            config.window
            + 2 * LOOKAHEAD
            + 2 * int(config.checkpoint_every * config.batch / config.replay)
        )
        self.ring = PairRing(folder, self._slots, self._shape)
        context = multiprocessing.get_context("spawn")
        self._wanted = context.Value("q", 0)
        self._process = context.Process(target=self._produce, daemon=True)

    @classmethod
    def of_run(
        cls,
        config: TrainConfig,
        folder: Path,
        generator: Generator,
        device: torch.device,
        dtype: torch.dtype,
        ranks: Ranks,
    ) -> "PairProducer":
        """Open the ring of a run of several processes, of which the first fills it."""
        if not ranks.is_main:
            ranks.wait()  # until rank 0 has created the ring
        produces = ranks.is_main and config.pairs_per_shard > 0
        producer = cls(config, folder, generator, device, dtype, produces)
        if ranks.is_main:
            ranks.wait()
        return producer

    def __enter__(self) -> "PairProducer":
        """Start the child; it continues where the ring ends."""
        if self._produces:
            self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._produces:
            self._process.terminate()
            self._process.join()

    def wait_for(self, count: int) -> None:
        """Request pairs up to `count` and some more; wait until `count` are there.

        Raises:
            WplusError: If the child process died.
        """
        self._wanted.value = count + LOOKAHEAD
        while self.ring.count < count:
            if self._produces and not self._process.is_alive():
                raise WplusError(f"The pair producer died with exit code {self._process.exitcode}.")
            time.sleep(POLL_S)

    def draw(
        self, step: int, shards: Iterable[int]
    ) -> dict[int, tuple[UInt8[Tensor, "pairs 3 size size"], Float[Tensor, "pairs num_ws w_dim"]]]:
        """Draw a step's pairs for each shard, of which the config must want some.

        Raises:
            WplusError: If the child process died.
        """
        config = self._config
        pairs = config.pairs_per_shard * config.shards
        newest = min(FIRST_PAIRS, config.window) + int(step * pairs / config.replay)
        self.wait_for(newest)
        oldest = max(0, newest - config.window)
        return {
            k: self.ring.draw(
                oldest, newest, config.pairs_per_shard, seeded(config.seed, f"pairs-{k}", step)
            )
            for k in shards
        }

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in ("ring", "_process")}

    def _produce(self) -> None:
        """Generate the requested pairs that do not exist yet; runs in the child."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends the child
        ring = PairRing(self._folder, self._slots, self._shape)
        render = make_render(self._generator, self._device, self._config.compile, self._dtype)
        generator = self._generator.to(self._device)
        parent = multiprocessing.parent_process()
        while parent is not None and parent.is_alive():
            if ring.count >= self._wanted.value:
                time.sleep(POLL_S)
                continue
            ws = self._sample(generator, range(ring.count, ring.count + RENDER_CHUNK))
            ring.append(render(ws), ws)

    @torch.no_grad()
    def _sample(
        self, generator: Generator, indices: Sequence[int]
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        randoms = [seeded(self._config.seed, "pair", index) for index in indices]
        return sample_each(generator, self._config, randoms)
