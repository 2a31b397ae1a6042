"""The rules of text and lines, and every way in which a file can refuse to be text."""

import gzip
import os
import random
import subprocess
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2x.data import Notes, count_lines, iter_lines
from seq2x.errors import DataError


def texts(path, **options):
    notes = Notes()
    return [text for _, text in iter_lines(path, notes, **options)], notes


def write(folder, data, name="file.txt"):
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\r\n", ["a "]),
        (b"a\rb\n", ["a b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"\xef\xbb\xbf", []),
        (b"a\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        ("a\u2028b\u2029c\x85d\x0be\x0cf\0g\n".encode(), ["a\u2028b\u2029c\x85d\x0be\x0cf\0g"]),
        (b"<s> </s> <pad> <unk> \xe2\x96\x81a b@@ c\n", ["<s> </s> <pad> <unk> \u2581a b@@ c"]),
    ],
)
def test_rules(tmp_path, data, expected):
    path = write(tmp_path, data)
    assert texts(path)[0] == expected
    assert count_lines(path) == len(expected)


def test_what_is_noted(tmp_path):
    path = write(tmp_path, "\ufeffa\u2028b\nc\rd\ne\u2028\u2028\nplain\n".encode())
    _, notes = texts(path)
    assert notes.counts == {"bom": 1, "line_separator": 2, "carriage_return": 1}
    assert notes.places["line_separator"] == [(str(path), 1), (str(path), 3)]
    assert any("3" in line and "U+2028" in line for line in notes.lines())


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_mark_that_comes_in_pieces_is_dropped(tmp_path, monkeypatch, size):
    """What a slow pipe unpacks to may begin with a single byte."""
    monkeypatch.setattr("seq2x.data.source.CHUNK", size)
    path = write(tmp_path, gzip.compress("\ufeffa\nb".encode()), "marked.gz")
    notes = Notes()
    assert [text for _, text in iter_lines(path, notes)] == ["a", "b"] and notes.counts == {"bom": 1}


ODD = "ab \t\u2028\u2029\x85\x0b\x0c\r\ufeff\0\u200b中😀"


def odd_files(count):
    """N line ends are N records, whatever else stands in a file; what stands there is kept (D3)."""

    @settings(max_examples=count, deadline=None)
    @given(
        pieces=st.lists(
            st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=8), max_size=20
        ),
        end=st.booleans(),
    )
    def test(tmp_path_factory, pieces, end):
        data = "\n".join(pieces).encode() + b"\n" * end
        path = write(tmp_path_factory.getbasetemp(), data)
        found, _ = texts(path)
        rest = data.rpartition(b"\n")[2]
        if data.startswith(b"\xef\xbb\xbf") and b"\n" not in data:
            rest = rest[3:]
        assert len(found) == data.count(b"\n") + bool(rest) == count_lines(path)
        expected = data.decode().removeprefix("\ufeff").split("\n")
        assert found == [piece.removesuffix("\r").replace("\r", " ") for piece in expected[: len(found)]]

    return test


test_as_many_records_as_line_ends = odd_files(300)
test_as_many_records_as_line_ends_in_many_files = pytest.mark.slow(odd_files(1_000))


def test_wc_agrees(tmp_path):
    draw = random.Random(3)
    data = "".join(draw.choice(ODD + "\n\n") for _ in range(20000)).encode() + b"\n"
    path = write(tmp_path, data)
    assert int(subprocess.run(["wc", "-l", path], capture_output=True, check=True).stdout.split()[0]) == len(
        texts(path)[0]
    )


@pytest.mark.parametrize(
    ("bad", "byte", "hint"),
    [
        (b"ab\xff", 3, "0xFF"),
        (b"a\xe4\xbd", 2, "0xE4"),  # cut
        (b"\xc0\xaf", 1, "0xC0"),  # overlong
        (b"x\xed\xa0\x80", 2, "0xED"),  # half of a surrogate pair
        ("Menü, café".encode("cp1252"), 4, "cp1252"),
        ("今天天气很好".encode("gb18030"), 1, "gb18030"),
    ],
)
def test_not_utf8(tmp_path, bad, byte, hint):
    path = write(tmp_path, b"fine\n" * 2 + bad + b"\nfine\r\n")
    with pytest.raises(DataError) as caught:
        texts(path)
    assert caught.value.where == f"{path}:3:{byte}" and hint in str(caught.value) and caught.value.exit_code == 3
    found, notes = texts(path, on_bad_utf8="skip")
    assert found == ["fine", "fine", None, "fine"] and notes.counts["bad_utf8"] == 1


