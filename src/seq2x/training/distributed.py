"""Several processes, one training: `torchrun --nproc-per-node 2 -m seq2x train ...`.

Each rank computes the gradients of its share of an update's micro-batches; sums are added over ranks before the one
division by the summed count, so two ranks compute what one does. All ranks apply the same update to the
same weights; rank 0 alone prepares, validates and writes.

A rank that fails leaves its exit code in the store where the ranks met; those that waited for it find the code there
and leave with it, silently: one failure is one message.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed

from seq2x.errors import DeviceError, PeerFailed, UsageError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

__all__ = ["World", "joined", "place"]

_PATIENCE = datetime.timedelta(days=2)  # ranks wait while rank 0 prepares or validates
_MEETING = datetime.timedelta(minutes=10)  # until all ranks have been started
_READING = 5.0  # seconds in which the others have found out that this one failed
_LEADER_FIRST = 2.0  # seconds in which rank 0 meets the same failure, which then is its to tell
_number = itertools.count()  # of a meeting: stores outlive it, and what an earlier one left must not be found


class _Alone(Exception):
    """Another rank does not answer any more."""


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
            with _together():
                distributed.all_reduce(flat)
            for tensor, part in zip(same, torch.split(flat, [t.numel() for t in same]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def largest(self, value: int) -> int:
        """The largest `value` that any rank holds."""
        if self.size == 1:
            return value
        box = torch.tensor(value)
        with _together():
            distributed.all_reduce(box, op=distributed.ReduceOp.MAX)
        return int(box)

    def from_leader(self, value: int) -> int:
        """What rank 0 says."""
        if self.size == 1:
            return value
        box = torch.tensor(value)
        with _together():
            distributed.broadcast(box, src=0)
        return int(box)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            with _together():
                distributed.barrier()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """What the ranks do together fails where one of them is gone, and nowhere else."""
    try:
        yield
    except RuntimeError as error:
        raise _Alone(str(error).partition("\n")[0]) from error


# ------------------------------------------------------------------ coming together


def place() -> World:
    """This process as torchrun's environment describes it, or the world of one. Raises `UsageError`."""
    size = _count("WORLD_SIZE", "1", 1, 1 << 20)
    if size == 1:
        return World()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UsageError("WORLD_SIZE", f"is {size}, but {', '.join(missing)} is not set", "", _TODO)
    _count("MASTER_PORT", "", 1, 65535)
    return World(_count("RANK", "", 0, size - 1), size, _count("LOCAL_RANK", "0", 0, size - 1))


_TODO = "start ranks with torchrun; for one process unset WORLD_SIZE"


def _count(name: str, default: str, least: int, most: int) -> int:
    """A whole number of the environment. Raises `UsageError`."""
    text = os.environ.get(name, default)
    try:
        if not least <= int(text) <= most:
            raise ValueError
    except ValueError:
        found = f'is "{text[:80]}"'
        raise UsageError(name, f"{found} in the environment", f"a number from {least} to {most}", _TODO) from None
    return int(text)


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """The world that torchrun's environment describes (gloo), or the world of one; all ranks leave it together.

    Raises `UsageError` if the environment is wrong or the ranks do not find each other, `PeerFailed` where another rank
    failed (or `DeviceError` if it is gone without a word).
    """
    world = place()
    if world.size == 1:
        yield world
        return
    board = _meet(world)
    try:
        yield world
        world.wait()  # whoever goes first must not take the connections away
    except BaseException as error:
        last = _last_word(board, world, error)
        distributed.destroy_process_group()  # wakes those that wait for this rank
        _let_read(board, world)
        if last is error:
            raise
        raise last from error
    distributed.destroy_process_group()


@functools.cache
def _store() -> Store:
    """Where the ranks of this process's training meet: once, for rank 0 may be the one that serves it."""
    from torch.distributed.rendezvous import rendezvous

    store: Store = next(iter(rendezvous("env://", timeout=_MEETING)))[0]
    return store


def _meet(world: World) -> Store:
    """Connect all ranks; the part of the store that is theirs this time."""
    from torch.distributed.distributed_c10d import PrefixStore  # a build of torch may lack all of this

    address = os.environ["MASTER_ADDR"]
    try:
        socket.getaddrinfo(address, None)
        board = PrefixStore(f"seq2x-{next(_number)}", _store())
        distributed.init_process_group("gloo", store=board, rank=world.rank, world_size=world.size, timeout=_PATIENCE)
    except (OSError, RuntimeError, ValueError) as error:
        at, found = f"{address[:80]}:{os.environ['MASTER_PORT']}", str(error).partition("\n")[0]
        raise UsageError("MASTER_ADDR", f"the ranks did not meet at {at}: {found}", "", _TODO) from error
    return board


# ------------------------------------------------------------------ leaving


def _last_word(board: Store, world: World, error: BaseException) -> BaseException:
    """`error`, if this is the rank that is to tell why all leave; else what takes its place."""
    others = [rank for rank in range(world.size) if rank != world.rank]
    if isinstance(error, _Alone):
        code = _left(board, others, _READING)
        if code is None:
            return DeviceError(f"rank {world.rank}", f"another rank is gone ({error})", "", "run again to go on")
    else:
        interrupted = 130 if isinstance(error, KeyboardInterrupt) else 1
        with contextlib.suppress(RuntimeError):
            board.set(f"left-{world.rank}", str(getattr(error, "exit_code", interrupted)))
        code = None if world.leader else _left(board, [0], _LEADER_FIRST)
    return error if code is None else PeerFailed(code)


def _left(board: Store, ranks: Sequence[int], seconds: float) -> int | None:
    """The exit code that one of the `ranks` left, as soon as there is one."""
    until = time.monotonic() + seconds
    with contextlib.suppress(RuntimeError, ValueError):  # the store went with rank 0
        while True:
            for key in (f"left-{rank}" for rank in ranks):
                if board.check([key]):
                    return int(board.get(key))
            if time.monotonic() > until:
                break
            time.sleep(0.02)
    return None


def _let_read(board: Store, world: World) -> None:
    """Rank 0 may take the store with it: it waits until the others have looked."""
    until = time.monotonic() + _READING
    with contextlib.suppress(RuntimeError):
        board.add("read", 1)
        while world.leader and board.add("read", 0) < world.size and time.monotonic() < until:
            time.sleep(0.02)
