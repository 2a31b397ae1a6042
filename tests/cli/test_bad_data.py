"""Bad files (B1 to B15, and what users trip over): refused with code 3 and the place, or repaired and counted."""

import gzip
import json
import os
import resource
import threading

import pytest

from seq2x.cli import main

from .conftest import cli
from .refusals import TINY, accepted, good, refused, tsv

GOOD = tsv(good())
RECORDS = [json.dumps({"source": source, "target": target}) for source, target in good(80)]


def with_line(number, line):
    """Eighty good records of JSON, but for one."""
    return "".join(f"{text}\n" for text in [*RECORDS[: number - 1], line, *RECORDS[number:]]).encode()


def tabs(line, number=7):
    """Forty good pairs, but for one line."""
    lines = GOOD.split(b"\n")
    lines[number - 1] = line
    return b"\n".join(lines)


REFUSED = {
    # name of the row: (file name, bytes, what is said)
    "B1 empty": ("x.tsv", b"", ["x.tsv", "no examples"]),
    "B4 0xFF": ("x.tsv", tabs(b"abc \xff\td"), ["x.tsv:7:5", "0xFF is not UTF-8"]),
    "B4 a cut sequence": ("x.tsv", tabs(b"ab\xe4\xbd\td"), ["x.tsv:7:3", "0xE4 is not UTF-8; repair the line"]),
    "B4 overlong": ("x.tsv", tabs(b"a\tb\xc0\xaf"), ["x.tsv:7:4", "not UTF-8; repair the line"]),
    "B4 half of a surrogate pair": ("x.tsv", tabs(b"a\t\xed\xa0\x80"), ["x.tsv:7:3", "not UTF-8"]),
    "encoding: Western": ("x.tsv", tabs("déjà vu\tok".encode("cp1252")), ["x.tsv:7:2", "cp1252", "iconv"]),
    "encoding: Chinese": ("x.tsv", tabs("我们今天\tok".encode("gb18030")), ["x.tsv:7:1", "gb18030", "iconv"]),
    "encoding: all of it": ("x.tsv", "我们今天\t好\n".encode("gb18030") * 40, ["x.tsv:1:1", "byte 0xCE", "gb18030"]),
    "encoding: all of the records": (
        "x.jsonl", '{"source": "我们今天", "target": "好"}\n'.encode("gb18030") * 40, ["x.jsonl:1:13", "gb18030"]
    ),
    "B5 UTF-16": ("x.tsv", GOOD.decode().encode("utf-16"), ["x.tsv:1", "looks like UTF-16", "iconv"]),
    "B5 UTF-16 without a mark": ("x.tsv", GOOD.decode().encode("utf-16-le"), ["looks like UTF-16"]),
    "B8 only blank lines": ("x.tsv", b"\n \n\t\n" * 20, ["x.tsv", "no examples"]),
    "B8 every pair lacks a side": ("x.tsv", b"a\t\n\tb\n" * 20, ["no examples", "20 x pair with an empty source"]),
    "B11 one column": ("x.tsv", b"no tab\n" * 9, ["x.tsv:1", "found 1 column (no TAB)"]),
    "B11 commas": ("x.csv", b"a,b\n" * 9, ["x.csv:1", "separated by commas"]),
    "B11 five columns": ("x.tsv", b"a\tb\tc\td\te\n" * 9, ["x.tsv:1", "found 5 columns", "--columns source=1,"]),
    "B11 a TAB in the text": ("x.tsv", tabs(b"a\tb\tc"), ["x.tsv:7", "found 3 columns", "expected 2"]),
    "B11 a TAB too few": ("x.tsv", tabs(b"a b"), ["x.tsv:7", "found 1 column (no TAB)", "seq2x check"]),
    "header or data": ("x.tsv", b"en\tde\n" + GOOD, ["x.tsv:1", "may be a header row or data", "source=en,target=de"]),
    "B12 broken": ("x.jsonl", with_line(57, '{"source": "a", "target": '), ["x.jsonl:57", "not JSON"]),
    "B12 an array": ("x.jsonl", with_line(57, '["a", "b"]'), ["x.jsonl:57", "found an array"]),
    "B12 no target": ("x.jsonl", with_line(57, '{"source": "a"}'), ["x.jsonl:57", 'no key "target"', "source"]),
    "B12 null": ("x.jsonl", with_line(57, '{"source": "a", "target": null}'), ["x.jsonl:57", '"target" holds null']),
    "B12 a number": ("x.jsonl", with_line(57, '{"source": "a", "target": 3}'), ["x.jsonl:57", "holds a number"]),
    "B12 NaN": ("x.jsonl", with_line(57, '{"source": "a", "target": NaN}'), ["x.jsonl:57", "NaN"]),
    "B12 a key twice": ("x.jsonl", with_line(57, '{"source": "a", "target": "b", "source": "c"}'), ["57", "twice"]),
    "B12 half a pair": ("x.jsonl", with_line(57, r'{"source": "\ud800", "target": "b"}'), ["57", "surrogate"]),
    "B12 deep": ("x.jsonl", with_line(57, '{"source": ' + "[" * 100_000), ["x.jsonl:57", "nested deeper"]),
    "B12 long number": ("x.jsonl", with_line(57, f'{{"a": {"9" * 5000}, "source": "a", "target": "b"}}'), ["57"]),
    "B12 unknown keys": ("x.jsonl", b'{"x": "a", "y": "b"}\n' * 9, ["x.jsonl:1", "source=x,target=y"]),
    "B13 truncated": ("x.tsv.gz", gzip.compress(GOOD)[:-12], ["x.tsv.gz", "truncated"]),
    "B13 damaged": ("x.tsv.gz", gzip.compress(GOOD)[:30] + b"\xff" * 40, ["x.tsv.gz", "damaged gzip"]),
    "B13 not gzip": ("x.tsv.gz", GOOD, ["x.tsv.gz", "does not begin like gzip"]),
    "B13 a zip archive": ("x.tsv", b"PK\x03\x04" + GOOD, ["x.tsv", "a zip archive", "unpack it"]),
    "B15 one symbol": ("x.tsv", tsv((f"s{n}", "a" * (n % 9 + 1)) for n in range(40)), ["one symbol"]),
    "all targets the same": ("x.tsv", tsv((f"s{n}", "same") for n in range(40)), ["x.tsv:1", "have the same target"]),
    "all sources the same": ("x.tsv", tsv(("same", f"t{n}") for n in range(40)), ["x.tsv:1", "have the same source"]),
    "all targets the source": ("x.tsv", tsv((f"t{n}", f"t{n}") for n in range(40)), ["whose target is the source"]),
    "one pair": ("x.tsv", b"hello\twelt\n", ["x.tsv", "1 example with 1 different source", "--valid FILE"]),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED)