@pytest.mark.parametrize(
    ("text", "encoding", "guess"),
    [
        ("我\tI\n猫\tcat\n你们好\thello\n", "gb18030", "iconv -f gb18030"),  # the first line alone could be Western
        ("今天天气很好\n" * 20 + "朱镕基\n", "gb18030", "iconv -f gb18030"),  # a byte of the rare one is a letter
        ("naïve\tx\n“ja”\tx\n", "cp1252", "iconv -f cp1252"),
        ("привет\tmir\nмир\tx\n", "cp1251", "repair the line"),  # no guess is better than a wrong one
    ],
)
def test_the_encoding_is_guessed_from_all_lines_at_hand(tmp_path, text, encoding, guess):
    with pytest.raises(DataError, match=guess):
        texts(write(tmp_path, text.encode(encoding)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16(tmp_path, encoding):
    with pytest.raises(DataError, match="UTF-16"):
        texts(write(tmp_path, "plain text\tTarget\n".encode(encoding)))


def test_long_line_is_not_read_whole(tmp_path):
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        file.write(b"short\n")
        file.truncate(200_000_000)  # a hole: 200 MB of NUL without a line end
    tracemalloc.start()
    with pytest.raises(DataError, match="line 2 longer than max_line_bytes") as caught:
        texts(path)
    assert caught.value.where == f"{path}:2" and tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n", b"\nmore"])
def test_limit_of_a_line(tmp_path, tail):
    path = write(tmp_path, b"x" * 100 + tail)
    assert texts(path, max_line_bytes=100)[0][0] == "x" * 100
    with pytest.raises(DataError, match="max_line_bytes"):
        texts(path, max_line_bytes=99)


# ------------------------------------------------------------------ files


def test_gzip_by_its_bytes_not_its_name(tmp_path):
    data = b"eins\tone\n" * 50_000
    path = write(tmp_path, gzip.compress(data[:100]) + gzip.compress(data[100:]) + b"\0" * 20, "pairs.tsv")
    assert len(texts(path)[0]) == 50_000


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a.gz", lambda data: data[:-9], "truncated"),
        ("a.gz", lambda data: data[: len(data) // 2], "truncated"),
        ("a.gz", lambda data: data[:40] + bytes([data[40] ^ 255]) + data[41:], "gzip"),
        ("a.gz", lambda data: b"plain text\n", "not begin like gzip"),
        ("a.gz", lambda data: b"", "empty"),
        ("a.gz", lambda data: data + b"junk", "after the end"),
        ("a.txt", lambda data: b"PK\x03\x04 and so on", "zip"),
        ("a.txt", lambda data: b"\xfd7zXZ\x00 and so on", "xz"),
    ],
)
def test_damaged_archives(tmp_path, name, change, message):
    packed = gzip.compress("".join(f"line {i}\n" for i in range(3000)).encode())
    with pytest.raises(DataError, match=message):
        texts(write(tmp_path, change(packed), name))


def test_gzip_bomb(tmp_path):
    path = write(tmp_path, gzip.compress(b"ab\n" * 6_000_000), "bomb.gz")
    tracemalloc.start()
    with pytest.raises(DataError, match="200 times"):
        for _ in iter_lines(path):
            pass
    assert tracemalloc.get_traced_memory()[1] < 60_000_000  # one chunk at a time; lines of three bytes cost most
    tracemalloc.stop()
    with pytest.raises(DataError, match="max_line_bytes"):
        count_lines(write(tmp_path, gzip.compress(bytes(100_000_000)), "zeros.gz"))


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, message in [(tmp_path, "a directory"), (tmp_path / "fifo", "a FIFO"), ("/dev/zero", "a device")]:
        with pytest.raises(DataError, match=message):
            texts(path)
    write(tmp_path, b"a", "train.tsv")
    with pytest.raises(DataError, match=r"did you mean .*train\.tsv"):
        texts(tmp_path / "train.tvs")
    with pytest.raises(DataError):
        texts("nul\0name")


def test_changed_while_read(tmp_path):
    path = write(tmp_path, b"line\n" * 200_000)
    lines = iter_lines(path)
    next(lines)
    with path.open("ab") as file:
        file.write(b"one more\n")
    with pytest.raises(DataError, match="changed while it was read"):
        list(lines)
