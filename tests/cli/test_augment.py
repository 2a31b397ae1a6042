"""`seq2x augment`: noise, back-translation and distillation, as a user types them."""

import json

import pytest

import seq2x
from seq2x import augment

from .conftest import cli, write
from .refusals import refused


def rows(path):
    return [tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]


def test_noise_in_sources_alone(place, tmp_path):
    out = tmp_path / "noisy.tsv"
    ended = cli(
        "augment", "noise", place / "test.tsv", "--out", out, "--drop", "0.3", "--level", "char", "--copies", "2"
    )
    assert ended.code == 0 and ended.out == b"" and "120 pairs in" in ended.err
    before, after = rows(place / "test.tsv"), rows(out)
    assert [target for _, target in after] == [target for _, target in before for _ in range(2)]
    assert 0 < sum(new == old for new, old in zip(after[::2], before, strict=True)) < 60
    assert after[::2] != after[1::2]
    again = cli(
        "augment", "noise", place / "test.tsv", "-o", tmp_path / "b.tsv", "--drop=0.3", "--level=char", "--copies=2"
    )
    assert again.code == 0 and rows(tmp_path / "b.tsv") == after
    cli("augment", "noise", place / "test.tsv", "-o", tmp_path / "b.tsv", "--drop=0.3", "--level=char", "--seed", "2")
    assert rows(tmp_path / "b.tsv") != after[::2]


def test_noise_makes_pairs_of_texts(tmp_path):
    text = tmp_path / "clean.txt"
    text.write_text("one two three four\n\nfive six seven eight nine\n", encoding="utf-8")
    ended = cli("augment", "noise", text, "-o", tmp_path / "pairs.jsonl", "--swap", "2", "--switch", "1", "--json")
    assert json.loads(ended.out) == {"out": str(tmp_path / "pairs.jsonl"), "form": "jsonl", "pairs": 2, "left_out": {}}
    assert "1 x blank line, left out" in ended.err
    records = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [record["target"] for record in records] == ["one two three four", "five six seven eight nine"]
    known = set(text.read_text().split())
    assert all(set(record["source"].split()) <= known for record in records)
    refused(["augment", "noise", text, "-o", tmp_path / "x.tsv", "--swap", "1", "--side", "both"], 2, "texts alone")


def test_both_sides_and_the_pairs_as_they_were(place, tmp_path):
    made = augment.noise(place / "test.tsv", tmp_path / "a.tsv", side="both", keep=True, drop=0.4, level="char")
    before, after = rows(place / "test.tsv"), rows(tmp_path / "a.tsv")
    assert made.pairs == 120 and after[::2] == before
    assert any(new[1] != old[1] for new, old in zip(after[1::2], before, strict=True))


def test_back_translation_is_what_the_run_makes_of_each_line(run_a, tmp_path):
    (tmp_path / "mono.txt").write_text("abc\n\nédé\n", encoding="utf-8")
    ended = cli("augment", "back", run_a, tmp_path / "mono.txt", "-o", tmp_path / "made.tsv", "--tag", "<bt>")
    assert ended.code == 0, ended.err
    run = seq2x.load(run_a)
    assert rows(tmp_path / "made.tsv") == [(f"<bt> {run('abc')}", "abc"), (f"<bt> {run('édé')}", "édé")]
    short = cli("augment", "back", run_a, tmp_path / "mono.txt", "-o", tmp_path / "made.tsv", "--max-length", "1")
    assert short.code == 3 and "nothing comes of it" in short.err
    assert rows(tmp_path / "made.tsv")[0][1] == "abc"  # what stood there stays


def test_distillation_puts_the_outputs_in_the_place_of_the_targets(run_a, place, tmp_path):
    out = tmp_path / "made.tsv"
    ended = cli("augment", "distill", run_a, place / "test.tsv", "-o", out, "--keep", "--beam-size", "2")
    assert ended.code == 0, ended.err
    genuine, run = rows(place / "test.tsv"), seq2x.load(run_a)
    made = run([source for source, _ in genuine], beam_size=2)
    expected = [pair for (s, t), new in zip(genuine, made, strict=True) for pair in ((s, t), (s, new)) if pair[1]]
    assert rows(out) == expected


def test_what_has_no_effect_is_said(place, tmp_path):
    ended = cli(
        "augment", "noise", place / "test.tsv", "-o", tmp_path / "a.tsv", "--swap=1", "--tag=x", "--beam-size=2"
    )
    assert ended.code == 0
    assert "tag has no effect: it is for back" in ended.err and "beam_size has no effect: noise predicts" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["noise", "{test}"], "no --out FILE"),
        (["noise", "{test}", "-o", "{new}"], "nothing to do"),
        (["noise", "-o", "{new}", "--drop", "0.1"], "0 places; expected FILE"),
        (["back", "{test}", "-o", "{new}"], "1 places; expected RUN FILE"),
        (["paraphrase", "{test}", "-o", "{new}"], 'augment: "paraphrase"; expected noise, back or distill'),
        (["noise", "{test}", "-o", "{test}", "--drop", "0.1"], "is one of the inputs"),
        (["noise", "{test}", "-o", "{folder}", "--drop", "0.1"], "is no regular file"),
        (["noise", "{test}", "-o", "{new}", "--drop", "2"], "drop: 2.0; expected a share from 0 to 1"),
        (["noise", "{test}", "-o", "{new}", "--drop", "0.1", "--copies", "0"], "copies: 0; expected 1 or more"),
        (["noise", "{test}", "-o", "{new}", "--drop", "0.1", "--side", "left"], 'side: "left"'),
        (["noise", "{test}", "-o", "{new}", "--drop", "much"], "argument --drop: invalid float value: 'much'"),
    ],
)
def test_what_cannot_be(place, tmp_path, words, said):
    test = write(tmp_path / "test.tsv", [("a b", "b a")])
    places = {"test": test, "new": tmp_path / "new.tsv", "folder": tmp_path}
    refused(["augment", *(word.format(**places) for word in words)], 2, said)
    assert not (tmp_path / "new.tsv").exists() and rows(test) == [("a b", "b a")]
