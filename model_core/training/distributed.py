"""The processes of a data-parallel run, started by torchrun; a single process is rank 0 of 1."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from model_core.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among those of the run.

    Attributes:
        rank: Rank of this process.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Ranks":
        """Join the processes torchrun started; without torchrun, return rank 0 of 1."""
        if not distributed.is_torchelastic_launched():
            return cls()
        if device.type == "cuda":
            torch.cuda.set_device(device)  # NCCL's barriers run there
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process generates pairs, validates and writes checkpoints."""
        return self.rank == 0

    def shards(self, count: int) -> list[int]:
        """Return the shards of the data this process owns.

        Raises:
            InvalidInputError: If the shards cannot be divided evenly among the processes.
        """
        if count % self.size:
            raise InvalidInputError(
                f"shards must be a multiple of the {self.size} processes, got {count}"
            )
        return list(range(self.rank, count, self.size))

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors over the processes, in place."""
        for tensor in tensors if self.size > 1 else ():
            distributed.all_reduce(tensor)
            tensor /= self.size

    def any(self, mine: bool) -> bool:
        """Return whether the flag is true in any process."""
        if self.size == 1:
            return mine
        backend = distributed.get_backend()
        flag = torch.tensor(float(mine), device="cuda" if backend == "nccl" else "cpu")
        distributed.all_reduce(flag)
        return bool(flag)

    def wait(self) -> None:
        """Wait until every process has arrived here."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Leave the process group, if there is one."""
        if self.size > 1:
            distributed.destroy_process_group()


def own_device(device: torch.device, local_rank: int) -> torch.device:
    """Assign each process of a machine its own GPU, unless the device names one.

    Args:
        device: Requested device; "cuda" means any GPU, "cuda:1" that one.
        local_rank: Rank of this process on its machine.

    Raises:
        InvalidInputError: If there are fewer GPUs than processes.
    """
    if device.type != "cuda" or device.index is not None:
        return device
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise InvalidInputError(
            f"--device cuda must have a GPU for each process of the machine, got {count} "
            f"for process {local_rank + 1}"
        )
    return torch.device("cuda", local_rank)
