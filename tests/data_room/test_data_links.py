"""Given alignments: from a column to links of symbols in a batch, whatever the units."""

import numpy as np
import pytest

from seq2x.codecs import TextCodec
from seq2x.data import Notes, collate, open_store, read, sniff, write_store
from seq2x.data.columns import parse_columns
from seq2x.data.links import parse_links, symbol_links
from seq2x.errors import DataError, FolderError, UsageError

ROWS = [("the cat sat", "le chat", "0-0 1-1 2-1"), ("a dog", "un chien là", ""), ("cat cat dog", "x", "2-0 0-0 2-0")]
WAYS = ("tsv", "header", "jsonl", "lines")


def files(tmp_path, way):
    """The same rows in each form, and what says which column is which."""
    if way == "jsonl":
        lines = [f'{{"en": "{s}", "fr": "{t}", "al": "{a}", "id": 7}}' for s, t, a in ROWS]
        (tmp_path / "a.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return [tmp_path / "a.jsonl"], "source=en,target=fr,alignment=al"
    if way == "lines":
        for number in range(3):
            (tmp_path / f"{number}.txt").write_text("".join(f"{row[number]}\n" for row in ROWS))
        return [tmp_path / f"{number}.txt" for number in range(3)], "source=1,target=2,alignment=3"
    head = ["id\tsource\ttarget\tlinks\n"] if way == "header" else []
    (tmp_path / "a.tsv").write_text("".join([*head, *("7\t" + "\t".join(row) + "\n" for row in ROWS)]))
    return [tmp_path / "a.tsv"], f"source=2,target=3,alignment={'links' if head else '4'}"


def examples(tmp_path, way="tsv"):
    paths, said = files(tmp_path, way)
    columns = sniff(paths, "lines" if way == "lines" else "auto", said)
    return list(read(paths, columns)), columns.alignment


def store(tmp_path, units, way="tsv"):
    found, name = examples(tmp_path, way)
    codecs = [TextCodec.learn([row[side] for row in ROWS], units) for side in (0, 1)]
    return write_store(tmp_path / "store", found, *codecs, 50, 50, alignment=name), codecs


@pytest.mark.parametrize("way", WAYS)
def test_every_form_of_a_file_gives_the_same_links(tmp_path, way):
    found, name = examples(tmp_path, way)
    assert [(e.source, e.targets[0], e.extras[name]) for e in found] == ROWS
    written, _ = store(tmp_path, "word", way)
    assert [written.links(row).tolist() for row in range(3)] == [[[0, 0], [1, 1], [1, 2]], [], [[0, 0], [0, 2]]]


@pytest.mark.parametrize("units", ["byte", "char", "word", "bpe"])
def test_the_symbols_of_a_word_share_its_links(tmp_path, units):
    """Each linked pair of symbols, decoded alone, is a part of two linked words; and no pair is missing."""
    written, codecs = store(tmp_path, units)
    batch = collate(written, [2, 0, 1])
    assert batch.extras["links"].dtype == np.int64
    for place, row in enumerate((2, 0, 1)):
        source, target = written.source(row), written.target(row)
        words = [codec.word_of(ids) for codec, ids in zip(codecs, (source, target), strict=True)]
        given = {tuple(map(int, link.split("-"))) for link in ROWS[row][2].split()}
        expected = [
            [place, t, s] for t in range(len(target)) for s in range(len(source)) if (words[0][s], words[1][t]) in given
        ]
        links = batch.extras["links"]
        assert links[links[:, 0] == place].tolist() == expected
    assert collate(written, [1]).extras["links"].shape == (0, 3)


def test_a_store_without_links_is_as_it_ever_was(tmp_path):
    found, name = examples(tmp_path)
    codecs = [TextCodec.learn([row[side] for row in ROWS], "word") for side in (0, 1)]
    plain = write_store(tmp_path / "plain", found, *codecs, 50, 50)
    assert not list((tmp_path / "plain").glob("*links*")) and plain.links(0).shape == (0, 2)
    assert collate(plain, [0, 1]).extras == {} and name == "4"
    again = write_store(tmp_path / "plain", found, *codecs, 50, 50, alignment=name)
    assert len(list((tmp_path / "plain").glob("*links*"))) == 2
    assert np.array_equal(open_store(tmp_path / "plain").links(0), again.links(0))


@pytest.mark.parametrize("part", ["links.ids", "links.ends"])
def test_damaged_links_are_found(tmp_path, part):
    store(tmp_path, "word")
    (file,) = (tmp_path / "store").glob(f"*.{part}")
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(FolderError, match="damaged"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0-0 1", '"1" is no link; expected i-j'),
        ("0-0 a-b", '"a-b" is no link'),
        ("0--1", '"0--1" is no link'),
        ("3-0", "the link 3-0, but the source has 3 words"),
        ("0-2", "the link 0-2, but the target has 2 words"),
    ],
)
def test_a_link_that_cannot_be_is_named_by_file_and_line(tmp_path, given, said):
    (tmp_path / "a.tsv").write_text(f"a b\tc\t0-0\nthe cat sat\tle chat\t{given}\n")
    columns = sniff([tmp_path / "a.tsv"], "auto", "source=1,target=2,alignment=3")
    codec = TextCodec.learn(["a b"], "char")
    with pytest.raises(DataError, match=said) as caught:
        write_store(tmp_path / "s", read([tmp_path / "a.tsv"], columns), codec, codec, 50, 50, alignment="3")
    assert str(caught.value.where).endswith("a.tsv:2") and not list((tmp_path / "s").iterdir())


def test_links_are_parsed_and_words_become_symbols():
    assert parse_links(" 0-0  12-3 ") == [(0, 0), (12, 3)] and parse_links("") == []
    assert symbol_links([(1, 0)], [0, -1, 1, 1], [0, 0, -1]) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_one_alignment_of_one_output(tmp_path):
    assert parse_columns("source=1,target=2,alignment=3").alignment == 3
    for said in ("source=1,target=2,ref=4,alignment=3", "source=1,target=2,alignment=3,alignment=4"):
        with pytest.raises(UsageError, match="one alignment, of one source and one target"):
            parse_columns(said)
    with pytest.raises(UsageError, match="named twice"):
        parse_columns("source=1,target=2,alignment=2")
    (tmp_path / "test.tsv").write_text("a\tb\nc\td\n")  # to evaluate on: it needs none
    columns = sniff([tmp_path / "test.tsv"], "auto", "source=1,target=2,alignment=3")
    assert columns.alignment == "" and len(list(read([tmp_path / "test.tsv"], columns, Notes()))) == 2
