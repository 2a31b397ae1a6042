"""N5: a beam that holds everything finds what trying everything finds; any beam keeps its promises."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from seq2x.search import Rules, search
from seq2x.search.beam import beam_search
from seq2x.types import BOS, EOS, PAD

from .decoders import RandomDecoder
from .oracle import exhaustive, forced_log_p, may_follow

pytestmark = pytest.mark.no_cover  # see tests/contracts


def _rules(draw, beam_size, n_best):
    return Rules(
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=draw.choice(("none", "wu", "average")),
        length_alpha=draw.choice((0.0, 0.6, 1.0, 2.0)),
        coverage_beta=draw.choice((0.0, 0.0, 0.3, 2.0)),
        eos_gamma=draw.choice((0.0, 0.0, 0.5)),
        min_length=draw.choice((0, 0, 1, 2, 3)),
        no_repeat_ngram_size=draw.choice((0, 0, 1, 2, 3)),
        forbidden=draw.choice(((), (), (4,), (3, 4), (EOS,))),
        stop=draw.choice(("first", "bound")),
    )


def _prefix(draw, V):
    symbols = [draw.randrange(3, V) for _ in range(3)]
    return draw.choice(([], [], [], symbols[:1], symbols[:2], symbols, [-1, symbols[0]], [symbols[0], EOS]))


@pytest.mark.parametrize("seed", [*range(300), *(pytest.param(n, marks=pytest.mark.slow) for n in range(300, 500))])
def test_a_beam_without_bounds_is_exhaustive(seed):
    draw = random.Random(seed)
    V = draw.choice((5, 6, 6, 7))  # of these, padding and <s> are never chosen
    longest = draw.randint(1, {5: 5, 6: 4, 7: 3}[V])
    rules = _rules(draw, 400, draw.choice((1, 2, 5, 400)))
    library = draw.choice(("numpy", "torch"))
    decoder = RandomDecoder(seed, V, library=library)
    source_length = draw.randint(1, 4)
    memory = decoder.memory([seed], [source_length], draw.choice((-3.0, 0.0, 2.0)))
    prefix = _prefix(draw, V)
    expected = exhaustive(decoder, memory, source_length, longest, rules, prefix)[: rules.n_best]
    found = search(
        decoder, memory, [source_length], [longest], rules, np.array([prefix], dtype=np.int64) if prefix else None
    )
    assert (found.stopped[0] >= 0).sum() == len(expected)
    for j, output in enumerate(expected):
        length = found.lengths[0, j]
        assert tuple(found.tokens[0, j, :length]) == output.tokens
        assert found.scores[0, j] == pytest.approx(output.score, abs=1e-9)
        np.testing.assert_allclose(found.log_p[0, j, :length], output.log_p, atol=1e-9)
        assert found.stopped[0, j] == output.ended
    missing = found.stopped[0] < 0
    assert (found.scores[0, missing] == -np.inf).all() and (found.lengths[0, missing] == 0).all()
    assert (found.tokens[0, missing] == PAD).all()


@pytest.mark.parametrize("seed", range(100))
def test_any_beam_keeps_its_promises(seed):
    draw = random.Random(seed)
    V, B, beam_size = 12, 3, draw.choice((1, 2, 3, 5, 8))
    rules = _rules(draw, beam_size, draw.randint(1, beam_size))
    decoder = RandomDecoder(seed, V)
    sources, longest = [draw.randint(1, 4) for _ in range(B)], [draw.randint(1, 9) for _ in range(B)]
    memory = decoder.memory(range(B), sources, draw.choice((-2.0, 0.0, 2.0)))
    found = search(decoder, memory, sources, longest, rules)
    for b in range(B):
        tokens, seen = found.tokens[b], set()
        kinds = found.stopped[b]
        assert (kinds[:-1] >= kinds[1:]).all()  # ended, then cut, then none
        for kind in (1, 0):
            scores = found.scores[b, kinds == kind]
            assert (scores[:-1] >= scores[1:]).all()
        for j in range(rules.n_best):
            length = found.lengths[b, j]
            mine = tuple(tokens[j, :length].tolist())
            assert (tokens[j, length:] == PAD).all() and (found.log_p[b, j, length:] == 0).all()
            if kinds[j] < 0:
                assert length == 0
                continue
            assert mine not in seen
            seen.add(mine)
            assert 1 <= length <= longest[b]
            if kinds[j] == 0 and length < longest[b]:  # a dead end, and nothing else was found
                assert (kinds <= 0).all() and not may_follow(mine, V, rules)
            else:
                assert kinds[j] == 1 or length == longest[b]
            assert (EOS in mine) == (kinds[j] == 1) and EOS not in mine[:-1]
            assert not {PAD, BOS, *rules.forbidden} & set(mine)
            assert kinds[j] == 0 or length - 1 >= rules.min_length
            body, n = mine[: length - 1] if kinds[j] else mine, rules.no_repeat_ngram_size
            grams = [body[i : i + n] for i in range(len(body) - n + 1)] if n else []
            assert len(grams) == len(set(grams))
            alone = forced_log_p(decoder, memory.rows(np.array([b])), mine)
            np.testing.assert_allclose(found.log_p[b, j, :length], alone, atol=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_greedy_is_one_beam(seed):
    draw = random.Random(seed)
    V, B = 9, 5
    rules = dataclasses.replace(_rules(draw, 1, 1), stop="first")
    decoder = RandomDecoder(seed, V, library=draw.choice(("numpy", "torch")))
    sources, longest = [draw.randint(1, 4) for _ in range(B)], [draw.randint(1, 9) for _ in range(B)]
    memory = decoder.memory(range(B), sources, draw.choice((-1.0, 1.0)))
    prefix = np.array([(_prefix(draw, V) + [-1] * 3)[:3] for _ in range(B)])
    want = frozenset({"attention"}) if draw.random() < 0.5 else frozenset()
    short = search(decoder, memory, sources, longest, rules, prefix, want)
    long = beam_search(decoder, memory, sources, longest, rules, prefix, want)
    for name in ("tokens", "lengths", "scores", "log_p", "stopped", "attention"):
        np.testing.assert_array_equal(getattr(short, name), getattr(long, name), err_msg=name)