def test_refused_before_training(tmp_path, row):
    name, data, said = REFUSED[row]
    (tmp_path / name).write_bytes(data)
    refused(["train", tmp_path / name, "--out", tmp_path / "run", *TINY], 3, *said)
    assert not (tmp_path / "run" / "last").exists()
    assert cli("check", tmp_path / name).code in ((3,) if row != "one pair" else (0, 3))


def test_b1_nothing_in_one_of_two_files(tmp_path):
    (tmp_path / "train.src").write_bytes(b"")
    (tmp_path / "train.tgt").write_bytes(b"a\n" * 9)
    refused(["train", tmp_path / "train.src", tmp_path / "train.tgt", "--out", tmp_path / "run"], 3, "no examples in")


def test_one_side_in_another_encoding(tmp_path):
    (tmp_path / "train.src").write_bytes(b"a\n" * 40)
    (tmp_path / "train.tgt").write_bytes("我们今天\n".encode("gb18030") * 40)
    line = [tmp_path / "train.src", tmp_path / "train.tgt"]
    refused(["train", *line, "--out", tmp_path / "run"], 3, "train.tgt:1:1", "byte 0xCE", "gb18030")
    assert b"[bad_utf8]" in cli("check", *line).out


def test_b2_files_of_different_length(tmp_path):
    texts = ["word " * (1 + (7 * n) % 23) + str(n) for n in range(1000)]
    (tmp_path / "a.src").write_text("".join(f"{text}\n" for text in texts))
    (tmp_path / "a.tgt").write_text("".join(f"{text.upper()}\n" for n, text in enumerate(texts) if n != 499))
    line = ["train", tmp_path / "a.src", tmp_path / "a.tgt", "--out", tmp_path / "run"]
    message = refused(line, 3, "has 1,000 lines", "has 999 lines", "first likely slip near line")
    assert abs(int(message.partition("near line ")[2].split()[0]) - 500) <= 3


