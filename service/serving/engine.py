"""The engine: a batcher for each operation of the predictor, and their health.

All inputs and outputs are on the CPU: uint8 images as numpy arrays, codes as float32 tensors
(num_ws, w_dim).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Literal

import torch

from model_core.inversion.polisher import Polished
from model_core.latents.latent import Latent
from model_core.metrics.quality import Quality
from model_core.predictor import Operation, Predictor
from model_core.shapes import DetailTensor, Face, SquarePixels, Ws
from service.errors import EngineDownError
from service.observability.metrics import Telemetry
from service.serving import operations, polishing
from service.serving.batcher import Answer, Batcher
from service.serving.device_thread import DeviceThread
from service.serving.polishing import PolishWork, run_slice

logger = logging.getLogger("service.serving.engine")


class Engine:
    """Batch calls onto one device thread.

    Operations that gain nothing from batching run one by one, so that no request waits for the
    answer of another.

    Args:
        load: Builds the predictor; called on the device thread.
        telemetry: Counts batch sizes and dropped entries.
        max_batch: Largest batch of an operation that the predictor runs in batches; all sizes up to
            it are warmed up.
        queue_size: Most entries that wait for an operation.
        stall_s: A device call longer than this counts as hung, once warm.
        device: The predictor's device, tested after a failure.
    """

    def __init__(
        self,
        load: Callable[[], Predictor],
        telemetry: Telemetry,
        *,
        max_batch: int = 4,
        queue_size: int = 64,
        stall_s: float = 120.0,
        device: str = "cpu",
    ) -> None:
        self._load = load
        self._telemetry = telemetry
        self._max_batch = max_batch
        self._stall_s = stall_s
        self._device = DeviceThread(device)
        self._predictor: Predictor | None = None
        self._failed = False
        self.ready = False
        turn = asyncio.Lock()

        def batcher(op: str, run: Callable[[Predictor, list[Any]], list[Any]]) -> Batcher[Any, Any]:
            return Batcher(
                lambda items: self._device.run(run, self._predictor, items),
                name=op,
                max_batch=1,
                max_queue=queue_size,
                memory_errors=(MemoryError, torch.OutOfMemoryError),
                on_memory_error=telemetry.oom.labels(op=op).inc,
                on_drop=telemetry.dropped,
                on_batch=telemetry.batch_size.labels(stage=op).observe,
                turn=turn,
            )

        self._embed: Batcher[Face, Ws] = batcher("encode", operations.embed)
        self._merge: Batcher[tuple[Face, Face], Ws] = batcher("merge", operations.merge)
        self._detail: Batcher[tuple[Face, Ws], DetailTensor] = batcher("detail", operations.detail)
        self._blend: Batcher[operations.Blend, Latent] = batcher("blend", operations.blend)
        self._synthesize: Batcher[Latent, SquarePixels] = batcher(
            "synthesize", operations.synthesize
        )
        self._quality: Batcher[tuple[Face, SquarePixels], Quality] = batcher(
            "quality", operations.quality
        )
        self._polish: Batcher[PolishWork, None] = batcher("polish", self._polish_slices)
        self._sample: Batcher[tuple[int, float], Ws] = batcher("sample", operations.sample)

    @property
    def batchers(self) -> tuple[Batcher[Any, Any], ...]:
        """The batchers of all operations."""
        return tuple(self._by_operation().values())

    @property
    def alive(self) -> bool:
        """Whether the engine can answer, or will once it has loaded: /livez uses this."""
        if self._failed or self._device.lost:
            return False
        return not self.ready or (
            self.busy_s <= self._stall_s and all(batcher.alive for batcher in self.batchers)
        )

    def check_alive(self) -> None:
        """Raise if the engine is dead.

        Raises:
            EngineDownError: If it is not `alive`.
        """
        if not self.alive:
            raise EngineDownError("The engine has failed or hangs.")

    @property
    def busy_s(self) -> float:
        """Seconds that the current device call has been running; 0 when idle."""
        return self._device.busy_s

    def memory_bytes(self, kind: Literal["allocated", "reserved"]) -> int:
        """Memory of a CUDA device that tensors use, or that torch has reserved."""
        return self._device.memory_bytes(kind)

    async def start(self) -> Predictor:
        """Load the weights, then run every operation once at every batch size.

        Returns:
            The loaded predictor; only the engine may run it.

        Raises:
            CheckpointError: If a weight file is missing or its digest is wrong.
        """
        try:
            predictor = self._predictor = await self._load_weights()
            await self._warm_up(predictor)
            self.ready = True
            return predictor
        finally:
            self._failed = not self.ready

    async def start_compiling(self) -> None:
        """Compile what was deferred, once, after `start`; requests are served meanwhile.

        Raises:
            EngineDownError: If nothing is loaded.
        """
        if self._predictor is None:
            raise EngineDownError("The networks are not loaded.")
        await asyncio.to_thread(self._predictor.import_compiler)
        await self._device.run(self._predictor.start_compiling)

    async def embed(self, face: Face, deadline_s: float | None = None) -> Answer[Ws]:
        """Compute the code of an aligned face."""
        return await self._embed.submit(face, deadline_s)

    async def merge(
        self, identity: Face, attribute: Face, deadline_s: float | None = None
    ) -> Answer[Ws]:
        """Compute the code of one aligned face's identity with another's attributes."""
        return await self._merge.submit((identity, attribute), deadline_s)

    async def polish(
        self, face: Face, code: Ws, budget_s: float, deadline_s: float | None = None
    ) -> Answer[Polished]:
        """Improve a code's match to its face within a time budget, in slices; see `polishing`."""
        return await polishing.polish(self._polish, face, code, budget_s, deadline_s)

    async def detail(
        self, face: Face, code: Ws, deadline_s: float | None = None
    ) -> Answer[DetailTensor]:
        """Compute what a code leaves out of an aligned face."""
        return await self._detail.submit((face, code), deadline_s)

    async def blend(
        self, a: Latent, b: Latent, lam: float, ws: Ws, deadline_s: float | None = None
    ) -> Answer[Latent]:
        """Move the details of two latents to a code between theirs and blend them."""
        return await self._blend.submit((a, b, lam, ws), deadline_s)

    async def synthesize(
        self, latent: Latent, deadline_s: float | None = None
    ) -> Answer[SquarePixels]:
        """Render a latent."""
        return await self._synthesize.submit(latent, deadline_s)

    async def quality(
        self, face: Face, image: SquarePixels, deadline_s: float | None = None
    ) -> Answer[Quality]:
        """Compare an aligned face with its reconstruction."""
        return await self._quality.submit((face, image), deadline_s)

    async def sample(self, seed: int, psi: float, deadline_s: float | None = None) -> Answer[Ws]:
        """Draw a code from the generator's own distribution, truncated by psi."""
        return await self._sample.submit((seed, psi), deadline_s)

    async def close(self, drain_s: float = 0.0) -> bool:
        """Drain the batchers and release the device thread; return whether it is idle."""
        await asyncio.gather(*(batcher.close(drain_s) for batcher in self.batchers))
        self.ready = False
        self._device.close()
        return self._device.idle

    def _polish_slices(self, predictor: Predictor, works: list[PolishWork]) -> list[None]:
        for work in works:
            run_slice(predictor, work, self._others_wait)
        return [None] * len(works)

    def _others_wait(self) -> bool:
        return any(batcher.depth for batcher in self.batchers)

    def _by_operation(self) -> dict[Operation, Batcher[Any, Any]]:
        return {
            "embed": self._embed,
            "merge": self._merge,
            "detail": self._detail,
            "blend": self._blend,
            "synthesize": self._synthesize,
            "quality": self._quality,
            "polish": self._polish,
            "sample": self._sample,
        }

    async def _load_weights(self) -> Predictor:
        started_s = time.monotonic()
        logger.info("loading weights")
        predictor = await self._device.run(self._load)
        for operation, batcher in self._by_operation().items():
            batcher.max_batch = self._max_batch if predictor.batches(operation) else 1
        took_s = time.monotonic() - started_s
        self._telemetry.model_load_seconds.set(took_s)
        logger.info("weights loaded in %.1f s", took_s)
        return predictor

    async def _warm_up(self, predictor: Predictor) -> None:
        started_s = time.monotonic()
        for batcher in self.batchers:
            batcher.start()
        for size in range(1, max(batcher.max_batch for batcher in self.batchers) + 1):
            logger.info("warming up batches of %d", size)
            await self._device.run(operations.warm_up, predictor, size)
        took_s = time.monotonic() - started_s
        self._telemetry.warmup_seconds.set(took_s)
        logger.info("warmed up in %.1f s", took_s)
