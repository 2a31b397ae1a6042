"""`evaluate`, `score`, `compare` and `check` for people, for machines and through pipes."""

import json
import math
import re
from pathlib import Path

import pytest

from .conftest import cli, pairs, write
from .refusals import accepted, refused

JSON_PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"


def records(ended):
    return [json.loads(line) for line in ended.lines]


def sources(place):
    return b"".join(line.split(b"\t")[0] + b"\n" for line in (place / "test.tsv").read_bytes().splitlines())


# ------------------------------------------------------------------ score


def test_score_gives_a_record_for_each_output_and_the_totals_last(place):
    path = write(place / "scored.tsv", [*pairs(5, 3), ("", ""), ("abc" * 400, "cba")])
    ended = cli("score", place / "a", path, "--json")
    *lines, last = records(ended)
    assert [(one["line"], one["source"], one["target"]) for one in lines[:5]] == [
        (number, *pair) for number, pair in enumerate(pairs(5, 3), 1)
    ]
    assert [one["truncated"] for one in lines] == [False] * 6 + [True] and lines[5]["log_p"] == 0.0
    assert list(last) == ["summary"]
    total = last["summary"]
    assert total["items"] == len(lines) == 7
    assert math.isclose(total["log_p"], sum(one["log_p"] for one in lines))
    assert total["symbols"] == sum(len(one["token_log_p"]) for one in lines)
    perplexity = total["results"]["perplexity"]
    assert math.isclose(perplexity["value"], math.exp(-total["log_p"] / total["symbols"]))
    assert perplexity["interval"][0] <= perplexity["value"] <= perplexity["interval"][1]
    assert "1 x input longer than the model reads; its end was not seen" in total["notes"]
    assert all(note.removeprefix("warning: ") in ended.err for note in total["notes"])
    plain = cli("score", place / "a", path)
    assert [float(line) for line in plain.lines] == [round(one["log_p"], 6) for one in lines]


def test_what_predict_writes_can_be_piped_into_score(place):
    predicted = cli("predict", place / "a", "--json", stdin=sources(place))
    scored = cli("score", place / "a", "-", "--json", stdin=predicted.out)
    assert scored.code == 0, scored.err
    *lines, _ = records(scored)
    for one, two in zip(records(predicted), lines, strict=True):
        assert math.isclose(one["log_p"], two["log_p"], abs_tol=1e-5) and one["ids"] == two["ids"]
        assert (one["source"], one["text"]) == (two["source"], two["target"])
    assert cli("score", place / "a", "--format", "jsonl", "-", "--json", stdin=predicted.out).out == scored.out


def test_standard_input_that_predict_did_not_write_has_to_be_told(place):
    told = cli("score", place / "a", "-", "--format", "tsv", stdin=(place / "test.tsv").read_bytes())
    assert told.out == cli("score", place / "a", place / "test.tsv").out
    for stdin in (b"ab\tba\n", b'{"source": "a", "target": "b"}\n', b"{\n"):
        refused(["score", place / "a", "-"], 2, "standard input: its format is not known", stdin=stdin)
    refused(["score", place / "a", "-"], 3, "standard input: no examples", stdin=b"\n")
    line = cli("predict", place / "a", "--json", "--text", "abc").out
    refused(["score", place / "a", "-"], 3, "standard input:2: not JSON", stdin=line + b"abc\tcba\n")
    columns = ["--format", "jsonl", "--columns", "source=source,target=text"]
    assert cli("score", place / "a", "-", *columns, stdin=line).code == 0


def test_score_warns_of_what_was_trained_on(place):
    accepted(["score", place / "a", place / "train.tsv"], "warning:", "occur in the training data")


def test_what_score_does_not_use_is_said(place):
    options = ["--references", "merge", "--window", "3"]
    ended = accepted(["score", place / "a", place / "test.tsv", *options], "window has no effect")
    assert "references has no effect" in ended.err


