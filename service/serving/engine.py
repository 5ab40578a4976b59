"""The engine: one thread that owns the device, a batcher for each operation, and their health.

The only module of the synchronous service that imports model_core's predictor. All inputs and
outputs are on the CPU: uint8 images as numpy arrays, codes as float32 tensors (num_ws, w_dim).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from model_core.inversion.polisher import Polished, Polishing
from model_core.latents.latent import Detail, Latent
from model_core.metrics.quality import Quality
from model_core.predictor import Operation, Predictor
from model_core.shapes import DetailTensor, Face, SquarePixels, Ws
from model_core.weights.cache import DEFAULT_JUDGE
from service.errors import EngineDownError
from service.observability.metrics import Telemetry
from service.serving.batcher import Answer, Batcher
from service.settings import Settings

T = TypeVar("T")

POLISH_SLICE_S = 0.25
"""How long polishing holds the device while others wait: 4 to 6 of its steps on a CPU."""

logger = logging.getLogger("service.serving.engine")


_Blend = tuple[Latent, Latent, float, Ws]
"""The latents of lam = 1 and lam = 0, lam, and the code between."""

PredictorLoader = Callable[[Settings], Predictor]


def load_predictor(settings: Settings) -> Predictor:
    """Load the predictor that the settings ask for."""
    embedder = settings.network_path
    if embedder is None:
        logger.warning(
            "no embedding network for %s: only codes are accepted; set WPLUS_NETWORK to one",
            settings.generator,
        )
    predictor = Predictor.load(
        settings.cache,
        embedder,
        settings.device,
        settings.backend,
        settings.generator,
        settings.polish_head_path,
        dtype=settings.dtype,
        detail=settings.detail_encoder_path,
        defer_compile=True,
    )
    if predictor.identity_judge is None:
        logger.warning(
            "no recogniser in %s: answers will not say whether it is the same person; "
            "`python -m model_core.checkpoints pull %s` fetches it",
            settings.cache,
            DEFAULT_JUDGE,
        )
    return predictor


@dataclass(eq=False, slots=True)
class _Polish:
    """A polishing request in progress.

    Attributes:
        face: What the code should render.
        code: The code it starts from.
        end_s: When its budget ends, on `time.monotonic`'s scale.
        polished: The result so far.
        over: Whether no further step fits.
        begun: Whether the device has started the current slice.
        abandoned: Whether nobody waits for it any more.
        session: Runs the steps; None until it has had the device.
    """

    face: Face
    code: Ws
    end_s: float
    polished: Polished
    over: bool = False
    begun: bool = False
    abandoned: bool = False
    session: Polishing | None = None


class Engine:
    """Batch calls onto one device thread.

    Operations that gain nothing from batching run one by one, so that nobody waits for somebody
    else's answer.

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
        self._device_name = device
        self._device = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")
        self._predictor: Predictor | None = None
        self._busy_since_s: float | None = None
        self._broken = False
        self.ready = False
        turn = asyncio.Lock()

        def batcher(op: str, run: Callable[[Predictor, list[Any]], list[Any]]) -> Batcher[Any, Any]:
            return Batcher(
                lambda items: self._on_device(run, self._predictor, items),
                name=op,
                max_batch=1,
                max_queue=queue_size,
                memory_errors=(MemoryError, torch.OutOfMemoryError),
                on_memory_error=telemetry.oom.labels(op=op).inc,
                on_drop=telemetry.dropped,
                on_batch=telemetry.batch_size.labels(stage=op).observe,
                turn=turn,
            )

        self._embed: Batcher[Face, Ws] = batcher("encode", _embed)
        self._merge: Batcher[tuple[Face, Face], Ws] = batcher("merge", _merge)
        self._detail: Batcher[tuple[Face, Ws], DetailTensor] = batcher("detail", _detail)
        self._blend: Batcher[_Blend, Latent] = batcher("blend", _blend)
        self._synthesize: Batcher[Latent, SquarePixels] = batcher("synthesize", _synthesize)
        self._quality: Batcher[tuple[Face, SquarePixels], Quality] = batcher("quality", _quality)
        self._polish: Batcher[_Polish, None] = batcher("polish", self._polish_on)
        self._sample: Batcher[tuple[int, float], Ws] = batcher("sample", _sample)

    @property
    def batchers(self) -> tuple[Batcher[Any, Any], ...]:
        """The batchers of all operations."""
        return tuple(self._by_operation().values())

    @property
    def alive(self) -> bool:
        """Whether the engine can answer, or will once it has loaded: /livez uses this."""
        if self._broken:
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
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def memory_bytes(self, kind: Literal["allocated", "reserved"]) -> int:
        """Memory of a CUDA device that tensors use, or that torch has reserved."""
        measure = {
            "allocated": torch.cuda.memory_allocated,
            "reserved": torch.cuda.memory_reserved,
        }[kind]
        return measure(self._device_name)

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
            self._broken = not self.ready

    async def start_compiling(self) -> None:
        """Compile what was deferred, once, after `start`; requests are served meanwhile.

        Raises:
            EngineDownError: If nothing is loaded.
        """
        if self._predictor is None:
            raise EngineDownError("The networks are not loaded.")
        await asyncio.to_thread(self._predictor.import_compiler)
        await self._on_device(self._predictor.start_compiling)

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
        """Improve a code's match to its face within a time budget.

        The time runs while others have the device, and whoever waits gets it after a slice of
        `POLISH_SLICE_S`, so that many budgets together take no longer than the longest of them and
        keep nobody else waiting for more than a slice. At most half of the time until the deadline
        is spent: the other half is for what follows.

        Returns:
            The result; the code unchanged if it never got the device.
        """
        now_s = time.monotonic()
        if deadline_s is not None:
            left_s = deadline_s - asyncio.get_running_loop().time()
            budget_s = min(budget_s, left_s / 2)
        work = _Polish(face, code, now_s + budget_s, Polished(code[None], 0))
        ran_s = 0.0
        try:
            while not work.over:
                slice_s = await self._next_slice(work, deadline_s)
                if slice_s is None:
                    break
                ran_s += slice_s
        finally:
            work.abandoned = True
        ended_s = time.monotonic()
        return Answer(work.polished, ended_s - now_s - ran_s, ran_s, 1, ended_s)

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
        self._device.shutdown(wait=False, cancel_futures=True)
        return self._busy_since_s is None

    async def _next_slice(self, work: _Polish, deadline_s: float | None) -> float | None:
        """Return the seconds that the next slice ran; None if the budget ended in the queue."""
        work.begun = False
        waiting = asyncio.ensure_future(self._polish.submit(work, deadline_s))
        try:
            await asyncio.wait({waiting}, timeout=max(work.end_s - time.monotonic(), 0.0))
            if not waiting.done() and not work.begun:
                return None
            return (await waiting).ran_s
        finally:
            waiting.cancel()

    def _polish_on(self, predictor: Predictor, works: list[_Polish]) -> list[None]:
        """Continue polishing, each until it is over, or its slice is used up and others wait."""
        for work in works:
            self._polish_slice(predictor, work)
        return [None] * len(works)

    def _polish_slice(self, predictor: Predictor, work: _Polish) -> None:
        work.begun = True
        until_s = time.monotonic() + POLISH_SLICE_S

        def pause() -> bool:
            others = any(batcher.depth for batcher in self.batchers)
            return work.abandoned or (others and time.monotonic() >= until_s)

        if work.session is None:
            work.session = predictor.polishing(work.face[None], work.code[None])
        work.over = work.session.go_on(work.end_s, pause)
        work.polished = work.session.result

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
        predictor = await self._on_device(self._load)
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
            await self._on_device(_run_all, predictor, size)
        took_s = time.monotonic() - started_s
        self._telemetry.warmup_seconds.set(took_s)
        logger.info("warmed up in %.1f s", took_s)

    async def _on_device(self, function: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._device, self._timed, function, args)

    def _timed(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        self._busy_since_s = time.monotonic()
        try:
            return function(*args)
        except RuntimeError:  # what torch raises, also when the device itself is lost
            self._check_device()
            raise
        finally:
            self._busy_since_s = None

    def _check_device(self) -> None:
        """Check after a failure whether the device still works at all."""
        try:
            torch.zeros(1, device=self._device_name).add_(1).item()
        except RuntimeError:
            logger.exception("device %s no longer answers", self._device_name)
            self._broken = True


def _embed(predictor: Predictor, faces: list[Face]) -> list[Ws]:
    return list(predictor.embed(np.stack(faces)))


def _merge(predictor: Predictor, pairs: list[tuple[Face, Face]]) -> list[Ws]:
    identity, attribute = zip(*pairs, strict=True)
    return list(predictor.merge(np.stack(identity), np.stack(attribute)))


def _detail(predictor: Predictor, pairs: list[tuple[Face, Ws]]) -> list[DetailTensor]:
    faces, codes = zip(*pairs, strict=True)
    return list(predictor.encode_detail(np.stack(faces), torch.stack(codes)))


def _blend(predictor: Predictor, blends: list[_Blend]) -> list[Latent]:
    return [predictor.blend(*each) for each in blends]


def _synthesize(predictor: Predictor, latents: list[Latent]) -> list[SquarePixels]:
    return list(predictor.render(latents))


def _quality(predictor: Predictor, pairs: list[tuple[Face, SquarePixels]]) -> list[Quality]:
    faces, images = zip(*pairs, strict=True)
    return predictor.quality(np.stack(faces), np.stack(images))


def _sample(predictor: Predictor, draws: list[tuple[int, float]]) -> list[Ws]:
    return [predictor.sample(seed, psi)[0] for seed, psi in draws]


def _run_all(predictor: Predictor, size: int) -> None:
    """Warm up every operation as requests run it: compilers specialise on strides and layout."""
    faces = [np.full((256, 256, 3), 127, np.uint8)] * size
    code = predictor.sample(0, 0.7)[0]
    codes = _embed(predictor, faces) if predictor.embeds else [code] * size
    images = _synthesize(predictor, [Latent(code) for code in codes])
    if predictor.detail_shape:
        details = _detail(predictor, list(zip(faces, codes, strict=True)))
        latents = [Latent(*pair) for pair in zip(codes, map(Detail, details, codes), strict=True)]
        _synthesize(predictor, [latent.moved_to(latent.ws + 0.1) for latent in latents])
        _blend(predictor, [(latents[0], latents[0], 0.5, codes[0])])
    if predictor.merges:
        _merge(predictor, list(zip(faces, faces, strict=True)))
    _quality(predictor, list(zip(faces, images, strict=True)))
    if predictor.polishes and size == 1:
        predictor.polishing(faces[0][None], code[None]).go_on(0.0)
