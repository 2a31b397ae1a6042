"""Several batches decoded at once, one processor core each.

Two batches on two cores finish sooner than one after the other on both: the products of a decoding step are too small
to be shared out well, and every one of them would end with cores that wait for each other. (Threads of Python serve,
because torch holds no lock of the interpreter while it computes.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["in_order"]

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
