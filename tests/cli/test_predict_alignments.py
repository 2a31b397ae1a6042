"""`predict --alignments FILE`: a line of links for each output, and none where there is no attention."""

import json

import pytest

import seq2x
from seq2x.run import commit
from tasks.conftest import LINES, make_task

from .conftest import cli
from .refusals import refused

TEXTS = [LINES[0], "", LINES[1], "naïve  café ran", "x"]
INPUT = "".join(f"{text}\n" for text in TEXTS).encode()
SAID = ("--prefix", "a dog ran", "--max-length", "30", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("aligned")
    for name, changes in (("attends", {}), ("heads", {"attention_heads": 2}), ("mean", {"context": "mean"})):
        commit(place / name, 1, make_task("gru", units="bpe", **changes).to_files(), {})
    return place


@pytest.mark.parametrize("run", ["attends", "heads"])
def test_outputs_stay_on_standard_output_and_links_go_to_the_file(folder, tmp_path, run):
    plain = cli("predict", folder / run, *SAID, stdin=INPUT)
    ended = cli("predict", folder / run, *SAID, "--alignments", tmp_path / "links", stdin=INPUT)
    assert ended.code == 0 and ended.out == plain.out, ended.err
    lines = (tmp_path / "links").read_text().split("\n")
    assert lines[1] == lines[5] == "" and len(lines) == 6
    for text, output, line in zip(TEXTS, ended.lines, lines, strict=False):
        pairs = [tuple(map(int, link.split("-"))) for link in line.split()]
        assert [j for _, j in pairs] == list(range(len(output.split(" ")) if output else 0))
        assert all(i < len(text.split()) for i, _ in pairs)
    predictor = seq2x.load(folder / run, device="cpu")
    found = predictor(TEXTS, details=True, want=frozenset({"attention"}), prefix="a dog ran", max_length=30)
    python = [predictor.align(text, one) for text, one in zip(TEXTS, found, strict=True)]
    assert [" ".join(f"{i}-{j}" for i, j in links) for links in python] == lines[:5]


def test_json_holds_them_too_and_only_then(folder, tmp_path):
    ended = cli("predict", folder / "attends", *SAID, "--json", "--alignments", tmp_path / "links", stdin=INPUT)
    found = [json.loads(line)["alignment"] for line in ended.lines]
    assert found == (tmp_path / "links").read_text().split("\n")[:-1]
    assert all("alignment" not in line for line in cli("predict", folder / "attends", "--json", stdin=INPUT).lines)


def test_resuming_cuts_both_files_back_to_the_shorter(folder, tmp_path):
    (tmp_path / "in").write_bytes(INPUT)
    said = ["predict", folder / "attends", tmp_path / "in", *SAID, "--window", "2"]
    said += ["--out", tmp_path / "out", "--alignments", tmp_path / "links"]
    assert cli(*said).code == 0
    whole = [(tmp_path / name).read_bytes() for name in ("out", "links")]
    for out, links in ((5, 3), (3, 5), (4, 0), (5, 5)):
        for name, lines, all_of_it in zip(("out", "links"), (out, links), whole, strict=True):
            kept = b"".join(all_of_it.splitlines(keepends=True)[:lines])
            (tmp_path / name).write_bytes(kept + b"half a li" * (lines < 5))
        assert cli(*said, "--resume").code == 0
        assert [(tmp_path / name).read_bytes() for name in ("out", "links")] == whole
    (tmp_path / "links").unlink()
    assert cli(*said, "--resume").code == 0
    assert [(tmp_path / name).read_bytes() for name in ("out", "links")] == whole


def test_what_cannot_be_is_refused_before_anything_is_written(folder, tmp_path):
    out, links = tmp_path / "out", tmp_path / "links"
    out.write_text("mine\n")
    said = ["predict", folder / "mean", "--out", out, "--alignments", links]
    refused(said, 2, 'this run has no attention (context = "mean")', stdin=INPUT)
    refused(["predict", folder / "attends", "--out", out, "--alignments", out], 2, "is also --out", stdin=INPUT)
    (tmp_path / "in").write_bytes(INPUT)
    said = ["predict", folder / "attends", tmp_path / "in", "--alignments", tmp_path / "in"]
    refused(said, 2, "is the file that is read")
    assert out.read_text() == "mine\n" and (tmp_path / "in").read_bytes() == INPUT and not links.exists()
