"""The word aligner: EM and the best alignment against trying every alignment, and what becomes of two directions."""

import itertools
import math
import random
import tracemalloc

import numpy as np
import pytest

import seq2x
from seq2x.aligning.corpus import corpus_of
from seq2x.aligning.model import P0, best, em_step, model_one, start
from seq2x.aligning.symmetry import SYMMETRIES
from seq2x.errors import DataError, UsageError

PAIRS = [("a b", "x y z"), ("b c a", "y x"), ("c", "z"), ("a a b", "x x"), ("", "x"), ("b", ""), ("c b", "z y")]
HOUSE = [b"das Haus\tthe house", b"das Buch\tthe book", b"ein Buch\ta book"]
TOKENS = [(source.split(), target.split()) for source, target in PAIRS]


@pytest.fixture(scope="module")
def learned():
    """A corpus, and tables that are neither flat nor settled."""
    corpus = corpus_of(TOKENS)
    tables = start(corpus)
    for step in (model_one, em_step, em_step):
        tables, _ = step(corpus, tables)
    return corpus, tables


def sentences(corpus):
    """(row, block, place in it) of every pair that has words on both sides."""
    return [(int(row), block, b) for block in corpus.blocks for b, row in enumerate(block.rows)]


def alignments(block, b, tables):
    """Every alignment of one sentence, 0 for the empty word, with its probability and its jumps, in plain Python."""
    size, length = block.pairs.shape[2] - 1, int(block.lengths[b])
    middle = len(tables.jumps) // 2
    for places in itertools.product(range(size + 1), repeat=length):
        p, here, jumps = 1.0, 0, []
        for j, place in enumerate(places):
            p *= tables.translation[block.pairs[b, j, place]]
            if place == 0:
                p *= P0
                continue
            every = sum(tables.jumps[middle + k - here] for k in range(1, size + 1))
            p *= (1 - P0) * tables.jumps[middle + place - here] / every
            jumps.append((here, place))
            here = place
        yield places, p, jumps


def test_one_step_of_em_counts_what_enumeration_expects(learned):
    corpus, tables = learned
    counts, log_p = np.zeros(len(corpus.sources)), 0.0
    made, could = np.zeros_like(tables.jumps), np.zeros_like(tables.jumps)
    middle = len(tables.jumps) // 2
    for _, block, b in sentences(corpus):
        every = list(alignments(block, b, tables))
        total, size = math.fsum(p for _, p, _ in every), block.pairs.shape[2] - 1
        log_p += math.log(total)
        for places, p, jumps in every:
            for j, place in enumerate(places):
                counts[block.pairs[b, j, place]] += p / total
            for before, after in jumps:
                made[middle + after - before] += p / total
                widths = [middle + k - before for k in range(1, size + 1)]
                for width in widths:
                    could[width] += p / total / sum(tables.jumps[one] for one in widths)
    found, before = em_step(corpus, tables)
    assert before == pytest.approx(log_p, abs=1e-10)
    totals = np.bincount(corpus.sources, counts)
    np.testing.assert_allclose(found.translation, counts / totals[corpus.sources], atol=1e-12)
    there = could > 0
    np.testing.assert_allclose(found.jumps[there], (made / np.where(there, could, 1))[there], atol=1e-12)


def test_the_best_alignment_is_the_best_of_all(learned):
    corpus, tables = learned
    for _, block, b in sentences(corpus):
        every = {places: p for places, p, _ in alignments(block, b, tables)}
        found = best(block, tables)[b]
        length = int(block.lengths[b])
        assert every[tuple(found[:length])] == pytest.approx(max(every.values()), rel=1e-9)
        assert (found[length:] == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_step_makes_it_less_likely(seed):
    draw = random.Random(seed)
    words = [[draw.choice("abcdef") for _ in range(draw.randint(1, 6))] for _ in range(40)]
    corpus = corpus_of([(one, [w.upper() for w in one[::-1]][: draw.randint(1, 6)]) for one in words])
    tables, values = start(corpus), []
    for step in [model_one] * 6 + [em_step] * 25:
        tables, log_p = step(corpus, tables)
        values.append(log_p)
    for part in (values[:6], values[6:]):
        assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(part))
    sums = np.bincount(corpus.sources, tables.translation)
    np.testing.assert_allclose(sums, 1.0, atol=1e-9)


@pytest.mark.parametrize(("words", "kept", "peak"), [(100, 6, 25), (10_000, 10, 50)])
def test_memory_is_what_it_says(words, kept, peak):
    draw = random.Random(1)
    rows = [[str(draw.randrange(words)) for _ in range(draw.randint(8, 24))] for _ in range(1200)]
    cells = sum((len(row) + 1) * len(row) for row in rows)
    corpus_of(TOKENS)  # whatever numpy loads late
    tracemalloc.start()
    corpus = corpus_of([(row, row) for row in rows])
    now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < kept * cells and most < peak * cells and sum(len(block.rows) for block in corpus.blocks) == len(rows)


