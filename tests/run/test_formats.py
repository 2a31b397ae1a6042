"""Every format that was ever released loads for ever, with the values that were put in (R18).

A folder in `tests/data/formats/` is never written again; a new format adds one.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from seq2x import run

STORED = Path(__file__).parent.parent / "data" / "formats"


@pytest.mark.parametrize("number", range(1, run.FORMAT + 1))
def test_a_stored_folder_loads(tmp_path, number):
    folder = shutil.copytree(STORED / str(number), tmp_path / "run")  # a checkout may have made hard links
    saved = run.load(folder)
    assert (saved.step, saved.kind) == (42, "model")
    assert saved.about == {"rate": 0.1, "names": ["a", None, True], "big": 2**53 + 1}
    assert saved.json("note.json") == {"text": "é日本語"}
    expected = {
        "f32": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
        "f64": np.array(0.1),
        "i64": np.array([-1, 2**40]),
        "u8": np.arange(3, dtype=np.uint8),
        "flag": np.array([True, False]),
    }
    found = saved.tensors("tensors.safetensors")
    run.check_tensors(found, {name: (array.shape, array.dtype.name) for name, array in expected.items()}, "x")
    assert all(np.array_equal(found[name], array) for name, array in expected.items())


def test_todays_format_is_among_them():
    assert sorted(int(path.name) for path in STORED.iterdir()) == list(range(1, run.FORMAT + 1))