# ------------------------------------------------------------------ ensembles


def test_an_ensemble_scores_what_it_predicts(place):
    team = [place / "a", "--ensemble", place / "b"]
    predicted = cli("predict", *team, "--json", stdin=sources(place))
    scored = cli("score", *team, "-", "--json", stdin=predicted.out)
    assert scored.code == 0, scored.err
    for one, two in zip(records(predicted), records(scored)[:-1], strict=True):
        assert math.isclose(one["log_p"], two["log_p"], abs_tol=1e-4)
    alone = cli("score", place / "a", "-", "--json", stdin=predicted.out)
    assert records(alone)[-1]["summary"]["log_p"] != records(scored)[-1]["summary"]["log_p"]


def test_an_ensemble_is_evaluated_as_it_predicts(place):
    from seq2x.metrics import evaluate_pairs

    team = [place / "a", "--ensemble", place / "b"]
    outputs = cli("predict", *team, stdin=sources(place)).lines
    references = [line.split("\t")[1] for line in (place / "test.tsv").read_text().splitlines()]
    ended = cli("evaluate", *team, place / "test.tsv", "--metric", "cer", "--json")
    assert math.isclose(
        json.loads(ended.out)["results"]["cer"]["value"], evaluate_pairs("cer", outputs, references).value
    )


def test_compare_has_two_sides_and_no_ensemble(place):
    line = ["compare", place / "a", place / "b", place / "test.tsv", "--ensemble", place / "a"]
    refused(line, 2, "--ensemble is not for this command; it is for predict, evaluate, score")
    refused(["predict", place / "a", "--metric", "cer"], 2, "--metric is not for this command; it is for evaluate")


# ------------------------------------------------------------------ metrics and settings


def test_perplexity_is_what_score_is_for(place):
    for line in (["evaluate", place / "a"], ["compare", place / "a", place / "b"]):
        refused([*line, place / "test.tsv", "--metric", "perplexity"], 2, '"seq2x score" gives it')


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_n_best_has_no_effect_on_a_judgement(place, command):
    runs = [place / "a", place / "b"] if command == "compare" else [place / "a"]
    line = [command, *runs, place / "test.tsv", "--beam-size", "2", "--json"]
    plain, asked = cli(*line), accepted([*line, "--n-best", "2"], "note: n_best has no effect")
    results = [{key: value for key, value in json.loads(one.out).items() if key != "notes"} for one in (plain, asked)]
    assert results[0] == results[1] and "details" not in asked.err


def test_what_check_does_not_use_is_said(place):
    ended = cli("check", place / "train.tsv", "--valid-size", "3", "--max-source-length", "9")
    assert "valid_size has no effect" in ended.err and "max_source_length" not in ended.err


# ------------------------------------------------------------------ for machines


def keys(value):
    """Every key of a JSON value, but for those that are names of metrics or of facts."""
    if isinstance(value, list):
        return {key for one in value for key in keys(one)}
    if not isinstance(value, dict):
        return set()
    inner = (one for key, one in value.items() if key not in ("facts", "extras", "parts", "repaired", "left_out"))
    return set(value) | {key for one in inner for key in keys(one)}


def test_every_key_is_documented(place, tmp_path):
    said = set(re.findall(r"`([a-z_]+)`", JSON_PAGE.read_text(encoding="utf-8"))) | {"exact_match", "chrf", "cer"}
    test, new = place / "test.tsv", tmp_path / "new.jsonl"
    new.write_text('{"source": "abc", "id": 7}\n')
    for line in (
        ["predict", place / "a", new, "--n-best", "2"],
        ["score", place / "a", test],
        ["evaluate", place / "a", test],
        ["compare", place / "a", place / "b", test],
        ["check", test, "--fix", tmp_path / "clean.tsv"],
    ):
        ended = cli(*line, "--json")
        assert ended.code == 0, ended.err
        missing = keys(records(ended)) - said
        assert not missing, (line[0], missing)