def test_company_changes_nothing():
    tokens = [(["w"] * size, ["v"] * (size % 3 + 1)) for size in range(1, 9)] + TOKENS
    together, order = corpus_of(tokens), np.random.default_rng(1).permutation(len(tokens))
    shuffled = corpus_of([tokens[i] for i in order])
    values = [em_step(corpus, em_step(corpus, start(corpus))[0])[1] for corpus in (together, shuffled)]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_the_house(tmp_path):
    path = tmp_path / "toy.tsv"
    path.write_bytes(b"\n".join(HOUSE) + b"\n")
    for symmetry in SYMMETRIES:
        assert seq2x.align(path, symmetry=symmetry) == [[(0, 0), (1, 1)]] * 3


def test_every_record_has_a_line_and_empty_sides_have_no_links(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    found = seq2x.align(path)
    assert len(found) == len(PAIRS) and found[4] == found[5] == []
    for (source, target), links in zip(TOKENS, found, strict=True):
        assert all(i < len(source) and j < len(target) for i, j in links)


@pytest.mark.parametrize(
    ("rows", "gap", "why"),
    [
        ([b"source\ttarget", *HOUSE], 0, "1 x header row, not read as data"),
        ([*HOUSE[:2], b"bad \xff\tx", HOUSE[2]], 2, "1 x line that is not UTF-8, skipped"),
        ([*HOUSE, b"bad \xff\tx"], 3, "1 x line that is not UTF-8, skipped"),
    ],
)
def test_line_n_of_the_links_is_of_line_n_of_the_file(tmp_path, rows, gap, why):
    path, said = tmp_path / "pairs.tsv", []
    path.write_bytes(b"\n".join(rows) + b"\n")
    found = seq2x.align(path, on_bad_utf8="skip", say=said.append)
    assert found == [[] if row == gap else [(0, 0), (1, 1)] for row in range(4)]
    assert said[0] == f"{why} ({path}:{gap + 1})"
    sides = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for side, file in enumerate(sides):
        file.write_bytes(b"".join(row.split(b"\t")[side] + b"\n" for row in rows))
    assert len(seq2x.align(sides, on_bad_utf8="skip")) == 4


def test_several_right_outputs_are_refused(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"source": "das Haus", "target": ["the house", ""]}\n{"source": "a", "target": ["b", "c"]}\n')
    with pytest.raises(DataError, match=r"pairs.jsonl:2: 2 right outputs"):
        seq2x.align(path)


def test_turned_round_is_turned_round(tmp_path):
    draw = random.Random(3)
    rows = [[draw.choice("abcdefg") for _ in range(draw.randint(1, 7))] for _ in range(80)]
    pairs, turned = tmp_path / "pairs.tsv", tmp_path / "turned.tsv"
    lines = [(" ".join(row), " ".join(word + "x" for word in row[1:] + row[:1])) for row in rows]
    pairs.write_text("".join(f"{a}\t{b}\n" for a, b in lines))
    turned.write_text("".join(f"{b}\t{a}\n" for a, b in lines))
    for symmetry in ("intersection", "union"):
        mirrored = [sorted((i, j) for j, i in links) for links in seq2x.align(turned, symmetry=symmetry)]
        assert seq2x.align(pairs, symmetry=symmetry) == mirrored
    assert seq2x.align(pairs, symmetry="forward") == [
        sorted((i, j) for j, i in links) for links in seq2x.align(turned, symmetry="backward")
    ]


FORWARD = frozenset({(0, 0), (1, 1), (1, 2), (3, 4)})
BACKWARD = frozenset({(0, 0), (1, 1), (2, 2), (3, 3), (5, 5)})


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("forward", FORWARD),
        ("backward", BACKWARD),
        ("intersection", {(0, 0), (1, 1)}),
        ("union", FORWARD | BACKWARD),
        # (1, 2) and (2, 2) are beside (1, 1), then (3, 3) beside (2, 2), (3, 4) beside (3, 3); (5, 5) is beside none
        ("grow-diag-final", {(0, 0), (1, 1), (1, 2), (2, 2), (3, 3), (3, 4), (5, 5)}),
        ("grow-diag-final-and", {(0, 0), (1, 1), (1, 2), (2, 2), (3, 3), (3, 4), (5, 5)}),
    ],
)
def test_two_directions_become_one(name, links):
    assert SYMMETRIES[name](FORWARD, BACKWARD) == frozenset(links)


def test_a_late_link_may_need_one_free_word_or_two():
    forward, backward = frozenset({(0, 0), (4, 0)}), frozenset({(0, 0)})
    assert SYMMETRIES["grow-diag-final"](forward, backward) == forward
    assert SYMMETRIES["grow-diag-final-and"](forward, backward) == {(0, 0)}


def test_what_cannot_be(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tx\n")
    for wrong in ({"symmetry": "gdfa"}, {"iterations": 0}, {"iterations": True}, {"beam_size": 3}):
        with pytest.raises(UsageError):
            seq2x.align(path, **wrong)
    path.write_text(" \tx\na\t \n")
    with pytest.raises(DataError, match="no pairs of words"):
        seq2x.align(path)
