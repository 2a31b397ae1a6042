"""What says the same again and again ends, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seq2x.arrays import Table
from seq2x.errors import UsageError
from seq2x.search import Rules, Sampling, in_a_loop, loops, sample, search
from seq2x.search.loops import EVERY, LENGTH, TIMES, looping
from seq2x.types import EOS

from .decoders import RandomDecoder

V = 40


class Parrot:
    """Says `phrase` for ever: each sentence its own, after a first symbol that only it has. A row of another beam than
    the first begins elsewhere in it. Now and then it would rather end, with a probability of its own.
    """

    def __init__(self, phrases, end=1e-9, library="numpy"):
        self.phrases, self.end, self.library = phrases, end, library

    def start(self, memory, beams, top, want=frozenset()):
        rows = np.repeat(np.asarray(memory), beams)
        return _Told(np.zeros((len(rows), 0), np.int64), rows, beams, self.library)

    def step(self, previous, origin, state):
        previous, origin = np.asarray(previous), np.asarray(origin)
        told = np.concatenate([state.told[origin], previous[:, None]], 1)  # and <s> before it
        log_p = np.full((len(previous), V), np.log(1e-6))
        for row, text in enumerate(told):
            phrase = self.phrases[state.rows[row]]
            log_p[row, phrase[(len(text) - 1) % len(phrase)]] = np.log(0.9)
            log_p[row, 30 + len(text) % 7] = np.log(0.01)
        log_p[:, EOS] = np.log(self.end)
        after = _Told(told, state.rows, state.beams, self.library)
        return (Table(torch.from_numpy(log_p)) if self.library == "torch" else Table(log_p)), after


class _Told:
    def __init__(self, told, rows, beams, library):
        self.told, self.rows, self.beams, self.library = told, rows, beams, library

    @property
    def position(self):
        place = np.full(len(self.rows), self.told.shape[1])
        return torch.from_numpy(place) if self.library == "torch" else place

    def keep(self, rows):
        kept = (np.asarray(rows)[:, None] * self.beams + np.arange(self.beams)).reshape(-1)
        return _Told(self.told[kept], self.rows[kept], self.beams, self.library)


def most_times(body, phrase):
    """How often a phrase, or it from another place on, stands in a row."""
    n = len(phrase)
    same = [body[i] == body[i + n] for i in range(len(body) - n)]
    runs = "".join("x" if one else " " for one in same).split()
    return max(map(len, runs), default=0) // n + 1


PHRASES = [[5], [5, 6], [7, 8, 9], list(range(3, 13)), list(range(3, 24))]


@pytest.mark.parametrize("beam_size", [1, 2])
def test_no_phrase_is_written_a_hundred_times(beam_size):
    """A decoder that never ends, greedily and with a beam: the limit is 3,000 symbols and none gets near it."""
    decoder = Parrot(PHRASES)
    rules = Rules(beam_size=beam_size, length_penalty="none")
    found = search(decoder, range(5), [3] * 5, [3000] * 5, rules)
    for b, phrase in enumerate(PHRASES):
        body = found.tokens[b, 0, : found.lengths[b, 0]].tolist()
        assert found.stopped[b, 0] == 0 and len(body) <= max(LENGTH, TIMES * len(phrase)) + 2 * EVERY
        assert TIMES <= most_times(body, phrase) < 100
        assert in_a_loop(body)
        alone = search(decoder, [b], [3], [3000], rules)
        assert alone.tokens[0, 0].tolist() == body
    drawn = sample(Parrot(PHRASES, library="numpy"), range(5), [3] * 5, [400] * 5, Sampling(top_k=1), range(5))
    assert (
        drawn.lengths[:, 0].tolist()
        == search(decoder, range(5), [3] * 5, [400] * 5, Rules(beam_size=1)).lengths[:, 0].tolist()
    )


def test_loops_may_be_allowed():
    decoder = Parrot(PHRASES)
    for beam_size in (1, 2):  # the shorter ones leave the batch
        rules = Rules(beam_size=beam_size, loops="allow")
        found = search(decoder, range(5), [3] * 5, [150, 3, 9, 20, 150], rules)
        assert found.lengths[:, 0].tolist() == [150, 3, 9, 20, 150] and (found.tokens[0, 0] == 5).all()
    drawn = sample(decoder, range(5), [3] * 5, [150] * 5, Sampling(top_k=1, loops="allow"), range(5))
    assert (drawn.lengths == 150).all()
    with pytest.raises(UsageError, match='loops: "never"'):
        Rules(loops="never")
    with pytest.raises(UsageError, match='loops: "never"'):
        Sampling(loops="never")


def test_what_was_asked_for_is_no_loop():
    """A prefix that repeats itself, and a minimum length that leaves no choice, do not count."""
    decoder = Parrot(PHRASES)
    prefix = np.full((5, 200), 4)
    found = search(decoder, range(5), [3] * 5, [250] * 5, Rules(beam_size=1), prefix)
    assert (found.lengths == 250).all() and (found.tokens[:, 0, :200] == 4).all()
    found = search(decoder, range(5), [3] * 5, [3000] * 5, Rules(beam_size=1, min_length=500))
    assert (found.lengths > 500 + LENGTH).all() and (found.lengths < 500 + TIMES * 21 + 2 * EVERY).all()


def test_a_beam_that_is_no_loop_goes_on():
    """The best says something else at every symbol, the second best loops: that one ends, and takes no other along."""

    def hook(log_p, count):
        p = np.full((len(log_p), V), 1e-7)
        p[:, 5] = 0.3999
        p[:, 6 + count % 29] = 0.6 if count < 110 else 1e-7
        p[:, EOS] = 1e-7 if count < 110 else 0.5
        return np.log(p)

    decoder = RandomDecoder(0, V, hook=hook)
    memory = decoder.memory([0], [1])
    found = search(decoder, memory, [1], [400], Rules(beam_size=3, length_penalty="none"))
    body = found.tokens[0, 0, : found.lengths[0, 0]].tolist()
    assert found.stopped[0, 0] == 1 and not in_a_loop(body[:-1])


@pytest.mark.parametrize("library", ["numpy", "torch", "device"])
@pytest.mark.parametrize("seed", range(3))
def test_loops_are_found_as_by_a_plain_search(library, seed, monkeypatch):
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(60):
        phrase = draw.integers(3, 5, draw.integers(1, 16)).tolist()
        text = draw.integers(3, 9, draw.integers(0, 40)).tolist() + phrase * 200
        rows.append(text[: 100 + int(draw.integers(0, 2))][-100:])
    rows = [
        row[:40] + row[-60:] if n % 7 == 0 else row[:-9] + row[:9] if n % 5 == 0 else row for n, row in enumerate(rows)
    ]
    own = draw.integers(0, 150, len(rows)).clip(max=100)
    if library == "device":
        monkeypatch.setattr(loops, "on_host", lambda x: False)
    make = np.array if library == "numpy" else torch.tensor
    found = looping(make(rows), make(own), EVERY).tolist()
    assert found == [_plain(row, int(most)) for row, most in zip(rows, own, strict=True)]
    assert 5 < sum(found) < 55


def _plain(row, own):
    for p in range(1, len(row)):
        size = max(TIMES * p, LENGTH + 1)
        for end in range(len(row), len(row) - EVERY, -1):
            begin = end - size
            if begin >= len(row) - own and all(row[i] == row[i + p] for i in range(begin, end - p)):
                return True
    return False


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("ha " * 20, False),
        ("0" * 80, False),
        ("." * 81, True),
        ("-=" * 40, False),
        ("-=" * 41, True),
        ("well, " * 13, False),
        ("well, " * 14, True),
        ("the cat and " * 7, False),
        ("the cat and " * 8, True),
        ("once upon a time there was a time " * 8, True),
        ("x" * 200 + "y", True),
        ("x" * 70 + "y" + "x" * 70, False),
        ("", False),
    ],
)
def test_what_is_a_loop(text, is_one):
    assert in_a_loop([ord(char) for char in text]) is is_one


def test_short_outputs_are_not_looked_at(monkeypatch):
    """Nothing but two entries in a list for each step, up to the first look."""
    monkeypatch.setattr(loops, "looping", lambda *_: pytest.fail("looked at"))
    decoder = Parrot(PHRASES)
    found = search(decoder, range(5), [3] * 5, [LENGTH] * 5, Rules(beam_size=2))
    assert (found.lengths == LENGTH).all()
