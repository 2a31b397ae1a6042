"""Mask-predict against the same written with loops, one sentence and one length at a time."""

import math

import numpy as np
import pytest

from seq2x.errors import DivergedError, UsageError
from seq2x.search import Refinement, refine
from seq2x.types import EOS, MASK, PAD

V, L = 9, 8
DRAW = np.random.default_rng(1)
PLACE, BESIDE = DRAW.normal(size=(L, V)), DRAW.normal(size=(V, L, L, V)) * 0.8


class Answer:
    def __init__(self, log_p_NTV, attention_NTS=None):
        self.log_p_NTV, self.attention = log_p_NTV, attention_NTS

    def best(self, forbid=None, at=None):
        allowed = self.log_p_NTV.copy()
        allowed[..., forbid] = -np.inf
        return allowed.max(-1), allowed.argmax(-1)


class Refiner:
    """In numpy: what stands at a place follows from it and from every symbol beside it. `memory`: log p [B,L].

    Its attention, of one source place, is how many symbols of an output were masked when it was asked.
    """

    def __init__(self):
        self.asked = []

    def lengths(self, memory):
        return memory

    def fill(self, memory, inputs, want=frozenset()):
        self.asked.append(inputs)
        rows = [self.row(inputs[n, : int((inputs[n] != PAD).sum())], inputs.shape[1]) for n in range(len(inputs))]
        masked_N11 = (inputs == MASK).sum(1)[:, None, None]
        return Answer(np.stack(rows), np.ones((*inputs.shape, 1)) * masked_N11 if "attention" in want else None)

    def row(self, symbols, size):
        out = np.zeros((size, V))
        for t in range(len(symbols)):
            z = PLACE[t] + sum(BESIDE[symbol, s, t] for s, symbol in enumerate(symbols))
            out[t] = z - math.log(np.exp(z).sum())
        return out


def lengths_of(count, seed=3):
    z = np.random.default_rng(seed).normal(size=(count, L))
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def plainly(log_p_L, size, iterations, forbidden):
    """(mean log p, tokens, log p of each) of one sentence and one length."""
    refiner, symbols = Refiner(), size - 1
    tokens, log_p = [MASK] * symbols + [EOS], [0.0] * symbols + [log_p_L[size - 1]]
    for i in range(iterations):
        count = symbols if i == 0 else math.floor(symbols * (iterations - i) / iterations)
        doubted = sorted(range(symbols), key=lambda t: (log_p[t], t) if i else t)[:count]
        seen = [MASK if t in doubted else token for t, token in enumerate(tokens)]
        said = refiner.row(np.array(seen), size)
        for t in doubted:
            tokens[t] = max((v for v in range(3, V) if v not in forbidden), key=lambda v, t=t: said[t, v])
            log_p[t] = said[t, tokens[t]]
    return sum(log_p) / size, tokens, log_p


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 10])
def test_it_is_what_the_paper_says(iterations):
    log_p_BL, most, forbidden = lengths_of(3), np.array([8, 6, 3]), (4,)
    rules = Refinement(iterations=iterations, lengths=4, n_best=3, min_length=1, forbidden=forbidden)
    found = refine(Refiner(), log_p_BL, most, rules)
    for row in range(3):
        allowed = list(range(2, most[row] + 1))
        likely = sorted(allowed, key=lambda size: -log_p_BL[row, size - 1])[:4]
        outputs = [plainly(log_p_BL[row], size, iterations, forbidden) for size in likely]
        outputs.sort(key=lambda output: -output[0])
        assert found.stopped[row].tolist() == [1] * min(3, len(likely)) + [-1] * (3 - min(3, len(likely)))
        for rank, (score, tokens, log_p) in enumerate(outputs[:3]):
            assert found.tokens[row, rank, : found.lengths[row, rank]].tolist() == tokens
            assert found.scores[row, rank] == pytest.approx(score, abs=1e-12)
            np.testing.assert_allclose(found.log_p[row, rank, : len(tokens)], log_p, rtol=0, atol=1e-12)
            assert not found.log_p[row, rank, len(tokens) :].any()


def test_nothing_is_asked_where_nothing_is_doubted():
    """Three symbols and ten iterations: after the seventh none would be written again."""
    refiner, log_p_BL = Refiner(), np.full((1, L), -np.inf)
    log_p_BL[0, 3] = 0.0
    refine(refiner, log_p_BL, np.array([8]), Refinement(iterations=10))
    assert [int((inputs[0] == MASK).sum()) for inputs in refiner.asked] == [3, 2, 2, 2, 1, 1, 1]


def test_attention_is_that_of_the_pass_that_wrote_last_whatever_goes_on_beside():
    """One symbol is masked in the last pass of either, two passes earlier for three symbols than for seven."""
    log_p_BL, most, rules = np.full((2, L), -np.inf), np.array([8, 8]), Refinement(iterations=10)
    log_p_BL[0, 3] = log_p_BL[1, 7] = 0.0
    beside = refine(Refiner(), log_p_BL, most, rules, frozenset({"attention"}))
    assert beside.attention[:, 0, :, 0].tolist() == [[1] * 4 + [0] * 4, [1] * 8]
    assert refine(Refiner(), log_p_BL, most, rules).attention is None


def test_a_least_length_gives_way_and_an_empty_output_is_one():
    log_p_BL = lengths_of(2)
    found = refine(Refiner(), log_p_BL, np.array([2, 8]), Refinement(min_length=20, lengths=2))
    assert found.lengths[:, 0].tolist() == [2, 8]
    found = refine(Refiner(), log_p_BL, np.array([1, 1]), Refinement())
    assert found.tokens.tolist() == [[[EOS]], [[EOS]]] and found.stopped.tolist() == [[1], [1]]
    np.testing.assert_allclose(found.scores[:, 0], log_p_BL[:, 0])
    assert refine(Refiner(), lengths_of(0), np.zeros(0), Refinement()).tokens.shape == (0, 1, 0)


def test_what_is_no_number_is_an_error_that_names_its_sentence():
    log_p_BL = lengths_of(3)
    log_p_BL[1, 2] = np.nan
    with pytest.raises(DivergedError) as caught:
        refine(Refiner(), log_p_BL, np.array([8, 8, 8]), Refinement())
    assert caught.value.row == 1


@pytest.mark.parametrize(
    ("values", "name"),
    [({"iterations": 0}, "refine_iterations"), ({"lengths": 0}, "length_beam"), ({"n_best": 6}, "n_best"),
     ({"min_length": -1}, "min_length"), ({"forbidden": (-1,)}, "forbidden"), ({"n_best": 0}, "n_best")],
)  # fmt: skip
def test_rules_that_cannot_be(values, name):
    with pytest.raises(UsageError, match=name):
        Refinement(**values)
