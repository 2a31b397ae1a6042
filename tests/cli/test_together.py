"""What several mechanisms are together, at the command line: what makes sense works, what does not says why."""

import itertools
import json
import shlex

import pytest

from .conftest import cli
from .refusals import refused

QUICK = shlex.split(
    "--max-steps 12 --valid-steps 12 --valid-size 10 --layers 1 --width 16 --dropout 0 --units char "
    "--learning-rate 0.02 --warmup-steps 2 --batch-tokens 400 --no-probe --device cpu --threads 1 --precision fp32"
)
WORDS = ["".join(letters) for letters in itertools.permutations("abcdef", 4)][:200]
TARGETS = [word[:2] + word[2:].upper() for word in WORDS]
RUNS = {
    "plain": ["pairs.tsv", *QUICK, "--model", "gru"],
    "back": ["pairs.tsv", *QUICK, "--model", "gru", "--direction", "right_to_left"],
    "ctc": ["pairs.tsv", *QUICK, "--model", "conv", "--decoder", "ctc", "--ctc-upsample", "2"],
    "masked": ["pairs.tsv", *QUICK, "--decoder", "mask_predict", "--sampled-softmax", "8", "--guided-attention", "1"],
    "copying": ["pairs.tsv", *QUICK, "--model", "conv", "--embedding-width", "12", "--copy", "generator"],
    "ngrams": ["texts.txt", "--model", "ngram", "--valid-size", "10", "--vocab-from"],
    "language": [
        *("texts.txt", *QUICK, "--model", "conv", "--direction", "right_to_left", "--scheduled-sampling", "linear"),
        "--vocab-from",
    ],
    "tagger": ["tagged.tsv", *QUICK, "--task", "tag", "--model", "conv", "--crf"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of each of `RUNS`, trained as briefly as can be."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "pairs.tsv").write_text(
        "".join(f"{word}\t{target}\n" for word, target in zip(WORDS, TARGETS, strict=True))
    )
    (folder / "texts.txt").write_text("".join(f"{target}\n" for target in TARGETS))
    (folder / "tagged.tsv").write_text("".join(f"{' '.join(word)}\t{' '.join(word.upper())}\n" for word in WORDS))
    taken = {"ngrams": "plain", "language": "back"}
    for name, (file, *line) in RUNS.items():
        given = [folder / taken[name]] if name in taken else []
        line = [part for part in line if name not in taken or part not in ("--units", "char")]
        ended = cli("train", folder / file, "-o", folder / name, *line, *given)
        assert ended.code == 0, ended.err
    return folder


def predicted(place, name, *line, text="abcd"):
    ended = cli("predict", place / name, "--json", "--text", text, *line)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ctc", ["--lm", "ngrams", "--lm-use", "rerank"]),
        ("masked", ["--lm", "ngrams", "--lm-use", "rerank"]),
        ("copying", ["--lm", "ngrams", "--lm-use", "rerank"]),
        ("plain", ["--lm", "ngrams", "--require", "CD"]),
        ("back", ["--lm", "language"]),
        ("ctc", ["--mbr", "chrf", "--mbr-from", "beam"]),
        ("masked", ["--mbr", "chrf", "--mbr-from", "beam"]),
        ("plain", ["--rerank", "ctc"]),
        ("masked", ["--rerank", "copying"]),
        ("ngrams", ["--pattern", "a[a-zA-Z]*"]),
    ],
    ids=lambda part: part if isinstance(part, str) else "-".join(part[:2]),
)
def test_these_work_together(place, name, line):
    line = [place / part if part in RUNS else part for part in line]
    found = predicted(place, name, *line, text="a" if name == "ngrams" else "abcd")
    assert found["stopped"] in ("end", "length") and "unmet" not in found
    if "--lm" in line and name in ("ctc", "masked"):  # ranked by both: another language model's weight, another score
        free = predicted(place, name, *line, "--lm-weight", "0.9")
        assert free["score"] != pytest.approx(found["score"], abs=1e-6)
    if "--require" in line:
        assert "CD" in found["text"]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["ctc", "--lm", "ngrams"], 2, "which writes all symbols at once; expected one that writes symbol by symbol"),
        (["copying", "--lm", "ngrams"], 2, "of which no language model knows all symbols"),
        (["plain", "--lm", "language"], 2, "a language model that writes right_to_left"),
        (["plain", "--lm", "ngrams", "--rerank", "back"], 2, "beside a run that re-ranks"),
        (["plain", "--rerank", "ngrams"], 4, "a language model beside a run that reads a source"),
        (["plain", "--rerank", "tagger"], 2, "a run that labels tokens"),
        (["tagger", "--lm", "ngrams"], 2, "a run that labels tokens"),
        (["tagger", "--pattern", "a+"], 2, "a run with task = tag"),
        (["tagger", "--require", "a"], 2, "a run with task = tag"),
        (["tagger", "--ensemble", "plain"], 4, "a generate task"),
        (["ctc", "--require", "A"], 2, "no symbol knows of those before it"),
        (["masked", "--pattern", "A+"], 2, "no symbol knows of those before it"),
        (["plain", "--ensemble", "ctc"], 2, "writes all symbols at once"),
        (["ctc", "--diversity-groups", "5"], 2, "there are no steps at which groups could differ"),
        (["masked", "--mbr", "chrf"], 2, 'mbr_from = "beam"'),
        (["tagger", "--mbr", "chrf"], 2, "the best labels are found exactly"),
        (["language", "--text", "a"], 2, "from the end"),
    ],
    ids=lambda part: "-".join(part[:3]) if isinstance(part, list) else "",
)
def test_these_say_why_not(place, line, code, said):
    name, *rest = line
    text = [] if "--text" in rest else ["--text", "abcd"]
    refused(["predict", place / name, *(place / part if part in RUNS else part for part in rest), *text], code, said)


def test_alignments_where_nothing_attends(place, tmp_path):
    for name, why in (("ctc", 'decoder = "ctc"'), ("tagger", "it labels tokens"), ("ngrams", "a language model")):
        line = ["predict", place / name, "--text", "abcd", "--alignments", tmp_path / "links"]
        refused(line, 2, f"this run has no attention ({why})")


def test_a_convolutional_language_model_is_judged_and_draws(place):
    found = json.loads(cli("evaluate", place / "language", place / "texts.txt", "--json").out)
    assert 1.0 < found["results"]["perplexity"]["value"] < 30.0
    assert len(predicted(place, "language", "--sample", "--n-best", "3", text="")["alternatives"]) == 3


def test_labels_stand_on_convolutions_too(place):
    assert len(predicted(place, "tagger", text="a b c d e f a")["tokens"]) == 7
    assert "convolutions" in cli("info", place / "tagger").out.decode()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("language", "texts.txt"),
        ("tagger", "tagged.tsv"),
        pytest.param("masked", "pairs.tsv", marks=pytest.mark.slow),
        pytest.param("ctc", "pairs.tsv", marks=pytest.mark.slow),
    ],
)
def test_each_goes_on_from_its_weights(place, tmp_path, name, file):
    line = ["--from", place / name, "--max-steps", "2", "--no-probe", "--device", "cpu"]
    ended = cli("train", place / file, "-o", tmp_path / "run", *line)
    assert ended.code == 0, ended.err
    before, after = (json.loads(cli("info", run, "--json").out) for run in (place / name, tmp_path / "run"))
    dropped = {name: value for name, value in after["model"].items() if name != "dropout"}
    assert dropped == {name: value for name, value in before["model"].items() if name != "dropout"}
    assert after["task"]["direction"] == before["task"]["direction"]
