"""Damage is named by its code; sound sets raise no error; the clean copy loses no right answer."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sound_sets import DAMAGE, SETS, to_bytes

from seq2x.data import check, fix, read, sniff
from seq2x.data.alignment import find_shift, find_slip, find_unrelated, pair_cost
from seq2x.data.characters import Kind, count_kinds
from seq2x.data.corpus_rules import Corpus
from seq2x.data.line_rules import Pairs
from seq2x.data.records import parse_record
from seq2x.errors import DataError, UsageError

REAL = {
    "g2p/cmudict": "auto",
    "mt/multi30k/en-de": "auto",
    "mt/tatoeba_en-zh": "auto",
    "inflection/sigmorphon2023": "source=1,source=2,target=3",
}


def write(folder, data, name="pairs.tsv"):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("name", SETS)
def test_sound_sets(tmp_path, name):
    report = check([write(tmp_path, to_bytes(SETS[name]()))])
    assert report.findings == () and report.exit_code == 0
    assert report.facts["pairs"] == len(SETS[name]())


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(tmp_path, name, damage):
    code, make = DAMAGE[damage]
    report = check([write(tmp_path, make(SETS[name]()))])
    found = {finding.code: finding for finding in report.findings}
    assert code in found
    assert found[code].count and (found[code].places or code in ("utf16", "one_symbol"))
    json.dumps(report.to_json())
    assert all("\n" not in line and "\x07" not in line and "\u202e" not in line for line in report.lines())


@pytest.mark.parametrize("name", REAL)
def test_real_sets(tmp_path, name):
    """The sound set has no error; a selection of damage is named in each."""
    root = os.environ.get("SEQ2X_DATA", "")
    if not root or not Path(root, name).is_dir():
        pytest.skip("SEQ2X_DATA is not set to the folder of real data")
    file = "eng_train.tsv.gz" if "sigmorphon" in name else "train.tsv.gz"
    lines = gzip.decompress(Path(root, name, file).read_bytes()).decode().splitlines()[:8000]
    rows = [line.split("\t") for line in lines if line]
    pairs = [[" ".join(row[:-1]), row[-1]] for row in rows]
    assert not check([write(tmp_path, "".join("\t".join(row) + "\n" for row in rows))], columns=REAL[name]).errors
    for code, make in DAMAGE.values():
        report = check([write(tmp_path, make([list(pair) for pair in pairs]))])
        assert code in report.codes, (code, report.codes)


def test_places_and_severity(tmp_path):
    path = write(
        tmp_path,
        "".join(f"source {i}\ttarget number {i}\n" for i in range(50))
        .replace("number 7\n", "number \x07\x07\n")
        .replace("number 9\n", "num\x07ber 9\n"),
    )
    finding = next(f for f in check([path]).findings if f.code == "control")
    assert [place.line for place in finding.places] == [8, 10] and finding.severity == "warning"
    assert finding.places[0].text == "source 7\ttarget number \x07\x07"


def test_only_meaningless_data_is_an_error(tmp_path):
    rows = [[f"source {i}", f"target {i}"] for i in range(100)]
    most = [[s, s if i < 60 else t] for i, (s, t) in enumerate(rows)]
    severity = {f.code: f.severity for f in check([write(tmp_path, to_bytes(most))]).findings}
    assert severity["identical"] == "warning"
    severity = {f.code: f.severity for f in check([write(tmp_path, to_bytes([[s, s] for s, _ in rows]))]).findings}
    assert severity["identical"] == "error"
    one = check([write(tmp_path, to_bytes([[s, "yes"] for s, _ in rows]))])
    assert one.exit_code == 3 and {f.code: f.severity for f in one.errors} == {"one_target": "error"}
    letters = check([write(tmp_path, to_bytes([[s, "a" * (1 + i % 9)] for i, (s, _) in enumerate(rows)]))])
    assert "one_symbol" in {f.code for f in letters.errors}


@pytest.mark.parametrize("pairs", [1, 2, 3, 4])
def test_one_of_a_handful_is_no_large_share(tmp_path, pairs):
    rows = [[f"source {i}", f"target {i}"] for i in range(pairs)]
    assert check([write(tmp_path, to_bytes(rows))]).findings == ()


def test_a_text_must_come_often_before_its_share_counts(tmp_path):
    def codes(same, others, side=1):
        rows = [[f"source {i}", f"target {i}"] for i in range(same + others)]
        for row in rows[:same]:
            row[side] = "yes"
        return {f.code: f.severity for f in check([write(tmp_path, to_bytes(rows))]).findings}

    assert codes(2, 3) == {} and codes(4, 6) == {}
    assert codes(5, 6) == {"one_target": "warning"}
    assert codes(5, 6, side=0)["one_source"] == "warning"
    assert codes(2, 0) == {"one_target": "error"}


def test_a_few_equal_pairs_are_a_note(tmp_path):
    rows = [[f"source {i}", f"target {i}"] for i in range(100)] + [["Berlin", "Berlin"]]
    finding = next(f for f in check([write(tmp_path, to_bytes(rows))]).findings if f.code == "identical")
    assert finding.severity == "note" and finding.places[0].line == 101


def test_all_bad_lines_are_listed(tmp_path):
    path = write(tmp_path, ("a b c\td e f\n" * 5 + "no tab\n") * 12 + "\xff\tx\n")
    report = check([path])
    finding = next(f for f in report.findings if f.code == "columns")
    assert finding.count == 12 and [place.line for place in finding.places] == [6 * i for i in range(1, 11)]
    path = write(tmp_path, b'{"source": "a", "target": "b"}\n{"source"\n{"source": 3, "target": "c"}\n', "x.jsonl")
    assert next(f for f in check([path]).findings if f.code == "record").count == 2


def test_all_bad_lines_are_counted_and_the_first_are_placed(tmp_path):
    path = write(tmp_path, "".join(f"s {i}\tt {i}\n" for i in range(5000)) + "no TAB\n" * 2500)
    (found,) = check(path).errors
    assert found.code == "columns" and found.count == 2500 and found.text.startswith("2,500 records")
    assert [place.line for place in found.places] == list(range(5001, 5011))


def test_what_stands_before_a_line_that_ends_the_reading_is_checked(tmp_path):
    path = write(tmp_path, "".join(f"s {i}\tt {i}\n" for i in range(3000)) + "x" * 600_000 + "\ty\n")
    report = check(path, max_line_bytes=300_000)
    assert report.facts["pairs"] == 3000 and report.codes == ("long_line",)


def test_a_column_named_by_a_header_wider_than_the_data(tmp_path):
    path = write(tmp_path, "a\tb\tc\n" + "x\ty\n" * 20)
    (found,) = check(path, columns="source=a,target=c").findings
    assert found.severity == "error" and "found 2 columns; expected at least 3" in found.text


WORDS = ["day", "ημέρα", "день", "יום", "يوم", "दिन", "วัน", "დღე", "օր", "ቀን", "날"]


def test_many_frequent_scripts_are_no_damage(tmp_path):
    """A file of many languages is written in many scripts; a few lines in one more are named nevertheless."""
    rows = [
        [f"{'day' if n % 3 else WORDS[n // 3 % len(WORDS)]} {n}", f"{n}"] for n in range(1200)
    ]  # 3 % each beside Latin
    assert "script" not in check([write(tmp_path, to_bytes(rows))]).codes
    for number in (5, 700):
        rows[number][0] = "かな"
    finding = next(f for f in check([write(tmp_path, to_bytes(rows))]).findings if f.code == "script")
    assert [place.line for place in finding.places] == [6, 701]


@pytest.mark.parametrize("others", [["день"], ["день", "ημέρα"], ["день", "ημέρα", "יום"]])
def test_few_lines_in_few_other_scripts_are_named(tmp_path, others):
    """4 in 100 lines in each of up to three other scripts: a file of one language, with lines of others in it."""
    rows = [[f"{others[n % 25] if n % 25 < len(others) else 'day'} {n}", f"{n}"] for n in range(1000)]
    finding = next(f for f in check([write(tmp_path, to_bytes(rows))]).findings if f.code == "script")
    assert finding.count == 40 * len(others)


def test_bad_utf8_may_be_allowed(tmp_path):
    path = write(tmp_path, b"".join(b"source %d\ttarget %d\n" % (i, i) for i in range(20)) + b"\xff\t\n")
    assert check([path]).exit_code == 3 and check([path], on_bad_utf8="skip").exit_code == 0


def test_bad_utf8_gives_the_byte_and_the_encoding(tmp_path):
    good = b"".join(b"source %d\ttarget %d\n" % (i, i) for i in range(20))
    path = write(tmp_path, good + "a\t今天天气很好\n".encode("gb18030") * 2)
    finding = next(f for f in check([path]).findings if f.code == "bad_utf8")
    assert finding.text == f"2 lines that are not UTF-8, first: {path}:21:3: byte 0xBD"
    assert "iconv -f gb18030" in finding.todo and finding.count == 2 and finding.places[0].line == 21
    whole = write(tmp_path, "今天天气很好\tb\n".encode("gb18030") * 9)
    (finding,) = check([whole]).findings
    assert finding.code == "bad_utf8" and f"{whole}:1:1" in finding.text and "gb18030" in finding.text


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.tsv", b"", "no_examples"),
        ("a.tsv", b"\t\n\t\n", "no_examples"),
        ("a.gz", b"text", "gzip"),
        ("a.tsv", b"one column\n", "columns"),
        ("a.tsv", b"a\tb\tc\n", "columns"),
        ("a.tsv", b"a\tb\n" + b"x" * 2_000_000, "long_line"),
    ],
)
def test_unreadable(tmp_path, name, data, code):
    report = check([write(tmp_path, data, name)])
    assert code in report.codes and report.exit_code == 3


def test_files_that_do_not_match(tmp_path):
    report = check([write(tmp_path, "a\nb\n", "a.src"), write(tmp_path, "a\n", "a.tgt")])
    assert report.codes == ("line_count",) and "2 lines" in report.findings[0].text


def test_missing_file(tmp_path):
    assert check([tmp_path / "nothing.tsv"]).exit_code == 3


def test_overlap(tmp_path):
    pairs = SETS["english_german"]()
    train, test = (
        write(tmp_path, to_bytes(pairs[:400])),
        write(tmp_path, to_bytes([*pairs[400:], pairs[3], [pairs[5][0], "Anders."]]), "test.tsv"),
    )
    finding = next(f for f in check([train], test=[test]).findings if f.code == "overlap")
    assert (
        finding.count == 2 and "1 with the same target" in finding.text and [p.line for p in finding.places] == [51, 52]
    )
    assert "overlap" not in check([train], test=[write(tmp_path, to_bytes(pairs[400:]), "test.tsv")]).codes
    assert check([train], test=[tmp_path / "none.tsv"]).exit_code == 3


def test_overlap_is_of_what_a_model_reads(tmp_path):
    """Another Unicode form and blanks at the ends make no other line."""
    rows = [[f"source {i}", f"target {i}"] for i in range(50)]
    train = write(tmp_path, to_bytes([*rows, ["cafe\u0301 ", "na\u00efve"]]))
    rows = [["caf\u00e9", " nai\u0308ve"], [" caf\u00e9", "x"], ["Caf\u00e9", "x"]]
    test = write(tmp_path, to_bytes(rows), "test.tsv")
    (finding,) = [f for f in check(train, test=test).findings if f.code == "overlap"]
    assert finding.text.startswith("2 of 3 sources") and "(1 with the same target)" in finding.text
    assert [place.line for place in finding.places] == [1, 2]


def test_one_test_file_is_not_a_list_of_letters(tmp_path):
    train = write(tmp_path, "".join(f"source {i}\ttarget {i}\n" for i in range(50)))
    test = write(tmp_path, "source 3\tx\nother\ty\n", "test.tsv")
    more = write(tmp_path, "source 4\tx\nanother\ty\n", "more.tsv")
    for one in (str(test), test, [test]):
        (finding,) = [f for f in check(str(train), test=one).findings if f.code == "overlap"]
        assert finding.text.startswith("1 of 2 sources")
    (finding,) = [f for f in check(train, test=[test, more], format="tsv").findings if f.code == "overlap"]
    assert finding.text.startswith("2 of 4 sources")


def test_a_clean_copy_is_part_of_the_check(tmp_path):
    rows = "".join(f"source {i}\ttarget {i}\n" for i in range(50)) + "x\u200by\tz\n\tlost\n"
    path = write(tmp_path, rows)
    report = check(path, fix=str(tmp_path / "clean.tsv"))
    assert report.fixed.kept == 51 and report.fixed.dropped == {"empty_source": 1}
    assert (tmp_path / "clean.tsv").read_text().count("\n") == 51 and (tmp_path / "clean.tsv.log").exists()
    told = report.to_json()["fixed"]
    assert told["kept"] == 51 and told["left_out"] == {"empty_source": 1} and told["log"].endswith("clean.tsv.log")
    assert json.dumps(told) and "fixed" not in check(path).to_json() and check(path).fixed is None
    with pytest.raises(UsageError, match="one of the inputs"):
        check(path, fix=path)
    unread = check(tmp_path / "nowhere.tsv", fix=tmp_path / "other.tsv")
    assert unread.exit_code == 3 and unread.fixed is None and not (tmp_path / "other.tsv").exists()


def test_several_references_are_neither_duplicates_nor_an_error(tmp_path):
    path = write(
        tmp_path,
        "".join(
            f"wrong sentence {i}\tright sentence {i}\tright sentence {i}\tproper sentence {i}\n" for i in range(60)
        ),
    )
    report = check([path], columns="source=1,ref=2,ref=3,ref=4")
    assert report.codes == ("several_targets",) and not report.errors


def test_kinds_of_characters():
    counts = count_kinds(["aß1 ,", "你かア", "", "\u200b\x07\ufffd"])
    assert [counts[0, k] for k in (Kind.LATIN, Kind.DIGIT, Kind.BLANK, Kind.PUNCTUATION)] == [2, 1, 1, 1]
    assert [counts[1, k] for k in (Kind.HAN, Kind.KANA)] == [1, 2] and counts[2].sum() == 0
    assert [counts[3, k] for k in (Kind.INVISIBLE, Kind.CONTROL, Kind.DAMAGED)] == [1, 1, 1]


def test_what_stays_of_a_pair():
    """Memory grows with the number of pairs alone, and by as much as the docstring says."""
    corpus, texts = Corpus(), ["x" * 1000, "\U0002a700" * 1000, ""]
    corpus.add(0, [1, 2, 3], Pairs(texts, texts[::-1], 512, 512))
    corpus.close()
    assert sum(values.nbytes for values in corpus.joined.values()) == 62 * 3


def test_half_pairs_in_keys():
    with pytest.raises(ValueError, match="surrogate"):
        parse_record('{"\\udc00": {"a": ["\\ud83d\\ude00"]}}')
    assert parse_record('{"a": ["\\ud83d\\ude00"]}') == {"a": ["😀"]}


# ------------------------------------------------------------------ fix


def test_clean_copy(tmp_path):
    rows = [[f"source {i}", f"target {i}"] for i in range(60)]
    data = (
        to_bytes(rows)
        + b"source 1\tanother right answer\nsource 2\ttarget 2\n \tx\n"
        + "bro\ufffdken\tx\nzero\u200b \te\u0301\nno tab\n".encode()
        + b"\xff\tx\n"
    )
    path, out, log = write(tmp_path, data), tmp_path / "clean.tsv", tmp_path / "fix.log"
    fixed = fix([path], out, log)
    found = [(e.source, e.targets[0]) for e in read([out], sniff([out]))]
    assert found == [tuple(row) for row in rows] + [("source 1", "another right answer"), ("zero", "é")]
    assert fixed.kept == 62 and dict(fixed.dropped) == {
        "duplicate": 1,
        "empty_source": 1,
        "damaged": 1,
        "unreadable": 2,
    }
    logged = log.read_text().splitlines()
    assert any(line.startswith(f"{path}:62\tdropped: duplicate") for line in logged) and len(logged) == 8
    assert path.read_bytes() == data and check([out]).exit_code == 0


def test_clean_copy_is_a_fixed_point(tmp_path):
    path = write(tmp_path, DAMAGE["zero width"][1](SETS["english_chinese"]()))
    once, twice = tmp_path / "once.tsv", tmp_path / "twice.tsv"
    fix([path], once, tmp_path / "log1")
    fixed = fix([once], twice, tmp_path / "log2")
    assert (
        once.read_bytes() == twice.read_bytes()
        and not fixed.changed
        and not fixed.dropped
        and (tmp_path / "log2").read_text() == ""
    )


def test_repetition_that_means_something_stays(tmp_path):
    path = write(tmp_path, "der\tthe\ndie\tthe\nder\tthe\nund\tand\n")
    assert fix([path], tmp_path / "clean.tsv", tmp_path / "log").kept == 4


def test_several_references_survive(tmp_path):
    path = write(tmp_path, "a\tb\tc\nd\te\tf\n")
    fixed = fix([path], tmp_path / "clean.tsv", tmp_path / "log", columns="source=1,ref=2,ref=3")
    assert [e.targets for e in read([fixed.out], sniff([fixed.out]))] == [("b", "c"), ("e", "f")]


def test_fix_refuses(tmp_path):
    path = write(tmp_path, "\ufffd\tb\n")
    with pytest.raises(UsageError, match="one of the inputs"):
        fix([path], path, tmp_path / "log")
    with pytest.raises(UsageError, match="read twice"):
        fix(["-"], tmp_path / "clean.tsv", tmp_path / "log", format="tsv")
    with pytest.raises(DataError, match="nothing is left"):
        fix([path], tmp_path / "clean.tsv", tmp_path / "log")


def test_no_torch():
    code = "import sys, seq2x.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_shuffled_end_is_unrelated(tmp_path):
    """No offset repairs it, so it is not called shifted."""
    pairs = SETS["english_german"]() * 4
    targets = [row[1] for row in pairs[1200:]]
    random.Random(1).shuffle(targets)
    rows = pairs[:1200] + [[row[0], target] for row, target in zip(pairs[1200:], targets, strict=True)]
    report = check([write(tmp_path, to_bytes(rows))])
    finding = next(f for f in report.findings if f.code == "unrelated")
    assert abs(finding.places[0].line - 1201) <= 150 and "shifted" not in report.codes


def test_shift_without_many_lines_is_not_claimed():
    lengths = np.arange(20)
    bits = np.zeros(20, np.uint64)
    assert (
        find_shift(lengths, lengths[::-1], bits, bits) is None and find_unrelated(lengths, lengths, bits, bits) is None
    )


def test_no_pairs_at_all():
    assert find_slip([], [1, 2]) == 1 and len(pair_cost([], [])) == 0