def test_shifted_though_of_equal_length(tmp_path):
    texts = ["word " * (1 + (7 * n) % 23) + str(n * n) for n in range(1000)]
    targets = [*texts[:600], "lost", *texts[600:-1]]
    (tmp_path / "x.tsv").write_bytes(tsv(zip(texts, targets, strict=True)))
    message = refused(["train", tmp_path / "x.tsv", "--out", tmp_path / "run"], 3, "look shifted from line")
    assert abs(int(message.partition("from line ")[2].split(":")[0].split()[0]) - 601) <= 10


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
@pytest.mark.parametrize("kind", ["a directory", "a FIFO", "a device", "no such file"])
def test_b14_what_is_no_file(tmp_path, kind):
    path = tmp_path / "x.tsv"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path = "/dev/zero"
    for line in (["train", path, "--out", tmp_path / "run"], ["train", "--valid", path, _good(tmp_path), *TINY]):
        refused([*line, "--out", tmp_path / "run"], 3, str(path), kind)


def _good(folder):
    (folder / "good.tsv").write_bytes(GOOD)
    return folder / "good.tsv"


def test_b14_a_file_that_grows_while_it_is_read(tmp_path):
    path, done = tmp_path / "x.tsv", threading.Event()
    path.write_bytes(tsv(good(20_000)))

    def grow():
        while not done.wait(0.002):
            with path.open("ab") as file:
                file.write(b"more\tmehr\n")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        refused(["train", path, "--out", tmp_path / "run", *TINY], 3, "x.tsv", "changed while it was read")
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("command", ["train", "check"])
def test_b7_one_line_without_end(tmp_path, command):
    with (tmp_path / "x.tsv").open("wb") as file:
        file.write(b"x" * 100)
        file.truncate(200_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if command == "train":
        refused(["train", tmp_path / "x.tsv", "--out", tmp_path / "run"], 3, "line 1 longer than max_line_bytes")
    else:
        assert cli("check", tmp_path / "x.tsv").code == 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


def test_b13_a_bomb(tmp_path):
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress((b"a\tb" + b" " * 500 + b"\n") * 100_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(["train", tmp_path / "x.tsv.gz", "--out", tmp_path / "run"], 3, "x.tsv.gz", "grows more than 200 times")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_typo_in_a_path(tmp_path):
    for path in ("good.tvs", "god.tsv"):
        refused(["train", _good(tmp_path).with_name(path), "--out", tmp_path / "r"], 3, "no such file", "good.tsv?")
    assert not (tmp_path / "r").exists()


# ------------------------------------------------------------------ repaired, counted, reported

REPAIRED = {
    # name of the row: (bytes in place of lines, options, what is said)
    "B3 what others take for line ends": ("a\u2028b\x0b\x0cc\u0085\tok".encode(), [], ["1 x U+2028", "x.tsv:7"]),
    "B3 a carriage return": (b"a\rb\tok", [], ["carriage return"]),
    "B4 skipped": (b"a\xff\tb", ["--on-bad-utf8", "skip"], ["1 x line that is not UTF-8, skipped", "x.tsv:7"]),
    "B5 a byte order mark": (None, [], ["byte order mark"]),
    "B6 NUL and others": (b"a\0b\x01\x1b[31m\tok", [], ["control"]),
    "B10 markup": ("<s> </s> <pad>\t<unk> ▁a @@ ￨".encode(), [], []),
    "B11 a quotation mark is text": (b'"open\tok', [], []),
    "an empty source": (b"\tok", [], ["empty source"]),
    "an empty target": (b"ok\t", [], ["empty target"]),
    "already damaged": ("a\ufffdb\tok".encode(), [], ["already damaged before it got here"]),
    "zero width": ("a\u200bb\tok".encode(), [], ["zero-width"]),
    "private use": ("a\ue000b\tok".encode(), [], ["private-use"]),
    "already cut": (b"ein@@ fach@@ er\tok", [], ["subwords"]),
    "B15 a long line": (b"x" * 40 + b"\t" + b"y" * 40, ["--max-source-length", "20"], ["set aside (", "x.tsv:7)"]),
    "a large vocabulary": (b"a\tb", ["--vocab-size", "100000", "--units", "bpe"], ["symbols: "]),
}  # fmt: skip


@pytest.mark.parametrize("row", REPAIRED)
def test_repaired_and_said(tmp_path, row):
    line, options, said = REPAIRED[row]
    (tmp_path / "x.tsv").write_bytes(b"\xef\xbb\xbf" + GOOD if line is None else tabs(line))
    accepted(["train", tmp_path / "x.tsv", "--out", tmp_path / "run", *TINY, *options], *said)
    assert json.loads(cli("info", tmp_path / "run", "--json").out)["parameters"] > 0


def test_what_is_not_trained_on_is_a_warning(tmp_path):
    """Number, share, reasons and first lines: on standard error, in the log, the report and the document."""
    rows = [b"", b"\tno source", b"x" * 40 + b"\ty", b"no target\t", b"a\xff\tb", b"\tnone here"]
    (tmp_path / "x.tsv").write_bytes(GOOD + b"".join(row + b"\n" for row in rows))
    (tmp_path / "v.tsv").write_bytes(tsv([*good(2, 100), ("long", "z" * 40)]))
    limits = ["--max-source-length", "20", "--max-target-length", "20", "--on-bad-utf8", "skip"]
    out, first = tmp_path / "run", GOOD.count(b"\n") + 1
    line = ["train", tmp_path / "x.tsv", "--valid", tmp_path / "v.tsv", "--out", out, *TINY, *limits, "--json"]
    ended = accepted(line)
    warnings = json.loads(ended.out)["warnings"]
    data, valid, train = (one for one in warnings if " not used" in one)
    read = first + 4  # a blank line is no pair
    assert f"data: warning: 4 of {read} pairs ({4 / read:.2%}) are not used: " in data
    assert f"2 x pair with an empty source, left out ({tmp_path}/x.tsv:{first + 1}, " in data
    assert f"1 x line that is not UTF-8, skipped ({tmp_path}/x.tsv:{first + 4})" in data
    assert "valid: warning: 1 of 3 pairs (33.33%) is not used: 1 x target above max_target_length" in valid
    assert f"train: warning: 1 of {first} pairs ({1 / first:.2%}) is not used: 1 x source above" in train
    assert f"max_source_length, set aside ({tmp_path}/x.tsv:{first + 2})" in train
    assert not any("too_long" in one or "empty_source" in one for one in warnings)  # each is said once
    for text in (ended.err, (out / "log.txt").read_text(), (out / "report.html").read_text()):
        assert all(one in text for one in (data, valid, train))


def test_a_header_is_said(tmp_path):
    (tmp_path / "x.tsv").write_bytes(b"target\tsource\n" + GOOD)
    accepted(["train", tmp_path / "x.tsv", "--out", tmp_path / "run", *TINY], "header row: target, source", "column 2")


def test_windows_line_ends(tmp_path):
    (tmp_path / "x.tsv").write_bytes(GOOD.replace(b"\n", b"\r\n"))
    ended = accepted(["train", tmp_path / "x.tsv", "--out", tmp_path / "run", *TINY])
    assert "carriage" not in ended.err
    assert b"\r" not in (tmp_path / "run" / "splits" / "valid.tsv").read_bytes()


def test_b8_all_pairs_too_long(tmp_path):
    (tmp_path / "x.tsv").write_bytes(tsv((f"{n} " + "x" * 50, f"{n}" + "y" * 50) for n in range(40)))
    line = ["train", tmp_path / "x.tsv", "--out", tmp_path / "run", *TINY, "--max-source-length", "10"]
    refused(line, 3, "x.tsv", "max_source_length")


def test_b15_validation_that_was_trained_on(tmp_path):
    (tmp_path / "valid.tsv").write_bytes(tsv(good(5)))
    line = ["train", _good(tmp_path), "--valid", tmp_path / "valid.tsv", "--out", tmp_path / "run", *TINY]
    accepted(line, "5 of 5 sources", "occur in the data")


@pytest.mark.parametrize(
    ("options", "said"), [([], "3 of 5"), (["--lower"], "4 of 5"), (["--units", "word", "--lower"], "5 of 5")]
)
def test_validation_is_compared_as_the_model_reads_it(tmp_path, options, said):
    """By the rules of the run: Unicode form, case, blanks."""
    rows = [("cafe\u0301 1", "x"), (" source 1", "ziel 1"), ("source 2", "y"), ("Source 3", "y"), ("source  4", "y")]
    (tmp_path / "valid.tsv").write_bytes(tsv(rows))
    (tmp_path / "x.tsv").write_bytes(GOOD + tsv([("caf\u00e9 1", "X")]))
    line = ["train", tmp_path / "x.tsv", "--valid", tmp_path / "valid.tsv", "--out", tmp_path / "run", *TINY, *options]
    same = 2 if options else 1  # "ziel 1"; "X" where it is lower-cased
    ended = accepted(line, f"valid: warning: {said} sources of {tmp_path}/valid.tsv occur", f"({same} with the same")
    assert "--test" in ended.err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*good(20), *((f"x{n}", "same") for n in range(20))], "have the same target"),
        ([*good(20), *((f"x{n}", f"x{n}") for n in range(20))], "whose target is the source"),
    ],
)
def test_half_of_them_equal_is_a_warning(tmp_path, rows, said):
    (tmp_path / "x.tsv").write_bytes(tsv(rows))
    accepted(["train", tmp_path / "x.tsv", "--out", tmp_path / "run", *TINY], "warning", said)


