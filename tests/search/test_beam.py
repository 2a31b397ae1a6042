"""Beam search: neighbours, stop rules, ties, dead ends, damage, and both libraries."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from seq2x.errors import DivergedError, UsageError
from seq2x.search import Rules, Sampling, sample, search
from seq2x.search import beams as beams_module
from seq2x.types import EOS

from . import decoders, oracle
from .decoders import RandomDecoder, fixed

FIELDS = ("tokens", "lengths", "scores", "log_p", "stopped")
FULL = Rules(beam_size=4, n_best=4, coverage_beta=0.3, eos_gamma=0.2, no_repeat_ngram_size=2, min_length=1)


def logs(*rows):
    with np.errstate(divide="ignore"):
        return np.log(np.array(rows, dtype=np.float64))


def same(a, b, rows_a, rows_b, exact=True):
    """Whether two outcomes agree at these sentences, whatever the width of their rectangles."""
    for name in (*FIELDS, "attention"):
        x, y = getattr(a, name), getattr(b, name)
        if x is None:
            assert y is None
            continue
        x, y = x[rows_a], y[rows_b]
        if x.ndim > 2:
            T = max(x.shape[2], y.shape[2])
            x, y = (np.pad(z, [(0, 0), (0, 0), (0, T - z.shape[2])] + [(0, 0)] * (z.ndim - 3)) for z in (x, y))
        if exact:
            np.testing.assert_array_equal(x, y, err_msg=name)
        else:
            np.testing.assert_allclose(x, y, atol=1e-9, err_msg=name)


# ------------------------------------------------------------------ N7: nothing leaks between sentences


@pytest.mark.parametrize("seed", [pytest.param(s, marks=pytest.mark.slow if s > 2 else []) for s in range(12)])
@pytest.mark.parametrize(
    "rules", [FULL, dataclasses.replace(FULL, stop="bound"), Rules(beam_size=1, coverage_beta=0.3), Rules()]
)
def test_a_sentence_does_not_see_its_neighbours(seed, rules):
    """Some end at once, some never: the batch shrinks at many steps. Each is as alone, in any order."""
    draw = np.random.default_rng(seed)
    B = 17
    decoder = RandomDecoder(seed, V=15)
    sources, longest = draw.integers(1, 5, B), draw.integers(1, 14, B)
    memory = decoder.memory(range(B), sources)
    memory.bias[:, EOS] = draw.choice([-3.0, 0.0, 4.0], B)
    want = frozenset({"attention"})
    prefix = np.where(draw.random((B, 2)) < 0.3, draw.integers(3, 15, (B, 2)), -1)
    together = search(decoder, memory, sources, longest, rules, prefix, want)
    shrunk = decoder.steps
    assert shrunk[-1] < shrunk[0] and shrunk == sorted(shrunk, reverse=True)
    for b in range(B):
        rows = np.array([b])
        alone = search(decoder, memory.rows(rows), sources[rows], longest[rows], rules, prefix[rows], want)
        same(alone, together, [0], [b], exact=False)
    order = draw.permutation(B)
    mixed = search(decoder, memory.rows(order), sources[order], longest[order], rules, prefix[order], want)
    same(mixed, together, slice(None), order, exact=False)


def test_one_step_for_sentences_that_end_at_once():
    decoder = RandomDecoder(0)
    memory = decoder.memory(range(5), [2] * 5, end=50.0)
    found = search(decoder, memory, [2] * 5, [100] * 5, Rules(beam_size=1))
    assert decoder.steps == [5] and (found.tokens == EOS).all()


# ------------------------------------------------------------------ stop rules


@pytest.mark.parametrize("seed", range(40))
def test_the_bound_loses_nothing(seed, monkeypatch):
    draw = np.random.default_rng(seed)
    rules = Rules(
        beam_size=4,
        n_best=int(draw.integers(1, 5)),
        stop="bound",
        length_penalty=str(draw.choice(["none", "wu", "average"])),
        length_alpha=float(draw.choice([0.5, 1.0])),
        coverage_beta=float(draw.choice([0.0, 0.5])),
        eos_gamma=float(draw.choice([0.0, 0.5])),
    )
    decoder = RandomDecoder(seed, V=10)
    memory = decoder.memory(range(3), [3] * 3, end=1.0)
    stopped = search(decoder, memory, [3] * 3, [12] * 3, rules)
    early, decoder.steps = len(decoder.steps), []
    monkeypatch.setattr(beams_module, "attainable", lambda log_p, *rest: log_p * 0.0 + np.inf)
    whole = search(decoder, memory, [3] * 3, [12] * 3, rules)
    same(stopped, whole, slice(None), slice(None), exact=False)
    assert early <= len(decoder.steps)


def test_first_stops_where_bound_goes_on():
    """`</s>` is likely at once; the long output has the better mean log p, and only the bound waits for it."""
    #                 pad  <s>  </s>   a
    steps = logs([1e-9, 1e-9, 0.6, 0.4], [1e-9, 1e-9, 0.0, 1.0], [1e-9, 1e-9, 0.0, 1.0], [1e-9, 1e-9, 1.0, 0.0])
    rules = Rules(beam_size=1, length_penalty="average")
    first = search(fixed(steps), 1, [1], [6], rules)
    bound = search(fixed(steps), 1, [1], [6], dataclasses.replace(rules, stop="bound"))
    assert first.tokens[0, 0].tolist() == [EOS]
    assert bound.tokens[0, 0].tolist() == [3, 3, 3, EOS]
    assert first.scores[0, 0] == pytest.approx(np.log(0.6)) and bound.scores[0, 0] == pytest.approx(np.log(0.4) / 4)


@pytest.mark.parametrize(("start", "tokens"), [(-3.9, [3, 3, 3, EOS]), (-4.1, [EOS])])
def test_the_bound_is_sharp(start, tokens):
    """`</s>` at once scores -1; what lives can reach `start / 4`, and does."""
    ends, goes = np.exp(-1.0), np.exp(start)
    steps = logs([1 - ends - goes, 0, ends, goes], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0])
    decoder = fixed(steps)
    found = search(decoder, 1, [1], [4], Rules(beam_size=1, length_penalty="average", stop="bound"))
    assert found.tokens[0, 0].tolist() == tokens


def test_an_end_outside_the_first_k_does_not_count():
    """With two beams, `</s>` ranks third at the first step and is passed over."""
    steps = logs([0, 0, 0.1, 0.5, 0.4], [0, 0, 1.0, 0, 0])
    found = search(fixed(steps), 1, [1], [5], Rules(beam_size=2, n_best=2, length_penalty="none"))
    assert found.tokens[0].tolist() == [[3, EOS], [4, EOS]]


def test_cut_hypotheses_come_after_ended_ones_however_good():
    steps = logs([0, 0, 0.2, 0.8])
    found = search(fixed(steps), 1, [1], [2], Rules(beam_size=3, n_best=3, length_penalty="none"))
    assert found.tokens[0].tolist() == [[EOS, 0], [3, EOS], [3, 3]]
    assert found.stopped[0].tolist() == [1, 1, 0]
    assert found.scores[0, 2] > found.scores[0, 1]


# ------------------------------------------------------------------ ties, dead ends, damage


def test_ties_go_to_the_lower_beam_and_symbol():
    steps = logs([0, 0, 0.0, 0.25, 0.25, 0.25, 0.25], [0, 0, 0.5, 0.25, 0.25, 0, 0])
    found = search(fixed(steps), 1, [1], [3], Rules(beam_size=3, n_best=3))
    assert found.tokens[0, :, :2].tolist() == [[3, EOS], [4, EOS], [5, EOS]]


def test_fewer_hypotheses_than_places():
    steps = logs([0, 0, 0.5, 0.5], [0, 0, 1.0, 0])
    for beam_size in (4, 30):
        found = search(fixed(steps), 2, [1, 1], [4, 4], Rules(beam_size=beam_size, n_best=4))
        assert found.stopped.tolist() == [[1, 1, -1, -1]] * 2
        assert found.tokens[0].tolist() == [[3, EOS], [EOS, 0], [0, 0], [0, 0]]  # wu divides by the length
        assert (found.scores[:, 2:] == -np.inf).all()


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_dead_end_is_no_hypothesis(beam_size):
    found = search(fixed(logs([0, 0, 0.1, 0.9])), 1, [1], [4], Rules(beam_size=beam_size, forbidden=(EOS, 3)))
    assert found.stopped.tolist() == [[-1]] and found.lengths.tolist() == [[0]] and found.tokens.shape == (1, 1, 0)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("rules", [Rules(beam_size=1), Rules(beam_size=3, n_best=2), Rules(beam_size=2, stop="bound")])
def test_what_may_not_go_on_is_cut_with_its_own_log_p(rules, library):
    """No symbol twice, and no end before there could be one: five symbols, and then none is left."""
    decoder = RandomDecoder(3, V=8, library=library)
    memory = decoder.memory(range(6), [2, 3, 4] * 2)
    rules = dataclasses.replace(rules, no_repeat_ngram_size=1, min_length=300, coverage_beta=0.2, eos_gamma=0.1)
    want = frozenset({"attention"})
    limits = [20, 20, 3, 20, 20, 20]  # one sentence is done early and leaves
    found = search(decoder, memory, [2, 3, 4] * 2, limits, rules, None, want)
    assert (found.stopped == 0).all() and found.lengths[:, 0].tolist() == [5, 5, 3, 5, 5, 5]
    scores = {o.tokens: o.score for o in oracle.exhaustive(decoder, memory.rows(np.array([0])), 2, 20, rules)}
    for j in range(rules.n_best):
        assert found.scores[0, j] == pytest.approx(scores[tuple(found.tokens[0, j, :5])], abs=1e-9)
    for b in range(6):
        for j in range(rules.n_best):
            tokens = found.tokens[b, j, : found.lengths[b, j]]
            assert len(set(tokens.tolist())) == len(tokens)
            alone = oracle.forced_log_p(decoder, memory.rows(np.array([b])), tokens.tolist())
            np.testing.assert_allclose(found.log_p[b, j, : len(tokens)], alone, atol=1e-9)
    np.testing.assert_allclose(found.attention.sum(-1), found.tokens > 0, atol=1e-6)


def test_an_end_is_worth_more_than_a_dead_end():
    """What died is kept only where there is nothing else: here `3 </s>` has ended before `4 5` may not go on."""
    steps = logs([0, 0, 0, 0.5, 0.5, 0], [0, 0, 0.4, 0, 0, 0.6], [0, 0, 1.0, 0, 0, 0])
    found = search(fixed(steps), 1, [1], [9], Rules(beam_size=2, n_best=2, length_penalty="none"))
    assert (found.stopped >= 0).all()
    rules = Rules(beam_size=2, n_best=2, length_penalty="none", forbidden=(5,))
    assert search(fixed(steps), 1, [1], [9], rules).tokens[0].tolist() == [[3, EOS], [4, EOS]]
    rules = dataclasses.replace(rules, forbidden=(EOS,), no_repeat_ngram_size=1)
    cut = search(fixed(logs([0, 0, 0.2, 0.5, 0.3])), 1, [1], [9], rules)
    assert cut.tokens[0].tolist() == [[3, 4], [4, 3]] and cut.stopped.tolist() == [[0, 0]]
    np.testing.assert_allclose(cut.scores[0], np.log(0.15))


# ------------------------------------------------------------------ symbols that are none


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("rules", [Rules(beam_size=3), Rules(beam_size=1), Sampling(n=2)])
@pytest.mark.parametrize(
    ("forbidden", "prefix", "said"),
    [
        ((7,), None, "forbidden: symbol 7; expected symbols below 7"),
        ((10**9,), None, "forbidden: symbol 1000000000"),
        ((), [[3], [7]], "prefix: symbol 7; expected symbols below 7"),
        ((), [[3], [-2]], "prefix: symbol -2; expected symbols of an output"),
        ((), [[3], [0]], "prefix: symbol 0;"),
        ((), [[1], [3]], "prefix: symbol 1;"),
        ((), [[3]], r"prefix: shape \[1, 1\]; expected \[2, P\]"),
        ((), [3, 3], r"prefix: shape \[2\]"),
    ],
)
def test_symbols_out_of_the_vocabulary_are_refused(library, rules, forbidden, prefix, said):
    decoder = RandomDecoder(1, library=library)
    memory = decoder.memory(range(2), [2, 2])
    rules = dataclasses.replace(rules, forbidden=forbidden)
    prefix = None if prefix is None else np.array(prefix)
    with pytest.raises(UsageError, match=said):
        if isinstance(rules, Sampling):
            sample(decoder, memory, [2, 2], [5, 5], rules, range(2), prefix)
        else:
            search(decoder, memory, [2, 2], [5, 5], rules, prefix)


def test_the_last_symbol_may_be_named():
    decoder = RandomDecoder(1)
    memory = decoder.memory([0], [2])
    found = search(decoder, memory, [2], [5], Rules(forbidden=(6,)), np.array([[6, -1, -1]]))
    assert found.tokens[0, 0, 0] == 6 and 6 not in found.tokens[0, 0, 1:]
    found = search(decoder, memory, [2], [5], Rules(), np.zeros((1, 0), dtype=np.int64))
    assert found.stopped[0, 0] >= 0


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("rules", [Rules(beam_size=3), Rules(beam_size=1)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_damage_names_its_sentence(number, rules, library):
    def hook(log_p, count):
        if count == 2:
            log_p[1 * rules.beam_size, 4] = number  # the second of those left: sentence 4, as 1 and 2 have ended
        return log_p

    decoder = RandomDecoder(3, library=library, hook=hook)
    memory = decoder.memory(range(4), [2] * 4)
    memory.bias[:, EOS] = memory.bias[:, EOS] - 50
    memory.bias[:2, EOS] += 200
    with pytest.raises(DivergedError, match="sentence 4 ") as caught:
        search(decoder, memory, [2] * 4, [9] * 4, rules)
    assert caught.value.row == 3
    with pytest.raises(DivergedError, match="sentence 4 "):
        sample(decoder, memory, [2] * 4, [9] * 4, Sampling(n=rules.beam_size, temperature=0.1), range(4))


def test_damage_in_a_dead_row_is_nobodys():
    def hook(log_p, count):
        log_p[1::2] = np.nan  # beam 1: not alive at the first step, and never after, as only one symbol is possible
        return log_p

    decoder = RandomDecoder(3, V=4, hook=hook)
    found = search(decoder, decoder.memory([0], [1]), [1], [3], Rules(beam_size=2, forbidden=(EOS,)))
    assert found.tokens.tolist() == [[[3, 3, 3]]]


def test_coverage_needs_attention():
    with pytest.raises(UsageError, match="coverage_beta: "):
        search(fixed(logs([0, 0, 1.0])), 1, [1], [4], Rules(coverage_beta=1.0))


@pytest.mark.parametrize("beam_size", [1, 3])
def test_attention_that_is_not_there_is_none(beam_size):
    found = search(fixed(logs([0, 0, 1.0])), 1, [1], [4], Rules(beam_size=beam_size), None, frozenset({"attention"}))
    assert found.attention is None and found.tokens.tolist() == [[[EOS]]]


@pytest.mark.parametrize("rules", [Rules(), Rules(beam_size=1)])
def test_no_sentences(rules):
    found = search(RandomDecoder(0), None, [], [], rules)
    assert found.tokens.shape == (0, 1, 0) and found.scores.shape == (0, 1)


@pytest.mark.parametrize("most", [[0, 3], [3]])
def test_limits_that_are_none(most):
    with pytest.raises(UsageError, match="max_length"):
        search(RandomDecoder(0), None, [1, 1], most, Rules())


# ------------------------------------------------------------------ attention, libraries


def test_attention_belongs_to_its_token():
    decoder = RandomDecoder(5, V=9)
    memory = decoder.memory(range(3), [1, 3, 4], end=0.5)
    want = frozenset({"attention"})
    found = search(decoder, memory, [1, 3, 4], [8] * 3, Rules(beam_size=3, n_best=2), None, want)
    for b in range(3):
        for j in range(2):
            length = found.lengths[b, j]
            state = decoder.start(memory.rows(np.array([b])), 1, 1, want)
            for t, symbol in enumerate([1, *found.tokens[b, j, : length - 1]]):
                answer, state = decoder.step(np.array([symbol]), np.array([0]), state)
                np.testing.assert_allclose(found.attention[b, j, t], answer.attention[0], atol=1e-6)
            assert (found.attention[b, j, length:] == 0).all()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rules", [FULL, dataclasses.replace(FULL, beam_size=1, n_best=1), Rules(stop="bound")])
def test_numpy_and_torch_agree(seed, rules):
    outcomes = []
    for library in ("numpy", "torch"):
        decoder = RandomDecoder(seed, library=library)
        memory = decoder.memory(range(9), [3] * 9, end=0.5)
        prefix = np.array([[3], [-1], [4]] * 3)
        outcomes.append(search(decoder, memory, [3] * 9, [12] * 9, rules, prefix, frozenset({"attention"})))
    same(*outcomes, slice(None), slice(None), exact=False)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rules", [FULL, dataclasses.replace(FULL, beam_size=1, n_best=1), Rules(stop="bound")])
def test_search_among_tensors_as_on_a_device(seed, rules, monkeypatch):
    """On a device the small arrays are tensors too; here the same code works on CPU tensors."""
    decoder = RandomDecoder(seed, library="torch")
    memory = decoder.memory(range(9), [3] * 9, end=0.5)
    arguments = [3] * 9, [12] * 9, rules, np.array([[3], [-1], [4]] * 3), frozenset({"attention"})
    drawn = Sampling(n=3, top_p=0.9, no_repeat_ngram_size=2)
    expected, samples = search(decoder, memory, *arguments), sample(decoder, memory, *arguments[:2], drawn, range(9))
    monkeypatch.setattr("seq2x.search.drive.on_host", lambda x: False)
    monkeypatch.setattr("seq2x.arrays.on_host", lambda x: False)
    same(search(decoder, memory, *arguments), expected, slice(None), slice(None))
    same(sample(decoder, memory, *arguments[:2], drawn, range(9)), samples, slice(None), slice(None))


@pytest.mark.parametrize("rules", [FULL, dataclasses.replace(FULL, beam_size=1, n_best=1), Rules(stop="bound")])
def test_no_step_sends_anything_to_the_device(rules, monkeypatch):
    """What the host sends, it waits for: that is done at the start, and where the batch shrinks."""
    monkeypatch.setattr("seq2x.search.drive.on_host", lambda x: False)
    monkeypatch.setattr("seq2x.arrays.on_host", lambda x: False)
    monkeypatch.setattr(decoders, "like", lambda x, other: torch.from_numpy(np.asarray(x)))
    sent, real = [], torch.as_tensor
    monkeypatch.setattr(torch, "as_tensor", lambda x, **to: real(x, **to) if torch.is_tensor(x) else _noted(sent, x))
    counts = []
    for longest in (4, 14):
        decoder = RandomDecoder(1, V=15, library="torch")
        memory = decoder.memory(range(4), [3] * 4, end=-50.0)
        sent.clear()
        search(decoder, memory, [3] * 4, [longest] * 4, rules, np.array([[3, 5, 4], [-1, -1, 6]] * 2))
        assert len(decoder.steps) == longest
        counts.append(len(sent))
    assert counts[0] == counts[1] > 0


def _noted(sent, x):
    sent.append(x)
    return torch.from_numpy(np.asarray(x))


def test_one_number_is_read_per_step(monkeypatch):
    """On a device, `int(tensor)` waits for it: once per step."""
    decoder = RandomDecoder(1, library="torch")
    memory = decoder.memory(range(4), [3] * 4)
    monkeypatch.setattr("seq2x.search.drive.on_host", lambda x: False)
    monkeypatch.setattr("seq2x.arrays.on_host", lambda x: False)
    reads, real = [], torch.Tensor.__int__
    monkeypatch.setattr(torch.Tensor, "__int__", lambda x: reads.append(1) or real(x))
    for name in ("__bool__", "item", "tolist", "nonzero", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *a, name=name: pytest.fail(f"{name} waits for the device"))
    search(decoder, memory, [3] * 4, [9] * 4, Rules(beam_size=3, no_repeat_ngram_size=2, min_length=2))
    assert len(reads) == len(decoder.steps)
