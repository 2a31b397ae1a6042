"""What a hidden Markov model counts in tagged text, and how counts lean on what is less specific.

    c~(y | h)  =  c(y | h) + m p(y | h')          h' is h without its first label, and so on down to no label at all

gives what was never seen a share (MacKay & Peto 1995); words lean on what their letters say. Counts stay counts: they
are divided where a probability is wanted, and counts that were only expected (EM) can be added to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2x.codecs.tokens import ENDINGS, SHAPE, SYMBOLS
from seq2x.types import EOS, PAD, SPECIALS, Batch

__all__ = ["UNKNOWN", "Batches", "count", "log", "of_letters", "of_rare", "totals"]

Batches: TypeAlias = Callable[[], Iterable[Batch]]
"""Batches of numpy arrays, as often as asked: tokens `[B,S,F]` and their labels `[B,S]`, or tokens alone."""

UNKNOWN = len(SPECIALS)
"""The symbol of a word, or of a label, that was not learned."""

_RARE = 10  # occurrences of a word, at most, whose letters may tell of unknown ones (Brants 2000, section 2.3)
_LEAN = {"transitions": 5.0, "words": 1.0, "letters": 1.0}  # m; accuracy on UD English hardly depends on them
_NEVER = 0.1  # pseudo-count of a label among rare words
_TINY = 1e-300  # in place of zero, under a logarithm

_Ints: TypeAlias = npt.NDArray[np.int64]
_Table: TypeAlias = npt.NDArray[np.float64]


def count(tagged: Batches, sources: int, labels: int, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """(transitions `[V] * (order + 1)`, words `[S,V]`, letters `[S,V]`) of all that is `tagged`, float64: see `Hmm`.

    `sources` is S and `labels` V, special symbols counted. Two passes: which words are rare is known after the first.
    """
    transitions, words = np.zeros([labels] * (order + 1)), np.zeros((sources, labels))
    parts = np.full((sources, SYMBOLS), PAD, np.int64)  # of each word, all its symbols
    for batch in tagged():
        tokens_NF, labels_N = _places(batch)
        parts[tokens_NF[:, 0]] = tokens_NF
        _add(words, tokens_NF[:, 0] * labels + labels_N)
        _add(transitions, _steps(batch, labels, order))
    letters = np.zeros_like(words)
    rare_S = words.sum(1) <= _RARE
    rare_S[UNKNOWN] = True
    for batch in tagged():
        tokens_NF, labels_N = _places(batch)
        chosen = rare_S[tokens_NF[:, 0]]
        for part in (SHAPE, *ENDINGS):
            symbols_N = np.where(chosen, tokens_NF[:, part], PAD)
            _add(letters, symbols_N * labels + labels_N)
        _add(letters, UNKNOWN * labels + labels_N[chosen])
    letters[PAD] = 0.0  # there was no such part
    found = torch.from_numpy(letters)
    return _transitions(torch.from_numpy(transitions)), _words(torch.from_numpy(words), found, parts), found


def _places(batch: Batch) -> tuple[_Ints, _Ints]:
    """(tokens `[N,F]`, labels `[N]`) of all places of all rows."""
    assert batch.source is not None and batch.target is not None  # tagged batches have both
    inside_BS = np.arange(batch.source.values.shape[1]) < batch.source.lengths[:, None]
    return batch.source.values[inside_BS], batch.target.values[inside_BS]


def _steps(batch: Batch, labels: int, order: int) -> _Ints:
    """Every label and every end, with the labels before it, as one number `(y_{t-k} V + ..) V + y_t`."""
    assert batch.target is not None
    values_BS, lengths_B = batch.target
    inside_BS = np.arange(values_BS.shape[1]) < lengths_B[:, None]
    padded = np.pad(np.where(inside_BS, values_BS, EOS), ((0, 0), (order, 1)), constant_values=EOS)
    places = values_BS.shape[1] + 1
    parts = [padded[:, k : k + places] * labels ** (order - k) for k in range(order + 1)]
    steps: _Ints = np.sum(parts, axis=0)[np.arange(places) <= lengths_B[:, None]]
    return steps


def _add(table: _Table, places: _Ints) -> None:
    """Count `places` of the flat table."""
    table += np.bincount(places, minlength=table.size).reshape(table.shape)


# ------------------------------------------------------------------ smoothing


def _transitions(counts: Tensor) -> Tensor:
    """Each history leans on the one that is a label shorter, and no history on one count for every label."""
    shorter = list[Tensor](_shorter(counts))
    possible_V = (torch.arange(counts.shape[-1]) >= EOS).double()  # `</s>` is the end
    p = possible_V / possible_V.sum()
    for table in reversed(shorter):
        leaning = table + _LEAN["transitions"] * p
        p = leaning / totals(leaning, -1)
    return counts + _LEAN["transitions"] * p


def _shorter(counts: Tensor) -> Iterator[Tensor]:
    """The counts of ever shorter histories, down to none."""
    while counts.dim() > 1:
        counts = counts.sum(0)
        yield counts


def _words(counts_SV: Tensor, letters_SV: Tensor, parts_SF: _Ints) -> Tensor:
    """Each word is as frequent as it was; its labels lean on its letters, those of `<unk>` are those of rare words."""
    told_SV = of_letters(letters_SV, torch.from_numpy(parts_SF))
    told_SV[UNKNOWN] = of_rare(letters_SV)
    totals_S1 = counts_SV.sum(1, keepdim=True)
    own_SV = (counts_SV + _LEAN["words"] * told_SV) / (totals_S1 + _LEAN["words"])
    own_SV[UNKNOWN] = told_SV[UNKNOWN]
    return totals_S1.clamp(min=0.0) * own_SV


# ------------------------------------------------------------------ probabilities


def log(p: Tensor) -> Tensor:
    """The logarithm, finite."""
    return p.clamp(min=_TINY).log()


def totals(table: Tensor, axis: int) -> Tensor:
    """The sums to divide by, never zero."""
    return table.sum(axis, keepdim=True).clamp(min=_TINY)


def of_rare(letters_SV: Tensor) -> Tensor:
    """`[V]`: p(y) of a rare word."""
    possible_V = (torch.arange(letters_SV.shape[1], device=letters_SV.device) >= UNKNOWN).double()
    leaning_V = letters_SV[UNKNOWN] + _NEVER * possible_V
    return leaning_V / leaning_V.sum()


def of_letters(letters_SV: Tensor, tokens: Tensor) -> Tensor:
    """`[...,V]`: p(y | shape and endings) of `tokens` `[...,F]`, the two taken as independent given y.

    Of the endings each longer one leans on the one before (Brants 2000, eq. 4), the first on all rare words.
    """

    def seen(part: int, before: Any) -> Any:
        counts = letters_SV[tokens[..., part]]  # nothing where there is no such part
        return (counts + _LEAN["letters"] * before) / (counts.sum(-1, keepdim=True) + _LEAN["letters"])

    rare_V = of_rare(letters_SV)
    shaped = seen(SHAPE, rare_V)
    ended: Tensor = rare_V
    for part in ENDINGS:
        ended = seen(part, ended)
    both: Tensor = shaped * ended / rare_V.clamp(min=_TINY)
    return both / totals(both, -1)