def test_little_data_is_split_sensibly(tmp_path):
    (tmp_path / "x.tsv").write_bytes(tsv(good(3)))
    at = TINY.index("--valid-size")
    accepted(["train", tmp_path / "x.tsv", "--out", tmp_path / "run", *TINY[:at], *TINY[at + 2 :]], "valid: 1 pairs")


# ------------------------------------------------------------------ in use


def test_b10_markup_is_text_in_use_too(run_a, tmp_path):
    (tmp_path / "x.tsv").write_text("</s>\t</s>\n<pad>\t<unk>\na\t▁@@ \n")
    ended = cli("score", run_a, tmp_path / "x.tsv", "--json")
    *lines, total = [json.loads(line) for line in ended.lines]
    assert ended.code == 0 and len(lines) == total["summary"]["items"] == 3
    assert all(len(line["ids"]) > 3 and not {0, 1, 2} & {*line["ids"]} for line in lines)


def test_one_spelling_in_two_unicode_forms(run_a):
    composed, decomposed = (cli("predict", run_a, "--json", "--text", text) for text in ("caf\u00e9", "cafe\u0301"))
    one, two = json.loads(composed.out), json.loads(decomposed.out)
    assert (one["text"], one["ids"], one["log_p"]) == (two["text"], two["ids"], two["log_p"])


