"""Copying as a user meets it: names that no training line holds, under a vocabulary that is closed."""

import itertools
import json
import random
import shlex

import pytest

from .conftest import cli
from .refusals import accepted, refused, tsv

SMALL = shlex.split(
    "--units word --unknown closed --vocab-size 40 --model gru --width 24 --layers 1 --dropout 0 --max-steps 60 "
    "--valid-steps 60 --valid-size 20 --learning-rate 0.02 --batch-tokens 200 --warmup-steps 8 --label-smoothing 0 "
    "--no-probe --device cpu --threads 1 --beam-size 1"
)
VERBS = ["likes", "sees", "calls", "helps"]


def names(seed):
    draw = random.Random(seed)
    while True:
        yield "".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(3))


def rows(count, seed):
    """`A likes B` -> `B likes A too`: nearly every name is new."""
    made = names(seed)
    pairs = [(next(made), next(made), VERBS[n % 4]) for n in range(count)]
    return [(f"{a} {verb} {b}", f"{b} {verb} {a} too") for a, b, verb in pairs]


def write(path, pairs):
    path.write_bytes(tsv(pairs))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs `copies` and, hardly trained, `plain` on the same lines, and names of which none is in them."""
    folder = tmp_path_factory.mktemp("copying")
    train = rows(300, 1)
    known = {word for pair in train for text in pair for word in text.split()}
    test = [row for row in rows(40, 2) if not known.intersection({*row[0].split()} - {*VERBS})]
    write(folder / "train.tsv", train), write(folder / "test.tsv", test)
    line = ["train", folder / "train.tsv", *SMALL, "--out"]
    said = accepted([*line, folder / "copies", "--copy", "generator"]).err
    accepted([*line, folder / "plain", "--max-steps", "2", "--valid-steps", "2"])
    return folder, test, said


def outputs(run, sources, *more):
    return cli("predict", run, *more, stdin="\n".join(sources).encode() + b"\n").out.decode().splitlines()


def test_names_never_seen_are_copied(place):
    folder, test, said = place
    assert len(test) > 20 and "train: 280 pairs" in said and "of the symbols can be copied" in said
    sources, targets = zip(*test, strict=True)
    assert outputs(folder / "copies", sources) == list(targets)
    assert outputs(folder / "copies", sources, "--batch-size", "3") == list(targets)
    beam = outputs(folder / "copies", sources, "--beam-size", "5", "--length-penalty", "average")
    new = [set(source.split(" ")) - {*VERBS} for source in sources]
    assert sum(words <= {*output.split(" ")} for words, output in zip(new, beam, strict=True)) > 0.7 * len(new)
    for words, output in zip(new, outputs(folder / "plain", sources), strict=True):
        assert not words & {*output.split(" ")}
    found = json.loads(accepted(["evaluate", folder / "copies", folder / "test.tsv", "--json"]).out)
    assert found["results"]["bleu"]["value"] == pytest.approx(100)
    assert not any("<unk> in the outputs" in note for note in found["notes"])


def test_what_was_predicted_is_scored_as_it_was(place):
    folder, test, _ = place
    run, lines = folder / "copies", "\n".join(source for source, _ in test[:6]).encode()
    predicted = accepted(["predict", run, "--json", "--n-best", "3", "--beam-size", "4"], stdin=lines).out
    records = [json.loads(line) for line in predicted.splitlines()]
    (folder / "predicted.jsonl").write_bytes(predicted)
    for path in ("predicted.jsonl", "test.tsv"):
        scored = [json.loads(line) for line in accepted(["score", run, folder / path, "--json"]).lines]
        for record, score in zip(records, scored, strict=False):
            assert score["log_p"] == pytest.approx(record["log_p"], abs=1e-5) and score["ids"] == record["ids"]
            assert score["tokens"] == record["tokens"] == record["text"].split(" ")
    for record in records:  # the best of several texts, no two alike
        assert len({other["text"] for other in record["alternatives"]}) == len(record["alternatives"]) > 1
    bad = dict(records[0], ids=[*records[0]["ids"], 99])
    (folder / "bad.jsonl").write_text(json.dumps(bad) + "\n")
    refused(["score", run, folder / "bad.jsonl"], 3, "ids that this model does not have", "bad.jsonl:1")


def test_wishes_for_what_is_copied(place):
    folder, test, _ = place
    run, (source, target) = folder / "copies", test[0]
    new = target.split(" ")[2]
    line = ["predict", run, "--text", source, "--json", "--prefix"]
    found = json.loads(accepted([*line, new]).out)
    assert found["tokens"][0] == new and found["text"].startswith(f"{new} ")
    refused([*line, "nobody"], 2, '"nobody" has 1 unknown words')
    assert VERBS[0] not in accepted(["predict", run, "--text", source, "--forbid", VERBS[0]]).out.decode().split()
    refused(["predict", run, "--text", source, "--forbid", new], 2, "is no token of this run")
    drawn = accepted(["predict", run, "--text", source, "--json", "--sample", "--temperature", "0.1"])
    assert json.loads(drawn.out)["text"] == target


def test_an_ensemble_copies_the_same_symbols_or_none(place):
    folder, test, _ = place
    sources, targets = zip(*test[:5], strict=True)
    assert outputs(folder / "copies", sources, "--ensemble", folder / "copies") == list(targets)
    line = ["predict", folder / "copies", "--text", "x", "--ensemble", folder / "plain"]
    refused(line, 4, "copy = none beside the first run's generator")


def test_a_pointer_leaves_out_what_it_cannot_write(tmp_path):
    pairs = [(f"{a} {b} {c}", f"{c} {a}") for a, b, c in itertools.permutations("abcde", 3)]
    path = write(tmp_path / "x.tsv", [*pairs, ("a b", "a z"), ("b c", "zz")])
    line = ["train", path, "--out", tmp_path / "run", *SMALL, "--copy", "pointer"]
    said = accepted([*line, "--label-smoothing", "0.2", "--max-steps", "40", "--valid-steps", "40"]).err
    assert "2 x target with a symbol that its source does not hold, which a pointer cannot write, set aside" in said
    assert f"{path}:61" in said and f"{path}:62" in said and "label_smoothing has no effect" in said
    found = outputs(tmp_path / "run", ["new a old", "q r s", "e d c b"])
    assert all({*output.split()} <= {*["new", "a", "old", "q", "r", "s", "e", "d", "c", "b"]} for output in found)
    line = ["predict", tmp_path / "run", "--text", "q r s", "--prefix"]
    assert accepted([*line, "r"]).out.startswith(b"r")
    refused([*line, "a"], 2, 'a prefix with "a", which the input does not hold')
    write(tmp_path / "t.tsv", [("a b", "b a"), ("a b", "c")])
    refused(["score", tmp_path / "run", tmp_path / "t.tsv"], 3, "t.tsv:2", '"c", which the source does not hold')


def test_what_cannot_be_copied_is_refused_before_training(tmp_path):
    path = write(tmp_path / "x.tsv", [(f"a{n} b", f"c{n % 7} d") for n in range(40)])
    line = ["train", path, "--out", tmp_path / "run", *SMALL]
    refused([*line, "--copy", "generator", "--context", "last"], 2, 'context = "attention", or copy = "pointer"')
    refused([*line, "--copy", "pointer"], 3, "no examples left", "which a pointer cannot write")
    refused([*line, "--copy", "maybe"], 2, 'one of "none", "generator", "pointer"')
    refused([*line, "--copy-attn", "true"], 2, "is called copy here")
    refused([*line, "--copy", "generator"], 3, "no symbol of a target stands in its source, in all 20 pairs")
