"""Iterator supervision in collaborative training: find better codes for a step's photos.

Source: Guan et al. 2020, section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from model_core.inversion.iterator import IteratorState, LatentIterator
from model_core.training.code_cache import CodeCache


@dataclass(frozen=True, slots=True)
class IteratorTargets:
    """Targets for the embedding network on some photos.

    Attributes:
        ws: w_o, the best code of each photo so far.
        loss: Equation 1 of w_o.
        start_loss: Equation 1 of the network's own codes, even if the iterator started elsewhere.
        hits: Whether the previously cached code is no worse than the one this visit found.
    """

    ws: Float[Tensor, "batch num_ws w_dim"]
    loss: Float[Tensor, " batch"]
    start_loss: Float[Tensor, " batch"]
    hits: Bool[Tensor, " batch"]


def average_figures(targets: Sequence[IteratorTargets]) -> dict[str, float]:
    """Return a step's metrics, means over all photos; empty if no photo was supervised."""
    if not targets:
        return {}
    return {
        "iterator": torch.cat([target.loss for target in targets]).mean().item(),
        "iterator_start": torch.cat([target.start_loss for target in targets]).mean().item(),
        "cache_hits": torch.cat([target.hits for target in targets]).float().mean().item(),
    }


class IteratorSupervisor:
    """Run the iterator from the network's codes and keep the best codes.

    Args:
        iterator: The optimiser over codes.
        cache: Best codes so far.
        steps: Iterator steps per visit; 100 in the paper.
        from_cache: Start from the cached code if its loss is lower than that of the network's
            code, so that a few steps per visit add up. Not in the paper.
    """

    def __init__(self, iterator: LatentIterator, cache: CodeCache, steps: int, from_cache: bool):
        self._iterator, self.cache = iterator, cache
        self._steps, self._from_cache = steps, from_cache

    def supervise(
        self,
        target: Float[Tensor, "batch 3 height width"],
        slots: Int[Tensor, " batch"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> IteratorTargets:
        """Improve the network's codes for photos.

        Args:
            target: Photos in [-1, 1] at the size of the loss.
            slots: Their slots in the cache.
            ws: w_e, the network's codes.
        """
        ws = ws.detach().float()
        start_loss = self._iterator.losses(ws, target)
        start = ws
        if self._from_cache:
            cached_ws, cached_loss = (x.to(ws.device) for x in self.cache.read(slots))
            start = torch.where((cached_loss < start_loss)[:, None, None], cached_ws, ws)
        state = IteratorState.start(start)
        self._iterator.run(state, target, self._steps)
        better = self.cache.offer(slots, state.best_ws.cpu(), state.best_loss.cpu())
        best_ws, best_loss = (x.to(ws.device) for x in self.cache.read(slots))
        return IteratorTargets(ws=best_ws, loss=best_loss, start_loss=start_loss, hits=~better)
