"""Judging runs on raw strings: files, references, overlap, scores, comparison."""

import json
import math

import pytest

import seq2x
from seq2x.errors import DataError, FolderError, UsageError
from seq2x.evaluate import compare, report, score
from seq2x.metrics import METRICS, evaluate_pairs, make
from seq2x.predict import Predictor
from seq2x.run import commit
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


def test_one_metric_is_a_name_or_an_object(run, pairs):
    (by_name,) = seq2x.evaluate(run, pairs, metric="cer", **SHORT).values()
    assert by_name.metric == "cer"
    object_ = make("cer", [])
    assert seq2x.evaluate(run, pairs, metric=object_, **SHORT) == {"cer": by_name}
    assert list(seq2x.evaluate(run, pairs, metric=["ter", object_], **SHORT)) == ["ter", "cer"]
    by_name, by_object = (compare(run, run, pairs, metric=metric, **SHORT).verdict for metric in ("cer", object_))
    assert by_name == by_object and by_name.metric == "cer"


def test_perplexity_is_not_of_outputs(run, pairs):
    for judging in (report, lambda *a, **k: compare(a[0], *a, **k)):
        with pytest.raises(UsageError, match='"seq2x score" gives it'):
            judging(run, pairs, metric="perplexity")


def test_a_metric_has_something_to_say(run, tmp_path, monkeypatch):
    monkeypatch.setattr("seq2x.metrics.bleu._tokenizer", lambda script: "char")
    (tmp_path / "test.tsv").write_text("cat\t私は猫が好きです。\ndog\t東京は大きい。\n", encoding="utf-8")
    for judged in (
        report(run, tmp_path / "test.tsv", **SHORT),
        compare(run, run, tmp_path / "test.tsv", metric="bleu", **SHORT),
    ):
        assert sum("seq2x[ja]" in note for note in judged.notes) == 1
    assert not any("seq2x[ja]" in note for note in report(run, tmp_path / "test.tsv", metric="cer", **SHORT).notes)


def test_n_best_changes_nothing_and_says_so(run, pairs):
    plain, asked = report(run, pairs, **SHORT), report(run, pairs, n_best=7, max_length=8)
    assert any("n_best has no effect" in note for note in asked.notes)
    assert asked.results == report(run, pairs, max_length=8).results  # the beam is as wide as without
    assert not any("n_best" in note for note in plain.notes)
    compared = compare(run, run, pairs, n_best=2, **SHORT)
    assert any("n_best has no effect" in note for note in compared.notes)
    with pytest.raises(UsageError, match="n_best"):
        report(run, pairs, n_best=0)


def test_settings_that_score_does_not_use_are_said(run, pairs):
    notes = score(run, pairs, beam_size=3, window=7, references="merge", batch_size=2, threads=0).notes
    said = [note.split()[0] for note in notes if "has no effect" in note]
    assert said == ["beam_size", "references", "window"]


def test_one_run_of_an_ensemble_is_not_a_list_of_letters(run, pairs, tmp_path):
    commit(tmp_path / "one", 1, make_task(seed=1).to_files(), {})
    commit(tmp_path / "two", 1, make_task(seed=2).to_files(), {})
    by_path, by_list = (seq2x.load(tmp_path / "one", ensemble=two) for two in (tmp_path / "two", [tmp_path / "two"]))
    assert len(by_path.task.team) == len(by_list.task.team) == 1
    alone = seq2x.load(tmp_path / "one")
    for judging, values in (
        (report, lambda found: [p.log_p for p in found.predictions]),
        (score, lambda found: [line.log_p for line in found.lines]),
    ):
        together = values(judging(tmp_path / "one", pairs, ensemble=str(tmp_path / "two"), **{**SHORT, "beam_size": 2}))
        assert together == values(judging(by_list, pairs, **SHORT)) != values(judging(alone, pairs, **SHORT))
        with pytest.raises(FolderError, match="nowhere: no such folder"):
            judging(tmp_path / "one", pairs, ensemble="nowhere")
        with pytest.raises(UsageError, match=r"seq2x\.load\(run, ensemble=\.\.\.\)"):
            judging(alone, pairs, ensemble=tmp_path / "two")


