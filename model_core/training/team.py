"""The processes of a data-parallel run, as torchrun starts them; one process is a team of one."""

from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True, slots=True)
class Team:
    """This process among those of the run.

    Attributes:
        rank: Of this process.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Team":
        """Join the processes that torchrun started; without torchrun, be a team of one."""
        if not distributed.is_torchelastic_launched():
            return cls()
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process generates pairs, validates and writes checkpoints."""
        return self.rank == 0

    def shards(self, count: int) -> list[int]:
        """Return the shards of the data that this process owns."""
        return list(range(self.rank, count, self.size))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Part from the others, where there are any."""
        if self.size > 1:
            distributed.destroy_process_group()
