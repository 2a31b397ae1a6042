"""Damaged, foreign and hostile run folders through the commands that read them (B29 to B45): code 4, nothing used.

Each is a copy of a real run with one thing wrong, behind right checksums unless the checksums are what is wrong. The
loader itself is attacked in `tests/attacks`; B42 and B44 (SentencePiece models, archives) are never read.
"""

import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from tests.attacks.forge import seal

from seq2x.tensors import pack_tensors

from .conftest import cli
from .refusals import TINY, accepted, good, refused, tsv


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run of a tiny Transformer, trained for two updates."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "good.tsv").write_bytes(tsv(good()))
    accepted(["train", folder / "good.tsv", "--out", folder / "run", *TINY])
    return folder / "run"


@pytest.fixture
def best(original, tmp_path):
    """A copy of its `best/`, to be spoilt."""
    return shutil.copytree(original / "best", tmp_path / "best")


def file_of(folder, name):
    return folder / json.loads((folder / "manifest.json").read_bytes())["files"][name]["file"]


def reseal(folder, name, data):
    """Puts `data` in place of the file `name`, with checksums that are right again."""
    table = json.loads((folder / "manifest.json").read_bytes())
    del table["sha256"]
    entry = table["files"][name]
    (folder / entry["file"]).write_bytes(data)
    entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_bytes(seal(table))


def remake(folder, **changes):
    """Changes entries of the manifest, sealed again."""
    table = json.loads((folder / "manifest.json").read_bytes())
    del table["sha256"]
    (folder / "manifest.json").write_bytes(seal(table | changes))


def rewrite(folder, name, change):
    """A JSON file changed by `change`, sealed again."""
    value = json.loads(file_of(folder, name).read_bytes())
    value = change(value) or value
    reseal(folder, name, json.dumps(value).encode())


def weights(folder, change):
    """The weights changed by `change`, sealed again."""
    from seq2x.run import load

    arrays = {name: np.array(array) for name, array in load(folder).tensors("weights.safetensors").items()}
    change(arrays)
    reseal(folder, "weights.safetensors", pack_tensors(arrays))


def with_nan(folder):
    """One number of the weights becomes NaN; no writer of ours would do it."""
    data = file_of(folder, "weights.safetensors").read_bytes()
    reseal(folder, "weights.safetensors", data[:-4] + np.float32("nan").tobytes())


def first(arrays, value=None):
    name = min(name for name, array in arrays.items() if array.ndim == 2)
    if value is not None:
        arrays[name] = value(arrays[name])
    return name


NO_TENSORS = (8).to_bytes(8, "little") + b"{}      "

SPOILT = {
    # name of the row: (what is done to the folder, what is said)
    "B29 no manifest": (lambda f: (f / "manifest.json").unlink(), ["manifest.json: no such file"]),
    "B29 the future": (lambda f: remake(f, format=2, writer="seq2x 9.1"), ["format 2", "needs seq2x 9.1 or later"]),
    "B31 a bit of the manifest": (
        lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text().replace('"step": 2', '"step": 3')),
        ["manifest.json", "checksum"],
    ),
    "B36 NaN": (with_nan, ["weights", "holds NaN or infinity"]),
    "B37 a tensor is missing": (lambda f: weights(f, lambda a: a.pop(first(a))), ["weights", "missing"]),
    "B37 a tensor too many": (lambda f: weights(f, lambda a: a.update(extra=np.ones(3, np.float32))), ["extra"]),
    "B37 another shape": (lambda f: weights(f, lambda a: first(a, lambda x: x[1:].copy())), ["instead of float32"]),
    "B37 another type": (lambda f: weights(f, lambda a: first(a, lambda x: x.astype(np.float64))), ["float64"]),
    "B37 no tensors": (lambda f: reseal(f, "weights.safetensors", NO_TENSORS), ["weights", "no tensor in it"]),
    "B40 a symbol twice": (
        lambda f: rewrite(f, "source.json", lambda v: v["pieces"].append(v["pieces"][0])),
        ["source", "stands also at"],
    ),
    "B40 a symbol too many": (
        lambda f: rewrite(f, "target.json", lambda v: v["pieces"].append("\u4f60")),
        ["codec has", "symbols"],
    ),
    "B40 not UTF-8": (lambda f: reseal(f, "source.json", b'{"format": "\xff"}'), ["source"]),
    "B40 another kind of file": (lambda f: reseal(f, "source.json", b'{"model": {"type": "BPE"}}'), ["source"]),
    "B41 merges in a circle": (
        lambda f: rewrite(f, "source.json", lambda v: v.update(units="bpe", pieces=["ab", "ba"], merges=[[0, 1]])),
        ["source", "merges[0]"],
    ),
    "B43 a million layers": (
        lambda f: rewrite(f, "model.json", lambda v: v.update(encoder_layers=10**6)),
        ["1000000"],
    ),
    "B43 another width": (
        lambda f: rewrite(f, "model.json", lambda v: v.update(width=16, embedding_width=16)),
        ["weights", "instead of"],
    ),
    "B43 a width beyond all memory": (lambda f: rewrite(f, "model.json", lambda v: v.update(width=10**9)), ["model"]),
    "a model of no known kind": (lambda f: rewrite(f, "model.json", lambda v: v.update(kind="os.system")), ["kind"]),
    "a key too many": (lambda f: rewrite(f, "model.json", lambda v: v.update(auto_map="model.py")), ["auto_map"]),
    "a search without end": (
        lambda f: rewrite(f, "task.json", lambda v: v.update(search={"beam_size": 10**9})),
        ["task.json", "beam_size"],
    ),
    "a task that is none": (lambda f: rewrite(f, "task.json", lambda v: v.update(task="shell")), ["task.json"]),
}  # fmt: skip


