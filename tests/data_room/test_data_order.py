"""Sound data whose lines fit their neighbours: a chain is told from damage, and there is a way to go on."""

import random
from itertools import pairwise

import pytest
from sound_sets import DAMAGE, SETS, to_bytes

from seq2x.data import check
from seq2x.errors import UsageError

WORDS = "the a dog cat ran sat on in under over big small red blue tree house car boat never always".split()  # noqa: SIM905


def sentences(count, seed=1):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 14))) + f" {draw.randint(0, 999)}" for _ in range(count)]


def next_lines(count=600):
    lines = sentences(count)
    return [list(pair) for pair in pairwise(lines)]


def dialogues():
    """Sixty conversations of ten turns: the last of one is not answered by the first of the next."""
    return [
        pair
        for seed in range(60)
        for pair in [list(p) for p in zip(*[sentences(11, seed)[i:] for i in (0, 1)], strict=False)]
    ]


CHAINS = {
    "next line": next_lines,
    "dialogues": dialogues,
    "line before": lambda: [pair[::-1] for pair in next_lines()],
    "chapters": lambda: [[f"chapter {n}", f"chapter {n + 1}"] for n in range(600)],
    "numbers": lambda: [[str(n), str(n + 1)] for n in range(600)],
    "two lines on": lambda: [list(p) for p in zip(sentences(600), sentences(600)[2:], strict=False)],
}


def report_of(folder, data, **options):
    (folder / "x.tsv").write_bytes(data if isinstance(data, bytes) else to_bytes(data))
    return check(folder / "x.tsv", **options)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_a_note(tmp_path, name):
    report = report_of(tmp_path, CHAINS[name]())
    assert not report.errors and "shifted" not in report.codes and "unrelated" not in report.codes
    if name in ("next line", "dialogues", "line before"):
        assert {f.code: f.severity for f in report.findings}["chain"] == "note"


def test_a_likeness_over_the_whole_file_is_a_warning(tmp_path):
    """Nothing shows how pairs in step would look: each target repeats its successor's source with a change."""
    lines = sentences(600)
    rows = [[line, f"well, {after} then"] for line, after in pairwise(lines)]
    (found,) = [f for f in report_of(tmp_path, rows).findings if f.code == "shifted"]
    assert found.severity == "warning" and "the whole file" in found.text


def test_corrections_that_are_shifted_are_no_chain(tmp_path):
    """Where most targets are their source, a shift makes them the source before; the sound part tells."""
    lines = sentences(600)
    targets = [line if n % 3 else line + " again" for n, line in enumerate(lines)]
    rows = [[s, t] for s, t in zip(lines, targets[:100] + targets[101:], strict=False)]
    report = report_of(tmp_path, rows)
    assert [f.code for f in report.errors] == ["shifted"] and "chain" not in report.codes
    assert abs(report.errors[0].places[0].line - 101) <= 3


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("cut", [60, -60])
def test_a_short_sound_part_before_or_behind_is_enough(tmp_path, name, cut):
    pairs = SETS[name]()
    targets = [row[1] for row in pairs]
    if cut < 0:  # a line lost at the top and another one, on the other side, near the end
        sources = [row[0] for row in pairs]
        rows = list(zip(sources[:cut] + sources[cut + 1 :], targets[1:], strict=True))
    else:
        rows = list(zip([row[0] for row in pairs][:-1], targets[:cut] + targets[cut + 1 :], strict=True))
    found = [f for f in report_of(tmp_path, rows).findings if f.code == "shifted"]
    assert [f.severity for f in found] == ["error"]


# ------------------------------------------------------------------ the way to go on


def shifted():
    return DAMAGE["shifted"][1](SETS["english_german"]())


def test_an_error_of_judgement_says_how_to_go_on(tmp_path):
    (error,) = report_of(tmp_path, shifted()).errors
    assert error.code == "shifted" and "--allow shifted" in error.todo


def test_an_error_that_is_allowed_is_a_warning_and_said(tmp_path):
    report = report_of(tmp_path, shifted(), allow="shifted")
    (found,) = [f for f in report.findings if f.code == "shifted"]
    assert found.severity == "warning" and found.text.endswith("(allowed)") and report.exit_code == 0
    rows = [[f"s{n}", "yes"] for n in range(40)]
    assert report_of(tmp_path, rows, allow=["shifted", "one_target"]).exit_code == 0
    assert report_of(tmp_path, rows, allow="shifted").exit_code == 3


def test_what_was_allowed_and_not_found_is_said(tmp_path):
    report = report_of(tmp_path, SETS["english_german"](), allow="shifted")
    (found,) = [f for f in report.findings if f.code == "allow"]
    assert found.severity == "note" and "shifted" in found.text


@pytest.mark.parametrize("name", ["shiftd", "bad_utf8", "shifted,", " "])
def test_what_cannot_be_allowed(tmp_path, name):
    """Nothing can be read of a record that cannot be read, whatever is allowed."""
    with pytest.raises(UsageError, match="allow"):
        report_of(tmp_path, shifted(), allow=name)


def test_chains_are_looked_for_within_each_file(tmp_path):
    lines = sentences(80)
    for name, part in (("a.tsv", lines[:41]), ("b.tsv", lines[40:])):
        (tmp_path / name).write_bytes(to_bytes([list(p) for p in pairwise(part)]))
    report = check([tmp_path / "a.tsv", tmp_path / "b.tsv"], format="tsv")
    assert not report.errors and [f.count for f in report.findings if f.code == "chain"] == [78]
