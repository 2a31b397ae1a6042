"""The demo's data: real dates, one reading each, and a test that training never sees."""

import datetime
from collections import Counter

import pytest

pytest.importorskip("babel", reason="the demo's data needs babel")

from seq2x.data import check
from seq2x.demo.dates import LANGUAGES, Counts, pairs, read_by_rules, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dates")
    return path, write(path, per_language=60, test_per_language=15)


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_forty_languages_in_equal_shares(folder):
    path, counts = folder
    assert len(LANGUAGES) == 40 and "zh" in LANGUAGES
    assert Counter(row[2] for row in rows(path / "train.tsv")) == dict.fromkeys(LANGUAGES, 60)
    assert (counts.train, counts.test) == (2400, 600)


def test_every_target_is_a_date_and_no_test_date_is_in_training(folder):
    path, _ = folder
    train, test = ({datetime.date.fromisoformat(row[1]) for row in rows(path / f"{n}.tsv")} for n in ("train", "test"))
    assert not train & test


def test_no_string_has_two_readings(folder):
    path, counts = folder
    seen = {}
    for text, iso, _ in rows(path / "train.tsv") + rows(path / "test.tsv"):
        assert seen.setdefault(text, iso) == iso
    assert counts.two_readings > 100 and counts.examples_of_two


def test_the_seed_alone_decides():
    first, again, other = (list(pairs(5, seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_what_people_do_to_dates_occurs():
    counts = Counts()
    made = list(pairs(200, 3, counts=counts))
    styles = Counter(word for pair in made for word in pair.style.split("+"))
    assert {"short", "medium", "long", "full", "EEE", "lower", "upper", "dots", "typo", "ordinal", "spaces"} == set(
        styles
    )
    english = [pair.text for pair in made if pair.language == "en"]
    assert any(text.endswith(("AM", "th")) or "th," in text or "st," in text for text in english)
    assert any("年" in pair.text and "十" in pair.text for pair in made if pair.language == "zh")
    assert any("۱" in pair.text for pair in made if pair.language == "fa")


def test_rules_read_some_numeric_dates_and_no_month_names():
    assert read_by_rules("27/06/2025", "fr") == "2025-06-27"
    assert read_by_rules("27 juin", "fr") == ""


def test_a_month_with_two_meanings_never_occurs():
    """`lis` is October in Croatian and November in Polish, with a weekday before it or without."""
    words = {word for pair in pairs(400, 5) for word in pair.text.lower().replace(".", " ").replace(",", " ").split()}
    assert words.isdisjoint({"lis", "listopada", "listopad", "srp", "lip"})
    assert "října" in words and "października" in words


def test_the_check_finds_nothing_wrong_with_forty_languages(folder):
    report = check([folder[0] / "train.tsv"], columns="source=1,target=2")
    assert [finding.code for finding in report.findings if finding.severity != "note"] == []
