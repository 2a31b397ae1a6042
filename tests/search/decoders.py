"""Small decoders with opaque state, one in numpy and the same in torch."""

from __future__ import annotations

import numpy as np
import torch

from seq2x.arrays import Table, is_torch, like, namespace
from seq2x.types import EOS

__all__ = ["Memo", "RandomDecoder", "fixed"]


class Memo:
    """The memory of `B` sentences: a vector each, and what is added to their logits."""

    def __init__(self, vectors, bias, source_lengths):
        self.vectors, self.bias, self.source_lengths = vectors, bias, source_lengths

    def rows(self, rows):
        return Memo(self.vectors[rows], self.bias[rows], self.source_lengths[rows])


class _State:
    """Spent by the step it is given to: a second use is an error."""

    def __init__(self, hidden, memory, count, want):
        self.hidden, self.memory, self.count, self.want, self.spent = hidden, memory, count, want, False

    @property
    def position(self):
        return like(np.full(len(self.hidden), self.count), self.hidden)

    def keep(self, rows):
        assert (rows[1:] > rows[:-1]).all()
        B = len(self.memory.bias)
        hidden = self.hidden.reshape(B, -1, self.hidden.shape[-1])[rows]
        return _State(hidden.reshape(-1, hidden.shape[-1]), self.memory.rows(rows), self.count, self.want)

    def clone(self):
        assert not self.spent
        return _State(self.hidden + 0.0, self.memory, self.count, self.want)


class RandomDecoder:
    """A recurrent net with random weights: `h' = tanh(W h + E[symbol] + vector)`, logits `U h' + bias`.

    The same numbers in numpy and in torch. `hook(log_p, count)` may damage what it says.
    """

    def __init__(self, seed, V=7, width=8, sources=4, library="numpy", sharp=3.0, hook=None):
        draw = np.random.default_rng(seed)
        weights = [draw.normal(size=size) for size in ((width, width), (V, width), (width, V), (width, sources))]
        self.library = library
        self._hook = hook
        self._weights = [torch.from_numpy(w) for w in weights] if library == "torch" else weights
        self._V, self._width, self._sharp, self.steps = V, width, sharp, []

    def memory(self, seeds, source_lengths, end=0.0):
        """Sentences that depend on their seed alone; `end` is added to the logit of `</s>`."""
        draws = [np.random.default_rng(seed) for seed in seeds]
        vectors = np.array([draw.normal(size=self._width) for draw in draws]).reshape(len(draws), self._width)
        bias = np.zeros((len(draws), self._V))
        bias[:, EOS] = end
        memory = Memo(vectors, bias, np.asarray(source_lengths))
        if self.library == "torch":
            return Memo(*(torch.from_numpy(x) for x in (memory.vectors, memory.bias, memory.source_lengths)))
        return memory

    def start(self, memory, beams, top, want=frozenset()):
        hidden = memory.vectors[:, None] + like(np.zeros((beams, 1)), memory.vectors)
        return _State(hidden.reshape(-1, self._width), memory, 0, want)

    def step(self, previous, origin, state):
        assert not state.spent, "a state is spent by the step it was given to"
        assert is_torch(previous) == is_torch(origin) == (self.library == "torch")
        state.spent = True
        self.steps.append(len(previous))
        inner, symbols, outer, source = self._weights
        beams = len(previous) // len(state.memory.bias)
        sentence = np.repeat(np.arange(len(state.memory.bias)), beams)
        xp = namespace(inner)
        hidden = xp.tanh(state.hidden[origin] @ inner + symbols[previous] + state.memory.vectors[sentence])
        logits = self._sharp * hidden @ outer / self._width**0.5 + state.memory.bias[sentence]
        log_p = logits - xp.log(xp.exp(logits).sum(-1))[:, None]
        if self._hook is not None:
            log_p = self._hook(log_p, state.count)
        attention = None
        if "attention" in state.want:
            weights = xp.exp(2.0 * hidden @ source)
            inside = like(np.arange(weights.shape[1]), weights) < state.memory.source_lengths[sentence][:, None]
            weights = weights * inside
            attention = weights / weights.sum(-1)[:, None]
        return Table(log_p, attention), _State(hidden, state.memory, state.count + 1, state.want)


def fixed(steps_TV):
    """A decoder for any number of sentences whose distribution depends on the position alone."""

    class Fixed:
        def start(self, memory, beams, top, want=frozenset()):
            return _State(
                np.zeros((memory * beams, 1)), Memo(np.zeros(memory), np.zeros(memory), np.ones(memory)), 0, want
            )

        def step(self, previous, origin, state):
            row = np.asarray(steps_TV, dtype=np.float64)[min(state.count, len(steps_TV) - 1)]
            after = _State(state.hidden[origin], state.memory, state.count + 1, state.want)
            return Table(np.tile(row, (len(previous), 1))), after

    return Fixed()
