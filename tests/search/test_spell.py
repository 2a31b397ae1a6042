"""What frames spell: the best path, and with a wide beam every output there is, in the order of their probabilities."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from seq2x.errors import DivergedError
from seq2x.search import Rules, spell
from seq2x.types import EOS, PAD

BLANK = 6
COUNTS = np.array([4, 2, 3])


@dataclass
class Frames:
    """In numpy. `items` asks `of` for the probability of a whole output and puts all of it on the end."""

    log_p: np.ndarray
    lengths: np.ndarray

    def of(self, row):
        p, found = np.exp(self.log_p[row]), {}
        for path in itertools.product(range(BLANK + 1), repeat=int(self.lengths[row])):
            merged = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)
            found[merged] = found.get(merged, 0.0) + math.prod(p[f, symbol] for f, symbol in enumerate(path))
        return found

    def items(self, ids, lengths):
        out = np.zeros(ids.shape)
        for row in range(len(ids)):
            p = self.of(row)
            for rank in range(ids.shape[1]):
                tokens = ids[row, rank, : lengths[row, rank]].tolist()
                begun = tuple(tokens[:-1] if tokens[-1:] == [EOS] else tokens)
                same = (
                    p.get(begun, 0.0)
                    if tokens[-1:] == [EOS]
                    else sum(q for y, q in p.items() if y[: len(begun)] == begun)
                )
                out[row, rank, lengths[row, rank] - 1] = np.log(same) if same else -np.inf
        return out


class Emitter:
    def emit(self, memory):
        return memory


def frames(seed):
    z = np.random.default_rng(seed).normal(size=(3, 4, BLANK + 1)) * 1.5
    return Frames(z - np.log(np.exp(z).sum(-1, keepdims=True)), COUNTS)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [(9, 9, 9), (3, 1, 2)])
def test_a_wide_beam_finds_all_outputs_in_order(seed, most):
    given, forbidden = frames(seed), (4,)
    found = spell(Emitter(), given, np.array(most), Rules(beam_size=60, n_best=60, forbidden=forbidden))
    for row in range(3):
        allowed = {y: p for y, p in given.of(row).items() if not {0, 1, 2, 4} & set(y) and len(y) < most[row]}
        expected = sorted(allowed.items(), key=lambda output: -output[1])
        there = found.stopped[row] >= 0
        assert there.sum() == len(expected) and (found.stopped[row][there] == 1).all()
        for rank, (output, p) in enumerate(expected):
            length = found.lengths[row, rank]
            assert found.tokens[row, rank, :length].tolist() == [*output, EOS]
            assert not found.tokens[row, rank, length:].any()
            assert found.scores[row, rank] == pytest.approx(math.log(p), abs=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_a_narrow_beam_finds_good_outputs_once_each(seed):
    given = frames(seed)
    found = spell(Emitter(), given, np.array([9, 9, 9]), Rules(beam_size=4, n_best=4))
    for row in range(3):
        outputs = [tuple(t for t in tokens.tolist() if t not in (PAD, EOS)) for tokens in found.tokens[row]]
        p = given.of(row)
        assert len(set(outputs)) == 4 and found.scores[row, 0] == pytest.approx(math.log(p[outputs[0]]))
        best = max(p[y] for y in p if not {0, 1, 2} & set(y))
        assert p[outputs[0]] > 0.8 * best


def test_the_best_path_is_merged_and_cut_at_a_limit():
    paths = [[3, 3, BLANK, 3], [5, 4, 0, 0], [BLANK, BLANK, BLANK, 4]]  # the frames behind the second and third are not
    z = np.full((3, 4, BLANK + 1), -3.0)
    for row, path in enumerate(paths):
        z[row, range(4), path] = 0.0
    given = Frames(z - np.log(np.exp(z).sum(-1, keepdims=True)), COUNTS)
    found = spell(Emitter(), given, np.array([9, 9, 9]), Rules(beam_size=1))
    assert found.tokens[:, 0].tolist() == [[3, 3, EOS], [5, 4, EOS], [EOS, PAD, PAD]]
    assert found.lengths[:, 0].tolist() == [3, 3, 1] and (found.stopped == 1).all()
    cut = spell(Emitter(), given, np.array([2, 2, 2]), Rules(beam_size=1))
    assert cut.tokens[:, 0].tolist() == [[3, 3], [5, 4], [EOS, PAD]] and cut.stopped[:, 0].tolist() == [0, 0, 1]
    begun = sum(p for y, p in given.of(0).items() if y[:2] == (3, 3))
    assert cut.scores[0, 0] == pytest.approx(math.log(begun))


def test_what_is_no_number_is_an_error_unless_no_frame_counts_it():
    given = frames(1)
    given.log_p[1, 3] = np.nan  # of two frames
    spell(Emitter(), given, np.array([9, 9, 9]), Rules(beam_size=3))
    given.log_p[2, 1, 4] = np.nan
    with pytest.raises(DivergedError) as caught:
        spell(Emitter(), given, np.array([9, 9, 9]), Rules(beam_size=3))
    assert caught.value.row == 2
    empty = Frames(given.log_p[:0], given.lengths[:0])
    assert spell(Emitter(), empty, np.zeros(0), Rules(beam_size=3, n_best=2)).tokens.shape == (0, 2, 0)
