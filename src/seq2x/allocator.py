"""The C library's allocator, told to keep what it has.

glibc gives every block of 32 MiB or more back to the system when it is freed and asks for fresh, zeroed pages the next
time: at 1.6 microseconds a page that is ten times slower than using the memory (15 against 1.5 ms per 32 MiB). Programs
that allocate the same large tensors again and again want it kept. This changes the whole process, so only what is a
program calls it: the commands that compute, and `seq2x.train`, which is one wherever it is called from (without it,
training was up to twice as slow). Loading a run and predicting with it, as a part of somebody's program, do not.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_memory"]

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def keep_memory() -> bool:
    """Freed memory stays with this process for its next tensors. False where there is no glibc: nothing changed.

    Peak memory is the same; what is free between two peaks is not given back.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
