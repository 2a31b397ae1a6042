"""The tag task as a user has it, from check to compare: taggers by gradients, without and with a CRF, and an HMM."""

import json
import math
import random
import shlex
from dataclasses import replace

import pytest

import seq2x
from seq2x.codecs import TextCodec
from seq2x.codecs.vocabulary import Vocabulary
from seq2x.errors import FolderError
from seq2x.run import commit, load
from seq2x.strict_json import dump_json
from seq2x.tasks import Tag
from seq2x.training.log import read_metrics

from .conftest import cli, write
from .refusals import refused

TINY = shlex.split(
    "--task tag --model gru --layers 1 --width 16 --max-steps 50 --valid-steps 25 --batch-tokens 200 "
    "--learning-rate 0.04 --warmup-steps 5 --dropout 0 --no-probe --valid-size 20 --device cpu --precision fp32 "
    "--threads 1"
)
MODELS = {"gru": TINY, "crf": [*TINY, "--crf"], "hmm": ["--model", "hmm", "--valid-size", "20"]}
every_model = pytest.mark.parametrize("model", MODELS)


def sentences(count, seed):
    """Words in -a are N, in -o V, numbers NUM; "x" is a V after an N, else an N."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        words, labels = [], []
        for _ in range(draw.randint(1, 7)):
            kind = draw.choice(["N", "V", "NUM", "x"])
            stem = "".join(draw.choices("bcdfg", k=2))
            words.append({"N": stem + "a", "V": stem + "o", "NUM": str(draw.randint(0, 99)), "x": "x"}[kind])
            labels.append({"x": "V" if labels[-1:] == ["N"] else "N"}.get(kind, kind))
        rows.append((" ".join(words), " ".join(labels)))
    return rows


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """A folder with train.tsv, test.tsv and a run of each model."""
    folder = tmp_path_factory.mktemp("tagged")
    write(folder / "train.tsv", sentences(200, 1))
    write(folder / "test.tsv", sentences(60, 2))
    for name, settings in MODELS.items():
        ended = cli("train", folder / "train.tsv", "--out", folder / name, *settings)
        assert ended.code == 0, ended.err
        (folder / f"{name}.err").write_text(ended.err)
    return folder


@every_model
def test_it_learns_and_says_what_it_took(tagged, model):
    said = (tagged / f"{model}.err").read_text()
    assert "valid_metric = accuracy" in said and "told by their letters alone" in said
    assert ("task = tag  (an HMM labels tokens)" in said) == (model == "hmm")
    found = json.loads(cli("evaluate", tagged / model, tagged / "test.tsv", "--json").out)["results"]
    assert list(found) == ["accuracy", "exact_match"] and found["accuracy"]["value"] > 90


@every_model
def test_n_tokens_are_n_labels_whatever_they_are(tagged, model):
    strange = ["baa x", "", "   two   blanks  ", "\u3000 北京 \u2028 é", "x " * 700, "a\tb", "z" * 3000]
    ended = cli("predict", tagged / model, stdin="\n".join(strange).encode() + b"\n")
    assert ended.code == 0 and len(ended.lines) == len(strange)
    for text, labels in zip(strange, ended.lines, strict=True):
        assert len(labels.split()) == len([token for token in text.split(" ") if token])
        assert set(labels.split(" ")) <= {"N", "V", "NUM", ""}
    assert ended.lines[0] == "N V"


@every_model
def test_the_best_are_the_best_and_score_agrees(tagged, model):
    text = "baa x 12 x"
    (line,) = cli("predict", tagged / model, "--text", text, "--n-best", 100, "--json").lines
    record = json.loads(line)
    scores = [one["log_p"] for one in record["alternatives"]]
    assert len(scores) == 81 and scores == sorted(scores, reverse=True) and len(record["token_log_p"]) == 4
    assert 0.6 < math.fsum(math.exp(score) for score in scores) < 1.0001  # the rest is what no label has
    rows = [(text, one["text"]) for one in record["alternatives"]]
    path = write(tagged / "scored.tsv", rows)
    assert [float(one) for one in cli("score", tagged / model, path).lines] == pytest.approx(scores, abs=1e-5)
    again = cli("score", tagged / model, "-", "--json", stdin=line.encode() + b"\n")
    assert json.loads(again.lines[0])["log_p"] == pytest.approx(record["log_p"], abs=1e-5)
    assert json.loads(again.lines[-1])["summary"]["symbols"] == 4


@every_model
def test_company_changes_nothing(tagged, model):
    run, texts = seq2x.load(tagged / model, "cpu"), [text for text, _ in sentences(30, 3)]
    together = run(texts, details=True)
    alone = [run(text, details=True, invariant=True) for text in texts]
    assert [one.value for one in together] == [one.value for one in alone]
    for a, b in zip(together, alone, strict=True):
        assert a.log_p == pytest.approx(b.log_p, abs=1e-5)


@every_model
def test_a_long_text_is_tagged_as_a_whole(tagged, model):
    run = seq2x.load(tagged / model, "cpu")
    assert not run("x 1 " * 300, details=True).truncated
    best, second = run("x 1 " * 300, details=True, n_best=2).alternatives
    assert len(best.tokens) == len(best.token_log_p) == 600 and best.log_p > second.log_p
    assert sum(a != b for a, b in zip(best.ids, second.ids, strict=True)) >= 1
    (scored,) = run.task.score(["x 1 " * 300], [best.value])
    assert scored.log_p == pytest.approx(best.log_p, abs=1e-4)


def test_what_is_tagged_in_parts_is_told(tagged, tmp_path):
    words = ["--model", "transformer", "--positions", "learned", "--max-source-length", 7, "--heads", 2]
    ended = cli("train", tagged / "train.tsv", "--out", tmp_path / "run", *TINY, *words, "--max-steps", 2)
    assert ended.code == 0, ended.err
    ended = cli("predict", tmp_path / "run", stdin=b"x 1\n" + b"x 1 " * 4 + b"\n")
    assert "1 x input longer than the model reads at once; it was tagged in parts" in ended.err
    path = write(tmp_path / "long.tsv", [("x 1 " * 4, "N NUM " * 4), ("x", "N")])
    for command in ("evaluate", "score"):
        assert "1 x input longer than the model reads at once" in cli(command, tmp_path / "run", path).err


@every_model
def test_labels_can_be_forbidden(tagged, model):
    ended = cli("predict", tagged / model, "--forbid", "NUM", "--forbid", "N", stdin=b"12 baa x\n")
    assert ended.lines == ["V V V"]
    every = ["--forbid", "NUM", "--forbid", "N", "--forbid", "V"]
    refused(["predict", tagged / model, *every], 2, "every label is forbidden", stdin=b"12\n")


def test_what_a_tagger_has_no_use_for(tagged):
    run = tagged / "crf"
    refused(["predict", run, "--prefix", "N"], 2, "a tagger labels every token", stdin=b"x\n")
    refused(["predict", run, "--sample"], 2, "labels are not drawn", stdin=b"x\n")
    refused(["predict", run, "--ensemble", tagged / "gru"], 2, "runs that tag", stdin=b"x\n")
    ended = cli("predict", run, "--beam-size", 7, "--length-alpha", 2, stdin=b"x\n")
    assert ended.code == 0 and ended.err.count("every token gets a label") == 2


def test_unequal_counts_are_found_with_their_line(tagged):
    path = write(tagged / "bad.tsv", [*sentences(40, 5), ("a b", "N"), *sentences(5, 6)])
    ended = cli("check", path, "--task", "tag")
    assert ended.code == 3 and b"error [labels] 1 pair" in ended.out and b"bad.tsv:41" in ended.out
    assert b"[labels]" not in cli("check", path).out
    assert cli("check", tagged / "train.tsv", "--task", "tag").code == 0
    refused(["train", path, "--out", tagged / "x", *TINY], 3, "bad.tsv:41")
    refused(["evaluate", tagged / "gru", path], 3, "bad.tsv:41: 2 tokens and 1 labels")
    refused(["score", tagged / "gru", path], 3, "bad.tsv:41: 2 tokens and 1 labels")
    refused(["train", tagged / "train.tsv", "--valid", path, "--out", tagged / "y", *TINY], 3, "bad.tsv:41")


def test_a_label_that_was_never_seen_has_a_small_probability(tagged):
    path = write(tagged / "strange.tsv", [("baa", "N"), ("baa", "NEVER")])
    for model in MODELS:
        known, never = map(float, cli("score", tagged / model, path).lines)
        assert -0.7 < known < 0 and -700 < never < -2


def test_compare_and_info(tagged):
    ended = cli("compare", tagged / "hmm", tagged / "crf", tagged / "test.tsv", "--json")
    assert ended.code == 0 and json.loads(ended.out)["metric"] == "accuracy"
    said = {model: cli("info", tagged / model).out.decode() for model in MODELS}
    assert all("tokens in, a label for each out (tag)" in text for text in said.values())
    assert "hidden Markov model of order 1" in said["hmm"] and "counts" in said["hmm"]
    assert "a CRF" in said["crf"] and "a softmax per token" in said["gru"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--model hmm --crf", "an HMM counts its own transitions"),
        ("--task generate --crf", 'it labels tokens: task = "tag"'),
        ("--task generate --model hmm", 'it labels tokens: task = "tag"'),
        ("--task token_classification", 'is "tag" here'),
        ("--model bilstm", 'is "lstm" here'),
        ("--hmm-order 3 --model hmm", "an integer from 1 to 2"),
        ("--unlabelled nowhere.txt --model hmm", "nowhere.txt"),
        ("--unlabelled - --model hmm", "save it to a file first"),
    ],
)
def test_what_makes_no_sense_is_refused_first(tagged, words, why):
    ended = cli("train", tagged / "train.tsv", "--out", tagged / "never", *words.split())
    assert ended.code in (2, 3) and why in ended.err and not (tagged / "never").exists()


def test_settings_without_effect_are_told(tagged):
    ended = cli(
        "train", tagged / "train.tsv", "--out", tagged / "idle", *MODELS["hmm"], "--width", 9, "--em-steps", 3,
        "--units", "bpe", "--beam-size", 3,
    )  # fmt: skip
    assert ended.code == 0
    for name in ("width", "em_steps", "units", "beam_size"):
        assert f"warning: {name} has no effect" in ended.err
    ended = cli("train", tagged / "train.tsv", "--out", tagged / "idle2", *MODELS["crf"], "--label-smoothing", 0.2,
                "--hmm-order", 2, "--max-steps", 2)  # fmt: skip
    assert "label_smoothing has no effect with crf" in ended.err and "hmm_order has no effect" in ended.err


@every_model
def test_a_finished_run_is_finished_and_another_is_another(tagged, model):
    ended = cli("train", tagged / "train.tsv", "--out", tagged / model, *MODELS[model])
    assert ended.code == 0 and "already finished" in ended.err
    refused(["train", tagged / "train.tsv", "--out", tagged / model, *MODELS[model], "--seed", 2], 2, "seed was 1")


def test_em_raises_what_it_maximises_and_its_text_is_part_of_the_data(tagged):
    path = tagged / "unlabelled.txt"
    path.write_text("".join(f"{text}\n" for text, _ in sentences(40, 7)) + "\n")
    words = [*MODELS["hmm"], "--unlabelled", path, "--em-steps", 3, "--hmm-order", 2]
    assert cli("train", tagged / "train.tsv", "--out", tagged / "em", *words).code == 0
    passes = [line["log_posterior"] for line in read_metrics(tagged / "em") if line["kind"] == "train"]
    assert len(passes) == 4 and passes[0] is None and passes[1] < passes[2] < passes[3]
    path.write_text("other\n")
    refused(["train", tagged / "train.tsv", "--out", tagged / "em", *words], 2, "unlabelled.txt has changed")


def test_a_folder_of_another_kind_is_not_believed(tagged):
    task = seq2x.load(tagged / "hmm", "cpu").task
    shape = replace(task.about.shape, max_source_length=9)
    for labels in (TextCodec.learn(["N V"], "word"), TextCodec(Vocabulary("word", ("A\nB",), unknown="closed"))):
        with pytest.raises(FolderError, match="no closed set of labels"):
            Tag(task.source_codec, labels, task.model, replace(task.about, shape=shape))
    files = dict(load(tagged / "hmm" / "best").contents)
    for name, said in (("generate", "not a model of a generate task"), ("other", "one of generate, tag")):
        told = json.loads(files["task.json"]) | {"task": name}
        commit(tagged / f"forged-{name}", 1, files | {"task.json": dump_json(told)}, {})
        with pytest.raises(FolderError, match=said):
            seq2x.load(tagged / f"forged-{name}", "cpu")


def test_going_on_from_a_tagger(tagged):
    more = write(tagged / "more.tsv", sentences(60, 9))
    words = [*MODELS["crf"], "--from", tagged / "crf", "--max-steps", 5, "--valid-steps", 5]
    ended = cli("train", more, "--out", tagged / "on", *words)
    assert ended.code == 0, ended.err
    assert seq2x.evaluate(tagged / "on", tagged / "test.tsv")["accuracy"].value > 80
    refused(["train", more, "--out", tagged / "on2", "--model", "hmm", "--from", tagged / "hmm"], 2, "counted")


def test_data_alone_makes_no_tagger_but_is_mentioned(tagged):
    ended = cli("train", tagged / "train.tsv", "--out", tagged / "text", *TINY[2:], "--max-steps", 1)
    assert ended.code == 0 and "task = generate" in ended.err and "--task tag would label the tokens" in ended.err


def test_align_writes_a_line_for_each_pair(tmp_path):
    path = write(
        tmp_path / "pairs.tsv", [("das Haus", "the house"), ("das Buch", "the book"), ("", "x"), ("ein Buch", "a book")]
    )
    ended = cli("align", path)
    assert ended.code == 0 and ended.lines == ["0-0 1-1", "0-0 1-1", "", "0-0 1-1"]
    assert "HMM, step 5 began from log p" in ended.err
    assert [json.loads(line) for line in cli("align", path, "--json", "--symmetry", "union").lines][2] == []
    assert cli("align", path, "--out", tmp_path / "links.txt", "--keep-case").out == b""
    assert (tmp_path / "links.txt").read_text().startswith("0-0 1-1\n")
    refused(["align", path, "--symmetry", "grow"], 2, "grow-diag-final")
    refused(["align", tmp_path / "nowhere.tsv"], 3, "nowhere.tsv")
