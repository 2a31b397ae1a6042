import subprocess
import sys

import pytest

from seq2x import allocator

_PROGRAM = """
import resource, sys
import numpy as np
from seq2x.allocator import keep_memory
if "keep" in sys.argv:
    assert keep_memory()
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(10 << 20).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(6)
print(faults(5))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_blocks_are_used_again_without_page_faults():
    faults = {
        word: int(
            subprocess.run([sys.executable, "-c", _PROGRAM, word], capture_output=True, check=True, text=True).stdout
        )
        for word in ("keep", "default")
    }
    assert faults["keep"] < faults["default"] / 10


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_memory()


def test_a_c_library_without_it_is_no_error(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()
