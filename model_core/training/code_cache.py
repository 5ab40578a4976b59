"""On-disk cache of the best code found so far for each training photo.

Source: Guan et al. 2020, section 3.3: a code from the iterator supervises the embedding network
only if it beats the cached one, that is, if its loss (equation 1) is lower.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from model_core.atomic_file import write_file
from model_core.errors import CheckpointError

KEYS = "keys.json"
CODES = "codes.npy"
LOSSES = "losses.npy"


class CodeCache:
    """Memory-mapped codes and losses by slot; offered codes become durable at a checkpoint.

    A killed run repeats the steps since its last checkpoint, so the files must match that
    checkpoint. Codes offered since then stay in memory: `prepare` writes them to a journal before
    the checkpoint is written, `apply` moves the journal into the files afterwards, and `recover`
    does the same at a restart; it is idempotent.

    Args:
        folder: Folder of the files. If it holds a cache with other keys, the codes of shared keys
            are kept.
        keys: One per slot: digest of the image and its orientation.
        code_shape: (num_ws, w_dim).
    """

    def __init__(self, folder: Path, keys: Sequence[str], code_shape: tuple[int, int]):
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        stored = folder / KEYS
        if not stored.exists() or json.loads(stored.read_text()) != list(keys):
            _rebuild(folder, list(keys), code_shape)
        self._codes = np.load(folder / CODES, mmap_mode="r+")
        self._losses = np.load(folder / LOSSES, mmap_mode="r+")
        self._pending: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._losses)

    @property
    def filled(self) -> float:
        """Fraction of slots that hold a code, including codes not yet on disk."""
        lasting = np.isfinite(self._losses)
        fresh = sum(not lasting[slot] for slot in self._pending)
        return (int(lasting.sum()) + fresh) / len(self)

    def read(
        self, slots: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch num_ws w_dim"], Float[Tensor, " batch"]]:
        """Return codes and their losses; an empty slot has an infinite loss."""
        entries = [self._entry(int(slot)) for slot in slots]
        return torch.stack([ws for ws, _ in entries]), torch.stack([loss for _, loss in entries])

    def offer(
        self,
        slots: Int[Tensor, " batch"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        loss: Float[Tensor, " batch"],
    ) -> Bool[Tensor, " batch"]:
        """Store codes whose loss is lower than the stored one; return which were stored.

        If a slot is offered several codes, the best one is kept; each is compared with the code
        stored before the call.
        """
        before = torch.stack([self._entry(slot)[1] for slot in slots.tolist()])
        for i, slot in enumerate(slots.tolist()):
            if loss[i] < self._entry(slot)[1]:
                self._pending[slot] = (ws[i].clone(), loss[i].clone())
        return loss < before

    def prepare(self, step: int) -> None:
        """Write pending codes to a journal, before the checkpoint of that step is written.

        The journal is synced to disk on return: a power cut cannot leave a checkpoint without it.
        """
        if not self._pending:
            return
        slots = sorted(self._pending)
        tensors = {
            "slots": torch.tensor(slots),
            "ws": torch.stack([self._pending[slot][0] for slot in slots]),
            "loss": torch.stack([self._pending[slot][1] for slot in slots]),
        }
        write_file(self._journal(step), save(tensors))

    def apply(self, step: int) -> None:
        """Move the journal of a step into the files, after that step's checkpoint was written.

        Raises:
            CheckpointError: If the journal is damaged.
        """
        journal = self._journal(step)
        if journal.exists():
            try:
                tensors = load_file(journal)
                slots, ws, loss = (tensors[name].numpy() for name in ("slots", "ws", "loss"))
                self._codes[slots] = ws
                self._losses[slots] = loss
            except (SafetensorError, OSError, LookupError, ValueError) as err:
                raise CheckpointError(
                    f"{journal} is damaged and its codes are lost: {err}; delete it to go on, the "
                    "iterator will find those codes again"
                ) from err
            self._codes.flush()
            self._losses.flush()
            journal.unlink()
        self._pending.clear()

    def recover(self, step: int) -> None:
        """Restore the files to their state at the checkpoint a run resumes from.

        Raises:
            CheckpointError: If that checkpoint's journal is damaged.
        """
        self.apply(step)
        for journal in self._folder.glob("journal-*"):
            journal.unlink()

    def _entry(self, slot: int) -> tuple[Tensor, Tensor]:
        if slot in self._pending:
            return self._pending[slot]
        return torch.from_numpy(self._codes[slot].copy()), torch.tensor(self._losses[slot])

    def _journal(self, step: int) -> Path:
        return self._folder / f"journal-{step:08d}.safetensors"


def _rebuild(folder: Path, keys: list[str], code_shape: tuple[int, int]) -> None:
    """Write files for the new keys to temporary names, then replace the old; keys.json last."""
    fresh = folder / "rebuild"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    shape = (len(keys), *code_shape)
    codes = np.lib.format.open_memmap(fresh / CODES, mode="w+", dtype=np.float32, shape=shape)
    losses = np.lib.format.open_memmap(
        fresh / LOSSES, mode="w+", dtype=np.float32, shape=(len(keys),)
    )
    losses[:] = np.inf
    if (folder / KEYS).exists():
        old = {key: i for i, key in enumerate(json.loads((folder / KEYS).read_text()))}
        known = [(new, old[key]) for new, key in enumerate(keys) if key in old]
        if known:
            to, of = (list(side) for side in zip(*known, strict=True))
            codes[to] = np.load(folder / CODES, mmap_mode="r")[of]
            losses[to] = np.load(folder / LOSSES, mmap_mode="r")[of]
        (folder / KEYS).unlink()
    codes.flush()
    losses.flush()
    for name in (CODES, LOSSES):
        (fresh / name).replace(folder / name)
    write_file(folder / KEYS, json.dumps(keys).encode())
    fresh.rmdir()
