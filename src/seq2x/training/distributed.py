"""Several processes, one training: `torchrun --nproc-per-node 2 -m seq2x train ...`.

Each rank computes the gradients of its share of an update's micro-batches; sums are added over ranks before the one
division by the summed count, so two ranks compute what one does. All ranks apply the same update to the
same weights; rank 0 alone prepares, validates and writes.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import distributed

from seq2x.errors import UsageError

__all__ = ["World", "joined"]

_PATIENCE = datetime.timedelta(days=2)  # ranks wait while rank 0 prepares or validates


@dataclass(frozen=True, slots=True)
class World:
    """This process among its peers; `local` is its number on this machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leader(self) -> bool:
        return self.rank == 0

    def sum_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace every tensor by its sum over all ranks, in one message per dtype."""
        if self.size == 1:
            return
        for dtype in sorted({t.dtype for t in tensors}, key=str):
            same = [t for t in tensors if t.dtype == dtype]
            flat = torch.cat([t.reshape(-1) for t in same])
            distributed.all_reduce(flat)
            for tensor, part in zip(same, torch.split(flat, [t.numel() for t in same]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def largest(self, value: int) -> int:
        """The largest `value` that any rank holds."""
        if self.size == 1:
            return value
        box = torch.tensor(value)
        distributed.all_reduce(box, op=distributed.ReduceOp.MAX)
        return int(box)

    def from_leader(self, value: int) -> int:
        """What rank 0 says."""
        if self.size == 1:
            return value
        box = torch.tensor(value)
        distributed.broadcast(box, src=0)
        return int(box)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            distributed.barrier()


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """The world that torchrun's environment describes (gloo), or the world of one.

    Raises `UsageError` if the environment is incomplete.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(
            "WORLD_SIZE", f"is {size}, but {', '.join(missing)} is not set", "", "start ranks with torchrun"
        )
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield World(distributed.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        distributed.destroy_process_group()