@pytest.mark.parametrize("row", SPOILT)
def test_spoilt_folders(best, tmp_path, row):
    spoil, said = SPOILT[row]
    spoil(best)
    (tmp_path / "x.tsv").write_text("a\tb\n")
    refused(["predict", best, "--text", "a"], 4, "best", *said)
    for line in (["score", best, tmp_path / "x.tsv"], ["evaluate", best, tmp_path / "x.tsv"]):
        refused(line, 4)
    assert cli("info", best).code in (0, 4)


NAMES = ("weights.safetensors", "source.json", "target.json", "model.json", "task.json")


@pytest.mark.parametrize("name", NAMES)
def test_b31_one_bit(best, name):
    path = file_of(best, name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for line in (["predict", best, "--text", "a"], ["info", best]):
        refused(line, 4, path.name, "sha256")


@pytest.mark.parametrize("name", NAMES)
def test_the_wrong_file_of_the_right_kind(best, name, run_a):
    """A vocabulary of the same size, the weights of another model: the sums do not agree."""
    shutil.copy(file_of(run_a / "best", name), path := file_of(best, name))
    refused(["predict", best, "--text", "a"], 4, path.name)


class Canary:
    """Unpickling it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", NAMES)
def test_b32_a_pickle_behind_right_sums(best, tmp_path, name):
    reseal(best, name, pickle.dumps(Canary(tmp_path / "canary")))
    refused(["predict", best, "--text", "a"], 4)
    assert not (tmp_path / "canary").exists()


def test_b32_b33_what_lies_beside_is_left_alone(best, tmp_path, monkeypatch):
    for name in ("model", "conftest", "sitecustomize", "torch", "json"):
        (best / f"{name}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    (best / "optimizer.pt").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    monkeypatch.chdir(best)
    assert cli("predict", ".", "--text", "a").code == 0 and cli("info", ".").code == 0
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "x\0y", "CON", "x" * 300])
def test_b38_names_that_lead_away(best, name):
    table = json.loads((best / "manifest.json").read_bytes())
    table["files"]["source.json"]["file"] = name
    remake(best, files=table["files"])
    for line in (["predict", best, "--text", "a"], ["info", best]):
        refused(line, 4, "manifest.json")


@pytest.mark.parametrize("kind", ["symlink", "FIFO", "folder"])
def test_b39_no_plain_file(best, tmp_path, kind):
    path = file_of(best, "weights.safetensors")
    path.rename(tmp_path / "away")
    if kind == "symlink":
        path.symlink_to(tmp_path / "away")
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()
    refused(["predict", best, "--text", "a"], 4, path.name)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a git-lfs pointer"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "an HTML page"),
    ],
)
def test_b45_what_a_download_left(best, data, kind):
    path = file_of(best, "weights.safetensors")
    path.write_bytes(data)
    refused(["predict", best, "--text", "a"], 4, path.name, kind)


def test_folders_of_other_programs(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "model.Model"}}')
    for command in (["predict", tmp_path, "--text", "a"], ["info", tmp_path]):
        refused(command, 4, "manifest.json")
    assert not (tmp_path / "canary").exists()


def test_a_parent_that_is_damaged(best, tmp_path):
    (tmp_path / "good.tsv").write_bytes(tsv(good()))
    with_nan(best)
    refused(["train", tmp_path / "good.tsv", "--out", tmp_path / "run", "--from", best, *TINY], 4, "NaN")


# ------------------------------------------------------------------ the state of a training


@pytest.fixture
def run(original, tmp_path):
    """A copy of the whole run; and the command that resumes it for two updates more."""
    folder = shutil.copytree(original, tmp_path / "run")
    return folder, ["train", original.parent / "good.tsv", "--out", folder, *TINY, "--max-steps", "4"]


@pytest.mark.parametrize("name", ["weights.safetensors", "training.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "one bit", "gone"])
def test_b30_resuming_falls_back(run, original, name, damage):
    folder, line = run
    path = file_of(folder / "last", name)
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[:-1])
    elif damage == "one bit":
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    ended = accepted(line, "warning", path.name, "all 4 steps done")
    assert "resumed at step 2" not in ended.err


def test_b30_nothing_left_to_fall_back_to(run):
    folder, line = run
    for path in (folder / "last").glob("training-*"):
        path.write_bytes(b"")
    for path in (folder / "last").glob("weights-*"):
        path.write_bytes(b"")
    refused(line, 4, "last")


@pytest.mark.parametrize("name", ["progress", "settings", "asked", "conditions", "data"])
@pytest.mark.parametrize("value", [None, {}, [], "x", {"step": -1}])
def test_b26_a_state_that_is_none(run, name, value):
    folder, line = run
    about = json.loads((folder / "last" / "manifest.json").read_bytes())["about"]
    remake(folder / "last", about=about | {name: value})
    ended = cli(*line)
    assert ended.code in (0, 2, 4) and "Traceback" not in ended.err, ended.err


def test_prepared_data_that_is_gone(run):
    """Pairs in numbers can be made again from the user's file; what was held out is kept only there."""
    folder, line = run
    shutil.rmtree(folder / "data")
    accepted(line, "warning", "data/train: no prepared data here; it is prepared again from", "all 4 steps done")
    shutil.rmtree(folder / "splits")
    refused(line, 4, "splits", "--restart")
