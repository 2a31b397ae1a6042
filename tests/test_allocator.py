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
if "train" in sys.argv:
    from pathlib import Path
    from seq2x import train
    Path("pairs.tsv").write_text("".join(f"a{n}\\tb{n * n}\\n" for n in range(20)))
    train("pairs.tsv", preset="tiny", max_steps=1, valid_size=2, max_length=2, probe=False, threads=1, quiet=True)
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(10 << 20).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(6)
print(faults(5))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_blocks_are_used_again_without_page_faults(tmp_path):
    """Where it is asked for, and after a training, whoever called `train`. Not kept, 5 x 80 MiB are 200 faults at the
    least (huge pages), and 100,000 at the most."""

    def faults(word):
        line = [sys.executable, "-c", _PROGRAM, word]
        return int(subprocess.run(line, capture_output=True, check=True, text=True, cwd=tmp_path).stdout)

    assert faults("default") >= 200
    assert faults("keep") < 50 and faults("train") < 50


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_memory()


def test_a_c_library_without_it_is_no_error(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()
