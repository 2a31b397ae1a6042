"""Damage is always noticed (R8): flips, truncations, files of another step; a resume falls back."""

import os
import random
import shutil

import numpy as np
import pytest

from seq2x import run
from seq2x.errors import FolderError


def save(folder, step, keep=1):
    rng = np.random.default_rng(step)
    files = {
        "weights.safetensors": run.pack_tensors({"w": rng.normal(size=16_000), "v": rng.normal(size=50)}),
        "optimizer.safetensors": run.pack_tensors({"m": rng.normal(size=8_000), "step": np.array(step)}),
        "source.codec.json": b'{"symbols": ["a", "b"]}\n' * 100,
    }
    run.commit(folder, step, files, {"shape": {"layers": 2}, "best": 0.5}, keep)


def read_by(names):
    """The files that a load of the current generation reads."""
    return [name for name in names if not name.startswith("manifest-")]


def refused(folder, file):
    with pytest.raises(FolderError) as caught:
        run.load(folder)
    assert caught.value.exit_code == 4
    assert str(folder / file) in str(caught.value)


def test_every_flipped_bit_is_noticed(tmp_path):
    save(tmp_path, 5)
    names = read_by(sorted(os.listdir(tmp_path)))
    draw = random.Random(1)
    for number in range(1000):
        # Half of the flips by size, half of them spread evenly: the small files must get their share.
        sizes = [os.path.getsize(tmp_path / name) if number % 2 else 1 for name in names]
        path = tmp_path / draw.choices(names, sizes)[0]
        data = path.read_bytes()
        at, bit = draw.randrange(len(data)), draw.randrange(8)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit]))
            file.flush()
            refused(tmp_path, path.name)
            file.seek(at)
            file.write(data[at : at + 1])
    assert run.load(tmp_path).step == 5


def test_every_truncation_and_addition_is_noticed(tmp_path):
    save(tmp_path, 5)
    names = read_by(sorted(os.listdir(tmp_path)))
    draw = random.Random(2)
    for number in range(200):
        path = tmp_path / names[number % len(names)]
        data = path.read_bytes()
        path.write_bytes(data[: draw.choice([0, 1, len(data) // 2, len(data) - 1, draw.randrange(len(data))])])
        refused(tmp_path, path.name)
        path.write_bytes(data + b"\n")
        refused(tmp_path, path.name)
        path.write_bytes(data)
    assert run.load(tmp_path).step == 5


def test_files_of_another_step_are_noticed(tmp_path):
    save(tmp_path / "a", 5)
    save(tmp_path / "b", 6)
    for stem in ("weights-{}.safetensors", "optimizer-{}.safetensors"):
        here = tmp_path / "a" / stem.format("000005")
        kept = here.read_bytes()
        shutil.copy(tmp_path / "b" / stem.format("000006"), here)
        refused(tmp_path / "a", here.name)
        here.write_bytes(kept)
    shutil.copy(tmp_path / "b" / "manifest.json", tmp_path / "a" / "manifest.json")
    with pytest.raises(FolderError, match="no such file"):
        run.load(tmp_path / "a")


def test_files_swapped_within_a_step_are_noticed(tmp_path):
    save(tmp_path, 5)
    one, two = tmp_path / "weights-000005.safetensors", tmp_path / "optimizer-000005.safetensors"
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    with pytest.raises(FolderError):
        run.load(tmp_path)


@pytest.mark.parametrize("victim", ["manifest.json", "weights-000006.safetensors", "source-000006.codec.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_resume_falls_back_and_says_so(tmp_path, victim, damage):
    save(tmp_path, 5, 2)
    save(tmp_path, 6, 2)
    path = tmp_path / victim
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    with pytest.raises(FolderError):
        run.load(tmp_path)
    saved = run.load(tmp_path, fallback=True)
    # Where only manifest.json is damaged, the newest generation is still whole.
    assert saved.step == (6 if victim == "manifest.json" else 5)
    assert victim in saved.warning and f"step {saved.step} is used instead" in saved.warning
    save(tmp_path, 7, 2)
    assert run.load(tmp_path).step == 7


def test_without_any_good_generation_the_first_problem_is_told(tmp_path):
    save(tmp_path, 5, 2)
    save(tmp_path, 6, 2)
    for step in (5, 6):
        (tmp_path / f"weights-00000{step}.safetensors").write_bytes(b"")
    with pytest.raises(FolderError, match="weights-000006"):
        run.load(tmp_path, fallback=True)


def test_no_folder_is_no_fallback(tmp_path):
    with pytest.raises(FolderError, match="no such folder"):
        run.load(tmp_path / "absent", fallback=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="a file; expected a run folder"):
        run.load(tmp_path / "file")
    with pytest.raises(FolderError, match=r"manifest\.json: no such file"):
        run.load(tmp_path)


def test_a_generation_replaced_while_it_is_read(tmp_path, monkeypatch):
    save(tmp_path, 5)
    real, first = run._read_plain, []

    def reading(folder, name, size):
        if name.startswith("weights") and not first:
            first.append(name)
            save(tmp_path, 6)
        return real(folder, name, size)

    monkeypatch.setattr(run, "_read_plain", reading)
    assert run.load(tmp_path).step == 6
    assert first == ["weights-000005.safetensors"]


def test_a_file_the_disk_cannot_read(tmp_path, monkeypatch):
    save(tmp_path, 5)

    class Broken:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def read(self, _):
            raise OSError(5, "Input/output error")

    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: Broken(real(handle, mode)))
    with pytest.raises(FolderError, match="Input/output error"):
        run.load(tmp_path)


def test_a_machine_that_does_not_tell_its_memory(tmp_path, monkeypatch):
    def refuse(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    save(tmp_path, 5)
    assert run.load(tmp_path).step == 5
