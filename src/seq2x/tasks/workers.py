"""Several batches decoded at once, one processor core each; and what does not fit into memory, in parts.

Two batches on two cores finish sooner than one after the other on both: the products of a decoding step are too small
to be shared out well, and every one of them would end with cores that wait for each other. (Threads of Python serve,
because torch holds no lock of the interpreter while it computes.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

from seq2x.errors import OutOfMemory

__all__ = ["halving", "in_order"]


class _HasText(Protocol):
    @property
    def text(self) -> str: ...


_Item = TypeVar("_Item", bound=_HasText)
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


def in_order(
    work: Callable[[_Part], _Result], parts: Sequence[_Part], device: torch.device, alike: bool = False
) -> list[_Result]:
    """`work` of each of `parts`, in their order.

    On a CPU as many parts are worked on at once as torch has threads, each with one; a single part, and any part on
    another device, has all of them. With `alike` every part is computed with one thread, also a single one: the
    number of threads can show in the last bits. The first exception of any part is raised.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or not (alike or len(parts) > 1):
        return [work(part) for part in parts]
    with _one_thread_each():
        if len(parts) < 2:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(min(threads, len(parts)), "decode", torch.set_num_threads, (1,)) as pool:
            futures = [pool.submit(_without_gradients, work, part) for part in parts]
            try:
                return [future.result() for future in futures]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def halving(work: Callable[[Sequence[_Item]], list[_Result]], part: Sequence[_Item]) -> list[_Result]:
    """`work` of a whole part; where memory does not suffice, of its two halves, and so on.

    Raises `OutOfMemory` where one item alone is too much.
    """
    try:
        return work(part)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(part) == 1:
            todo = "try a smaller beam_size, or a machine with more memory"
            raise OutOfMemory(
                "memory", f"one input of {len(part[0].text):,} characters is too much", todo=todo
            ) from error
    half = len(part) // 2
    return halving(work, part[:half]) + halving(work, part[half:])


def _out_of_memory(error: BaseException) -> bool:
    """The CPU's allocator has no exception of its own."""
    return (
        not isinstance(error, RuntimeError)
        or isinstance(error, torch.OutOfMemoryError)
        or "DefaultCPUAllocator" in str(error)
    )


def _without_gradients(work: Callable[[_Part], _Result], part: _Part) -> _Result:
    """Whether gradients are wanted is a matter of each thread."""
    with torch.no_grad():
        return work(part)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """torch computes with one thread inside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
