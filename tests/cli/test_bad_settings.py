"""Bad recipes, folders to write to and things to go on with (B16 to B28): refused with code 2, 5 or 8, nothing lost.

What can be wrong on the command line itself stands in `test_grammar.py`.
"""

import hashlib
import json
import os
import resource
import shutil

import pytest

from .conftest import cli
from .refusals import TINY, accepted, good, refused, tsv

RECIPES = {
    # name of the row: (what the recipe says beside its data, what is said)
    "B16 unknown": ("learnign_rate = 0.1", ["x.toml", 'did you mean "learning_rate"?']),
    "B17 twice": ("layers = 1\nwidth = 8\nlayers = 2", ["x.toml:4", "layers", "line 2"]),
    "B18 a string": ('learning_rate = "1e-4"', ["x.toml", "learning_rate", '"1e-4"']),
    "B18 NaN": ("learning_rate = nan", ["learning_rate", "nan"]),
    "B18 too large": ("learning_rate = 1e999", ["learning_rate", "inf"]),
    "B18 negative": ("learning_rate = -1", ["learning_rate", "-1"]),
    "B18 true": ("learning_rate = true", ["learning_rate", "true"]),
    "B19 a word without quotes": ("valid = no", ["x.toml:2"]),
    "B20 a tag of YAML": ('layers = !!python/object/apply:os.system ["touch canary"]', ["x.toml:2"]),
    "B20 another": ("model: !new:os.system {command: touch canary}", ["x.toml:2"]),
    "B20 the environment": ("layers = !ENV ${HOME}", ["x.toml:2"]),
    "B21 deep": ("layers = " + "[" * 100_000, ["x.toml", "too many brackets"]),
    "B22 code for a name": ("model = \"__import__('os').system('touch canary')\"", ["model", "transformer"]),
    "B22 a path for a name": ('units = "os.system"', ["units", "bpe"]),
    "B23 heads": ("width = 30\nheads = 4", ["heads"]),
    "B23 no layers": ("layers = 0", ["layers"]),
    "B24 wide": ("width = 1_000_000_000", ["parameters"]),
    "B24 deep": ("layers = 2_000_000_000", ["parameters"]),
    "B27 a name the environment lacks": ('valid = "${SEQ2X_NO_SUCH_NAME}/x.tsv"', ["x.toml", "SEQ2X_NO_SUCH_NAME"]),
    "a table": ("[model]\nlayers = 2", ["x.toml", "[model] is a table"]),
    "a list": ("layers = [1, 2]", ["layers"]),
    "not UTF-8": (b"# caf\xe9", ["x.toml:2", "not UTF-8"]),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with forty good pairs in `good.tsv`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.tsv").write_bytes(tsv(good()))
    return tmp_path


@pytest.mark.parametrize("row", RECIPES)
def test_recipes(here, row):
    text, said = RECIPES[row]
    text = text.encode() if isinstance(text, str) else text
    (here / "x.toml").write_bytes(b'train = "good.tsv"\n' + text + b"\n")
    refused(["train", "x.toml"], 2, *said)
    assert sorted(os.listdir()) == ["good.tsv", "x.toml"]


def test_b19_no_is_a_word(here):
    (here / "x.toml").write_text('train = "good.tsv"\nvalid = "no"\n')
    refused(["train", "x.toml"], 3, "no: no such file")


@pytest.mark.parametrize("kind", ["huge", "FIFO", "endless", "folder"])
def test_b21_b27_recipes_without_end(here, kind):
    path = here / "x.toml"
    if kind == "huge":
        with path.open("wb") as file:
            file.truncate(50_000_000)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(["train", "x.toml"], 2, "x.toml")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


# ------------------------------------------------------------------ where to write


@pytest.mark.parametrize("out", ["a\0b", "good.tsv/run", "/dev/null/run", "/proc/run"])
def test_b25_folders_that_cannot_be(here, out):
    refused(["train", "good.tsv", "--out", out], 2, "out", "choose another --out")


def test_b25_a_folder_with_other_things_in_it(here):
    (here / "run").mkdir()
    (here / "run" / "thesis.txt").write_text("years of work")
    for more in ([], ["--restart"]):
        refused(["train", "good.tsv", "--out", "run", *TINY, *more], 2, "thesis.txt", "another --out")
        assert (here / "run" / "thesis.txt").read_text() == "years of work"


def test_b25_a_way_up_is_a_way(here):
    (here / "below").mkdir()
    accepted(["train", "good.tsv", "--out", "below/../run", *TINY])
    assert (here / "run" / "best" / "manifest.json").exists()


def test_b28_a_device_that_is_not_there(here):
    import torch

    absent = "cuda" if not torch.cuda.is_available() else "cuda:99"
    for options in ([], ["--no-probe"]):
        refused(["train", "good.tsv", "--out", "run", *options, "--device", absent], 8, absent, "cpu")
        assert not (here / "run").exists()


# ------------------------------------------------------------------ what to go on with


def content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log.txt"
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "good.tsv").write_bytes(tsv(good()))
    accepted(["train", folder / "good.tsv", "--out", folder / "run", *TINY])
    return folder