def test_outputs_cut_short_are_counted(run_a):
    """At least one symbol and at most one, so that no output has room for its end, whatever the weights say."""
    line = ["predict", run_a, "--min-length", "1", "--max-length", "1", "--json"]
    ended = accepted(line, "2 x output cut", stdin=b"abcd\nabcd\n")
    assert [json.loads(line)["stopped"] for line in ended.lines] == ["length", "length"]


@pytest.mark.parametrize("command", ["evaluate", "score", "compare"])
@pytest.mark.parametrize(
    "data",
    [b"", "我们今天\t好\n".encode("gb18030"), b"\n\n", b"a\n", b"a\tb\tc\td\te\n", b"a\tb\n\xff\tb\n", b"a\tb\nc\n"],
)
def test_files_to_judge_by(run_a, tmp_path, command, data):
    (tmp_path / "x.tsv").write_bytes(data)
    runs = [run_a, run_a] if command == "compare" else [run_a]
    refused([command, *runs, tmp_path / "x.tsv"], 3, "x.tsv")


@pytest.mark.parametrize("line", ["check --format tsv -", "evaluate RUN - --format tsv", "predict RUN"])
def test_standard_input_that_is_closed(run_a, monkeypatch, capsys, line):
    monkeypatch.setattr("sys.stdin", None)
    code = main([str(run_a) if word == "RUN" else word for word in line.split()])
    said = capsys.readouterr().err
    assert code == 2 and "error[2] standard input: it is closed" in said and said.count("\n") == 1
