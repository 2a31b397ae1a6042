"""Judging runs on raw strings: files, references, overlap, scores, comparison."""

import json
import math

import pytest

import seq2x
from seq2x.errors import DataError, UsageError
from seq2x.evaluate import compare, report, score
from seq2x.metrics import METRICS, evaluate_pairs
from seq2x.predict import Predictor
from seq2x.tasks.seen import Seen
from seq2x.types import Example
from tasks.conftest import LINES, make_task

SHORT = {"max_length": 8, "beam_size": 2}


@pytest.fixture(scope="module")
def run():
    return Predictor(make_task())


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("".join(f"{line}\t{line[::-1]}\n" for line in LINES))
    return path


def record(*examples):
    """What a run knows of its training lines."""
    task = make_task()
    return Seen.of(examples, (task.source_codec, task.target_codec)).to_bytes()


def test_every_metric_can_be_asked_for(run, pairs):
    results = seq2x.evaluate(run, pairs, metric=list(METRICS), **SHORT)
    outputs = run(LINES, **SHORT)
    for name, result in results.items():
        assert result == evaluate_pairs(name, outputs, [line[::-1] for line in LINES])
    assert list(results) == list(METRICS)


def test_the_run_s_own_metric_comes_first(run, pairs):
    assert next(iter(seq2x.evaluate(run, str(pairs), **SHORT))) == "exact_match"


def test_an_unknown_metric_is_said_before_any_work(run):
    with pytest.raises(UsageError, match='did you mean "bleu"'):
        report(run, "nowhere.tsv", metric=["blue"])


def test_unknown_settings_are_said(run, pairs):
    with pytest.raises(UsageError, match="beam_size"):
        report(run, pairs, num_beams=3)


def test_a_loaded_run_is_not_moved(run, pairs):
    for judging in (report, score, lambda *a, **k: compare(a[0], *a, **k)):
        with pytest.raises(UsageError, match=r"seq2x\.load\(run, threads=77\)"):
            judging(run, pairs, threads=77)


def test_blank_sides_are_items_and_blank_lines_are_not(run, tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("the cat\ttac\n\n\tnothing\na dog\t\n")
    found = report(run, path, **SHORT)
    assert [(e.source, e.targets) for e in found.examples] == [
        ("the cat", ("tac",)),
        ("", ("nothing",)),
        ("a dog", ("",)),
    ]
    assert found.predictions[1].value == ""
    (tmp_path / "blank.tsv").write_text("\n \t \n")
    with pytest.raises(DataError, match="no examples"):
        report(run, tmp_path / "blank.tsv")


def test_overlap_is_said_or_said_to_be_unknown(pairs):
    assert any("not known" in line for line in report(Predictor(make_task()), pairs, **SHORT).notes)
    warned = Predictor(make_task(), record(Example(LINES[0], (LINES[0][::-1],), 1), Example(LINES[1], ("x",), 2)))
    for judged in (report(warned, pairs, **SHORT), score(warned, pairs)):
        (line,) = [note for note in judged.notes if "training" in note]
        assert line.startswith(f"warning: 2 of {len(LINES)} sources") and "1 with the same target" in line
    other = Predictor(make_task(), record(Example("other", ("x",), 1)))
    assert not any("training" in note for note in report(other, pairs, **SHORT).notes)


def test_a_line_that_is_the_same_to_the_model_was_trained_on(tmp_path):
    run = Predictor(make_task(), record(Example("nai\u0308ve caf\u00e9 ", ("x",), 1)))
    (tmp_path / "test.tsv").write_text("na\u00efve cafe\u0301\tx\nNaive\tx\n")
    assert any("1 of 2 sources (50%)" in note for note in report(run, tmp_path / "test.tsv", **SHORT).notes)


def test_each_member_of_an_ensemble_was_trained_on_something(pairs):
    one, other = make_task(), make_task(seed=3)
    seen = record(*(Example(line, (line[::-1],), 1) for line in LINES))
    together = Predictor(one.with_team([other]), record(), [seen])
    (line,) = [note for note in report(together, pairs, **SHORT).notes if "training" in note]
    assert f"{len(LINES)} of {len(LINES)} sources" in line and "data of member 2" in line
    unknown = [note for note in report(Predictor(one.with_team([other])), pairs, **SHORT).notes if "not known" in note]
    assert len(unknown) == 2


def test_score_of_pairs_is_the_tasks(run, pairs):
    found = score(run, pairs)
    expected = run.task.score(LINES, [line[::-1] for line in LINES])
    assert [line.log_p for line in found.lines] == pytest.approx([line.log_p for line in expected], abs=1e-4)
    symbols = sum(len(run.task.target_codec.encode(line[::-1])) + 1 for line in LINES)
    assert found.symbols == symbols and math.isclose(found.perplexity.value, math.exp(-found.log_p / symbols))


def test_score_takes_every_right_output(run, tmp_path):
    path = tmp_path / "several.jsonl"
    path.write_text(json.dumps({"source": "the cat", "target": ["a", "b"]}) + "\n")
    assert len(score(run, path).lines) == 2


def test_a_run_trained_on_swapped_columns_is_evaluated_on_them(pairs):
    import dataclasses

    task = make_task()
    task.about = dataclasses.replace(task.about, search={"columns": "source=2,target=1"})
    found = report(Predictor(task), pairs, **SHORT)
    assert [e.source for e in found.examples] == [line[::-1] for line in LINES]
    told = report(Predictor(task), pairs, columns="source=1,target=2", **SHORT)
    assert [e.source for e in told.examples] == LINES


def test_compare(run, pairs):
    other = Predictor(make_task(seed=9))
    found = compare(run, other, pairs, metric="cer", **SHORT)
    assert found.verdict.metric == "cer" and found.verdict.count == len(LINES)
    assert found.changed == [i for i, line in enumerate(LINES) if run(line, **SHORT) != other(line, **SHORT)]
    assert compare(run, run, pairs, **SHORT).changed == []


def test_score_gives_one_number_a_line_even_to_blank_and_repeated_ones(tmp_path):
    import dataclasses

    task = make_task()
    task.about = dataclasses.replace(task.about, references="merge")
    path = tmp_path / "test.tsv"
    path.write_text("the cat\ttac\n\nthe cat\tcat\n")
    found = score(Predictor(task), path)
    assert len(found.lines) == 3 and found.lines[1].log_p == 0.0