CHANGES = {
    # what is changed: (the options, what is said)
    "a setting": (["--width", "16"], ["width was 8, now 16 (cannot change in a run)"]),
    "two settings": (["--seed", "2", "--dropout", "0.5"], ["seed was 1, now 2", "dropout"]),
    "the units": (["--units", "byte"], ["units was char, now byte"]),
    "the vocabulary": (["--vocab-size", "300"], ["vocab_size was auto, now 300"]),
    "the columns": (["--columns", "source=2,target=1"], ["columns"]),
    "a harmless one": (["--beam-size", "2"], ["beam_size was 5, now 2; expected", "--allow-change"]),
    "fewer steps": (["--max-steps", "1"], ["max_steps was 2, now 1"]),
    "one not allowed": (["--width", "16", "--allow-change", "width"], ["width was 8", "cannot change"]),
    "no setting": (["--allow-change", "widht"], ['did you mean "width"?']),
}


@pytest.mark.parametrize("row", CHANGES)
def test_b26_another_run(trained, row):
    options, said = CHANGES[row]
    before = content(trained / "run")
    refused(["train", trained / "good.tsv", "--out", trained / "run", *TINY, *options], 2, *said)
    assert content(trained / "run") == before


@pytest.mark.parametrize("data", ["changed", "other", "gone"])
def test_b26_other_data(trained, tmp_path, data):
    shutil.copytree(trained / "run", tmp_path / "run")
    path = tmp_path / "good.tsv"
    if data != "gone":
        path.write_bytes(tsv(good(40 if data == "changed" else 41)) + b"one\tmore\n" * (data == "changed"))
    line = ["train", path, "--out", tmp_path / "run", *TINY]
    if data == "gone":
        refused(line, 3, "good.tsv", "no such file")
    else:
        refused(line, 2, "the data is not the same", "--restart")
    assert content(tmp_path / "run") == content(trained / "run")