def test_the_run_s_own_metric_comes_first(run, pairs):
    assert next(iter(seq2x.evaluate(run, str(pairs), **SHORT))) == "exact_match"


def test_an_unknown_metric_is_said_before_any_work(run):
    with pytest.raises(UsageError, match='did you mean "bleu"'):
        report(run, "nowhere.tsv", metric=["blue"])


def test_unknown_settings_are_said(run, pairs):
    with pytest.raises(UsageError, match="beam_size"):
        report(run, pairs, num_beams=3)
    with pytest.raises(UsageError, match="metric here"):
        report(run, pairs, metrics=["cer"])
    with pytest.raises(UsageError, match="give compare what load gives"):
        compare(run, run, pairs, ensemble="runs/b")


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
    path.write_text("\n" + json.dumps({"source": "the cat", "target": ["a", "b"]}) + "\n")
    found = score(run, path)
    assert [(e.source, e.targets, e.line) for e in found.examples[1:]] == [("the cat", (t,), 2) for t in "ab"]
    assert len(found.lines) == len(found.examples) == 3


def test_score_says_how_many_sources_were_cut(tmp_path):
    task = make_task(max_source_length=8)
    (tmp_path / "test.tsv").write_text("12345678\ta\n123456789\tb\n")
    found = score(Predictor(task), tmp_path / "test.tsv")
    assert [line.truncated for line in found.lines] == [False, True]
    assert "1 x input longer than the model reads; its end was not seen" in found.notes


def test_a_target_beyond_all_positions_is_named_by_file_and_line(tmp_path):
    run = Predictor(make_task(positions="learned", max_target_length=6))
    for name, rows in (("fine.tsv", ["ab\t123456"]), ("long.tsv", ["", "ab\tc", "ab\t1234567"])):
        (tmp_path / name).write_text("".join(f"{row}\n" for row in rows))
    assert len(score(run, tmp_path / "fine.tsv").lines) == 1
    with pytest.raises(DataError, match=r"long\.tsv:3: .*8 symbols.*expected at most 7") as caught:
        score(run, [tmp_path / "fine.tsv", tmp_path / "long.tsv"], format="tsv")
    assert "max_target_length below" not in str(caught.value)


def test_records_of_predict_are_known_wherever_they_are_not_told_otherwise(run, tmp_path):
    (one,) = run(["the cat"], details=True, **SHORT)
    path = tmp_path / "out.txt"
    record = {"source": "the cat", "text": "a dog", "ids": list(one.ids), "stopped": one.stopped}
    path.write_text("\n" + json.dumps(record) + "\n")
    for found in (score(run, path), score(run, [path], format="jsonl")):
        assert found.lines[0].log_p == pytest.approx(one.log_p, abs=1e-4)
        assert found.examples[0].line == 2 and any("1 x text that is cut" in note for note in found.notes)
    (told,) = score(run, path, columns="source=source,target=text").lines[1:]
    assert told.ids == tuple(run.task.target_codec.encode("a dog"))
    path.write_text(json.dumps(record) + "\n" + '{"source": "x", "target": "y"}\n')
    with pytest.raises(DataError, match=r"out\.txt:2: keys found: source, target; expected a record of predict"):
        score(run, path)


def test_a_run_trained_on_swapped_columns_is_evaluated_on_them(pairs):
    import dataclasses

    task = make_task()
    task.about = dataclasses.replace(task.about, search={"columns": "source=2,target=1"})
    found = report(Predictor(task), pairs, **SHORT)
    assert [e.source for e in found.examples] == [line[::-1] for line in LINES]
    said = "columns: source=2,target=1, as the run was trained (--columns says otherwise)"
    assert said in found.notes and said in score(Predictor(task), pairs).notes
    told = report(Predictor(task), pairs, columns="source=1,target=2", **SHORT)
    assert [e.source for e in told.examples] == LINES and said not in told.notes


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
