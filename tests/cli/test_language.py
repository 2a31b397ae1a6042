"""Language models at the command line: trained or counted, judged, continued, and beside another run."""

import itertools
import json
import random
import shlex

import pytest

import seq2x

from .conftest import cli
from .refusals import refused

QUICK = shlex.split(
    "--max-steps 60 --valid-steps 60 --valid-size 10 --layers 1 --width 16 --dropout 0 --label-smoothing 0 "
    "--learning-rate 0.02 --warmup-steps 5 --batch-tokens 300 --no-probe --device cpu --threads 1 --precision fp32"
)
COUNTED = shlex.split("--model ngram --order 3 --units word --valid-size 20")
WORDS = (
    ("red", "green", "blue", "old", "new"),
    ("cat", "dog", "cow", "fox", "hen"),
    ("runs", "eats", "sings", "sits"),
    ("fast", "here", "now", "so"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Texts; pairs of a sentence backwards and the sentence; a run on the pairs, too short to be good, and four
    language models: of characters counted with the vocabulary of that run, of words counted, a GRU and a Transformer.
    """
    folder = tmp_path_factory.mktemp("language")
    lines = [" ".join(words) for words in itertools.product(*WORDS)]
    random.Random(5).shuffle(lines)
    test = [*lines[:30], "", "purple cat runs fast"]
    (folder / "text.txt").write_text("".join(f"{line}\n" for line in lines[30:330]))
    (folder / "test.txt").write_text("".join(f"{line}\n" for line in test))
    (folder / "pairs.tsv").write_text("".join(f"{line[::-1]}\t{line}\n" for line in lines[30:330]))
    made = [
        ["pairs.tsv", "pairs", "--units", "char", "--model", "gru", *QUICK],
        ["text.txt", "chars", "--model", "ngram", "--vocab-from", folder / "pairs", "--valid-size", "20"],
        ["text.txt", "words", *COUNTED],
        ["text.txt", "gru", "--model", "gru", "--units", "word", "--test", folder / "test.txt", *QUICK],
        ["text.txt", "transformer", "--units", "word", "--heads", "2", *QUICK],
    ]
    for file, name, *line in made:
        ended = cli("train", folder / file, "-o", folder / name, *line)
        assert ended.code == 0, ended.err
        (folder / f"{name}.log").write_text(ended.err)
    return folder


def values(ended):
    assert ended.code == 0, ended.err
    return {name: one["value"] for name, one in json.loads(ended.out)["results"].items()}


def test_what_training_says(place):
    said = (place / "gru.log").read_text()
    for text in (
        "text.txt: one text a line (no TAB, no second file): for a language model",
        "task = lm  (texts without a source)",
        "train: 290 texts",
        "perplexity",
        " -> ",
        "test.txt): perplexity ",
        "31 items",
    ):
        assert text in said, said
    assert "costs perplexity" not in said and "source" not in said.replace("source_units", "").replace("a source", "")
    assert "n-grams of 2 to 3 symbols" in (place / "words.log").read_text()
    assert (place / "gru" / "splits" / "valid.txt").read_text().count("\n") == 10
    again = cli("train", place / "text.txt", "-o", place / "words", *COUNTED)
    assert again.code == 0 and "everything is counted" in again.err
    other = [*COUNTED[:3], "2", *COUNTED[4:]]
    refused(["train", place / "text.txt", "-o", place / "words", *other], 2, "order was 3, now 2")


@pytest.mark.parametrize("name", ["chars", "words", "gru", "transformer"])
def test_perplexities_agree_with_log_p(place, name):
    found = values(cli("evaluate", place / name, place / "test.txt", "--json"))
    ended = cli("score", place / name, place / "test.txt", "--json")
    *lines, last = [json.loads(line) for line in ended.lines]
    texts = [line for line in lines if line["target"]]
    total = sum(line["log_p"] for line in texts)
    units = {
        "perplexity": sum(len(line["token_log_p"]) for line in texts),
        "perplexity_word": sum(len(line["target"].split()) + 1 for line in texts),
        "perplexity_char": sum(len(line["target"]) + 1 for line in texts),
    }
    assert len(lines) == 32 and len(texts) == 31 and set(last["summary"]["results"]) == set(units)
    for unit, count in units.items():
        assert found[unit] == pytest.approx(2.718281828459045 ** (-total / count), rel=1e-6), unit
    assert found["perplexity_word"] < 40  # there are four or five choices at each place; and an unknown word
    assert "a language model" in cli("info", place / name).out.decode()


def test_beginnings_are_continued(place):
    for name in ("chars", "words", "gru", "transformer"):
        ended = cli("predict", place / name, stdin=b"red cat\n\nblue\n")
        first, second, third = ended.lines
        assert first.startswith("red cat ") and third.startswith("blue ") and second.strip(), ended.lines
        drawn = json.loads(
            cli("predict", place / name, "--sample", "--n-best", "8", "--json", "--text", "red").lines[0]
        )
        assert len({one["text"] for one in drawn["alternatives"]}) > 2
        assert all(one["text"].startswith("red") for one in drawn["alternatives"])
        assert drawn["source"] == "red" and sum(drawn["token_log_p"]) == pytest.approx(drawn["log_p"])
    assert cli("predict", place / "chars", "--prefix", "green", stdin=b"\n").lines[0].startswith("green ")
    refused(["predict", place / "chars", "--prefix", "a"], 2, "standard input:2: a text and a prefix", stdin=b"\nb\n")
    run = seq2x.load(place / "gru", device="cpu")
    assert run("red dog").startswith("red dog ") and run(["", "blue"])[1].startswith("blue ")
    out = cli("predict", place / "gru", "--json", stdin=b"red\n\n").out
    again = [json.loads(line) for line in cli("score", place / "gru", "-", "--json", stdin=out).lines[:2]]
    for one, other in zip(map(json.loads, out.decode().splitlines()), again, strict=True):
        assert one["log_p"] == pytest.approx(other["log_p"], abs=1e-5)


def test_two_language_models_of_other_symbols(place):
    ended = cli("compare", place / "chars", place / "words", place / "test.txt")
    assert (
        ended.code == 0 and "perplexity_word" in ended.out.decode() and "31 texts, scored by both" in ended.out.decode()
    )
    refused(
        ["compare", place / "chars", place / "words", place / "test.txt", "--metric", "perplexity"], 2, "other symbols"
    )
    refused(["compare", place / "chars", place / "pairs", place / "test.txt"], 2, "two runs of one kind")
    refused(["evaluate", place / "chars", place / "test.txt", "--metric", "bleu"], 2, "judged by log-probabilities")
    one = values(cli("evaluate", place / "chars", place / "test.txt", "--metric", "perplexity_char", "--json"))
    assert list(one) == ["perplexity_char"]


def test_a_language_model_helps(place, tmp_path):
    """Alone the run is bad; a language model that knows what sentences there are makes it better, in either way."""
    (tmp_path / "some.tsv").write_text("".join((place / "pairs.tsv").read_text().splitlines(keepends=True)[:60]))
    alone = values(cli("evaluate", place / "pairs", tmp_path / "some.tsv", "--metric", "cer", "--json"))["cer"]
    for way in (["fusion", "--lm-weight", "0.5"], ["rerank", "--lm-weight", "0.5"]):
        line = ["--lm", place / "chars", "--lm-use", *way, "--metric", "cer", "--json"]
        assert values(cli("evaluate", place / "pairs", tmp_path / "some.tsv", *line))["cer"] < alone
    words = ["--lm", place / "words", "--lm-use", "rerank", "--metric", "cer", "--json"]
    values(cli("evaluate", place / "pairs", tmp_path / "some.tsv", *words))


@pytest.mark.parametrize("use", ["fusion", "rerank"])
def test_scores_are_sums_and_log_p_is_the_run_s_own(place, use):
    line = ["--lm-use", use, "--lm-weight", "0.7", "--length-penalty", "average", "--n-best", "3", "--json"]
    ended = cli("predict", place / "pairs", "--lm", place / "chars", *line, stdin=b"tsaf snur tac der\ntac\n")
    run, lm = seq2x.load(place / "pairs", device="cpu"), seq2x.load(place / "chars")
    assert ended.code == 0, ended.err
    for record in map(json.loads, ended.lines):
        ranked = [(one["stopped"] == "end", one["score"]) for one in record["alternatives"]]
        assert ranked == sorted(ranked, reverse=True)
        for one in record["alternatives"]:
            ids = [*one["ids"], *[2] * (one["stopped"] == "end")]
            (mine,), (of_lm,) = run.task.score([record["source"]], [ids]), lm.task.score([""], [ids])
            assert one["log_p"] == pytest.approx(mine.log_p, abs=1e-4)
            assert one["score"] == pytest.approx((mine.log_p + 0.7 * of_lm.log_p) / len(ids), abs=1e-4)


def test_fusion_in_python_and_by_draws(place):
    run = seq2x.load(place / "pairs", device="cpu", lm=place / "chars")
    assert run("tac der", lm_weight=0.0) == seq2x.load(place / "pairs", device="cpu")("tac der")
    drawn = run("tac der", details=True, sample=True, lm_weight=1.0)
    assert drawn.log_p == pytest.approx(run.task.score(["tac der"], [[*drawn.ids, 2]])[0].log_p, abs=1e-4) or (
        drawn.stopped == "length"
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["predict", "pairs", "--lm", "words", "--text", "a"], 2, "--vocab-from RUN, or let it rank"),
        (["predict", "pairs", "--lm", "pairs", "--text", "a"], 4, "a language model"),
        (["predict", "chars", "--ensemble", "pairs", "--text", "a"], 4, "runs of one kind"),
        (["predict", "pairs", "--lm", "nothing", "--text", "a"], 4, "no such folder"),
        (["predict", "words", "--backend", "native", "--text", "a"], 2, "it has no language models"),
        (["train", "pairs.tsv", "-o", "new", "--model", "ngram"], 2, "without a source"),
        (["train", "pairs.tsv", "-o", "new", "--vocab-from", "pairs"], 2, "vocab_from is for a language model"),
        (["train", "text.txt", "-o", "new", "--vocab-from", "pairs", "--units", "bpe"], 2, "'char' as in"),
        (["train", "text.txt", "-o", "new", "--references", "merge"], 2, "is for pairs"),
        (["train", "text.txt", "-o", "new", "--valid-metric", "bleu"], 2, 'valid_metric = "loss"'),
        (["train", "text.txt", "-o", "new", "--from", "words"], 2, "a model that is counted"),
        (["train", "text.txt", "-o", "new", "--task", "generate"], 3, "found 1 column"),
    ],
)
def test_what_makes_no_sense(place, line, code, said):
    there = {"pairs", "chars", "words", "nothing", "new", "pairs.tsv", "text.txt"}
    refused([place / one if one in there else one for one in line], code, said)


def test_what_has_no_effect_is_said(place):
    ended = cli("predict", place / "pairs", "--lm-weight", "0.5", "--text", "a")
    assert "lm_weight has no effect without --lm" in ended.err
    ended = cli("evaluate", place / "words", place / "test.txt", "--beam-size", "3")
    assert "beam_size has no effect: every given output is scored" in ended.err
    log = cli(
        "train", place / "text.txt", "-o", place / "idle", "--model", "ngram", "--dropout", "0.3", "--context", "last"
    ).err
    assert 'dropout has no effect with model = "ngram"; it is counted' in log and "context has no effect" in log