def test_b26_what_may_change(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    line = ["train", trained / "good.tsv", "--out", tmp_path / "run", *TINY]
    ended = accepted(line, "already", "all 2 steps", "--max-steps")
    assert ended.lines == [str(tmp_path / "run")] and content(tmp_path / "run") == content(trained / "run")
    accepted([*line, "--max-steps", "4"], "max_steps: 2 -> 4", "resumed at step 2", "all 4 steps done")
    accepted([*line, "--max-steps", "4", "--batch-size", "7", "--allow-change", "batch_size"], "batch_size: 64 -> 7")


@pytest.mark.parametrize("threads", ["100000", "2147483648", "-1", "two"])
def test_threads_that_cannot_be(trained, threads):
    said = 'threads = "two"' if threads == "two" else f"threads = {threads}"
    for line in (
        ["train", trained / "good.tsv", "--out", trained / "new"],
        ["predict", trained / "run", "--text", "a"],
        ["evaluate", trained / "run", trained / "good.tsv"],
    ):
        refused([*line, "--threads", threads], 2, said, "from 0 to 1024")
    assert not (trained / "new").exists()


def test_habits_are_answered_on_the_command_line_too(here):
    for line, said in (
        (["--length-penalty", "0.6"], "length_alpha is the number"),
        (["--set", "length_penalty=0.6"], "length_alpha is the number"),
        (["--device", "gpu"], '"gpu" is "cuda" here'),
        (["--allow-change", "lyers"], 'did you mean "layers"?'),
    ):
        refused(["train", "good.tsv", "--out", "run", *TINY, *line], 2, said)
    assert sorted(os.listdir()) == ["good.tsv"]


def test_arguments_that_are_not_utf8(trained):
    refused(["predict", trained / "run", "--text", "a\udcff"], 3, "input 1: not UTF-8 (character 2: \\udcff)")
    more = ["--out", trained / "new", *TINY]
    refused(["train", trained / "good.tsv", "--from", "run\udcff", *more], 2, "run\\udcff is not UTF-8")
    refused(["train", trained / "good.tsv", *TINY, "--out", "run\udcff"], 2, "run\\udcff is not UTF-8")
    refused(["train", trained / "good.tsv", "--valid", "x\udcff", *more], 2, "valid")
    assert not (trained / "new").exists()


def test_warnings_are_in_the_document_for_machines(here):
    (here / "good.tsv").write_bytes(tsv([*good(), *good(10)]))  # a quarter of the pairs occur twice
    line = ["train", "good.tsv", "--out", "run", *TINY, "--json", "--attention", "dot"]
    ended = cli(*line)
    warnings = json.loads(ended.out)["warnings"]
    assert any(one.startswith("data: warning [duplicate") for one in warnings), ended.err
    assert any(one.startswith("warning: attention has no effect") for one in warnings)
    assert ended.err.split("\n")[:-1] == warnings
    again = cli(*line)
    assert json.loads(again.out)["warnings"] == [] and again.err == ""


def test_outputs_without_capitals_beside_references_with_them_are_said_once(here):
    (here / "good.tsv").write_bytes(tsv([(source, target.upper()) for source, target in good()]))
    line = ["train", "good.tsv", "--out", "run", *TINY, "--lower"]
    said = "outputs are lower-case (lower = true) and 2 of 2 references hold capitals"
    assert accepted(line, f"valid: warning: {said}").err.count("hold capitals") == 1
    assert "hold capitals" not in accepted([*line, "--max-steps", "4"]).err
    accepted(["evaluate", "run", "good.tsv"], "warning: outputs are lower-case (lower = true) and 40 of 40")
    both = accepted(["compare", "run", "run", "good.tsv"], "outputs of a are lower-case", "outputs of b are lower-case")
    assert both.err.count("hold capitals") == 2
    (here / "lower.tsv").write_bytes(tsv(good(9)))
    assert "hold capitals" not in accepted(["evaluate", "run", "lower.tsv"]).err


def test_settings_without_effect_are_said(here):
    options = ["--attention", "dot", "--temperature", "2"]
    ended = accepted(["train", "good.tsv", "--out", "run", *TINY, *options], "attention has no effect with model")
    assert "temperature has no effect" in ended.err and "units has no effect" not in ended.err
    accepted(["predict", "run", "--text", "a", "--top-k", "3"], "note: top_k has no effect with sample = false")


def test_to_begin_anew_is_said(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    accepted(["train", trained / "good.tsv", "--out", tmp_path / "run", *TINY, "--restart", "--width", "16"])
    assert '"width": 16' in cli("info", tmp_path / "run", "--json").out.decode()


def test_a_parent_brings_its_own_vocabulary(trained, tmp_path):
    line = ["train", trained / "good.tsv", "--out", tmp_path / "run", "--from", trained / "run", *TINY]
    for name, value in (("units", "byte"), ("width", "16"), ("vocab_size", "300")):
        refused([*line, f"--{name.replace('_', '-')}", value], 2, name, "as in", "leave it out")
    refused([*line, "--preset", "big"], 2, "preset", "the sizes of", "leave it out")
    refused(["train", trained / "good.tsv", "--out", tmp_path / "x", "--from", tmp_path / "nowhere"], 4, "nowhere")
