"""An n-gram language model with interpolated, modified Kneser-Ney smoothing: counted, not trained.

With h the last k - 1 symbols, h' the same without the first of them, and a(hw) the adjusted count of an n-gram,

    p_k(w|h) = (a(hw) - D_k(a(hw))) / a(h) + g(h) p_{k-1}(w|h')         a(h) = sum_w a(hw)
    g(h)     = (D_k1 N_1(h) + D_k2 N_2(h) + D_k3 N_3(h)) / a(h)         N_i: how many w have a(hw) = i (3: or more)
    p_1(w)   as above, over p_0 = 1 / (V - 2), for neither padding nor `<s>` is ever written

(Chen & Goodman 1999, section 3). a is the count of the longest n-grams and of those that begin with `<s>`, for nothing
can stand before it; of all others the number of different symbols that stand before them (Kneser & Ney 1995). The
discounts of each order follow from n_i, how many n-grams have a = i:

    Y = n_1 / (n_1 + 2 n_2),     D_1 = 1 - 2 Y n_2/n_1,     D_2 = 2 - 3 Y n_3/n_2,     D_3 = 3 - 4 Y n_4/n_3

N-grams of order k lie sorted by (the number of their first k - 1 symbols among those of order k - 1, last symbol), so
that those with one context are neighbours, and one of them is found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seq2x.arrays import Table, to_numpy
from seq2x.errors import FolderError, UsageError
from seq2x.types import BOS, NOTHING, PAD, Array, Batch, Memory, Padded, Scored, Want

__all__ = ["Ngram", "NgramShape", "NgramState", "count", "discounts"]

MOST_ORDER = 10
_FEW = (0.5, 1.0, 1.5)
"""D_1, D_2, D_3 where there are too few n-grams to tell, or their counts are not those of a text."""

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramShape:
    """How many n-grams there are: `grams[i]` of order i + 2; those of order 1 are the `target_size` symbols."""

    target_size: int
    grams: tuple[int, ...]
    max_target_length: int = 512

    kind: ClassVar[str] = "ngram"
    source: ClassVar[bool] = False
    attends: ClassVar[bool] = False
    decoder: ClassVar[str] = "standard"
    ctc_upsample: ClassVar[int] = 1
    copy: ClassVar[str] = "none"
    positions: ClassVar[str] = "none"
    layers: ClassVar[int] = 0

    @property
    def source_size(self) -> int:
        """There is one vocabulary."""
        return self.target_size

    @property
    def max_source_length(self) -> int:
        """Nothing is read."""
        return self.max_target_length

    @property
    def order(self) -> int:
        """n: symbols of the longest n-grams."""
        return len(self.grams) + 1

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal shape back."""
        sizes = {"target_size": self.target_size, "max_target_length": self.max_target_length}
        return {"kind": self.kind, "grams": list(self.grams), **sizes}

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any], where: str) -> NgramShape:
        """The shape that `to_json` wrote. Raises `FolderError` for anything else."""
        grams = mapping.get("grams")
        sizes = [mapping.get(name) for name in ("target_size", "max_target_length")]
        wrong = mapping.keys() != {"kind", "grams", "target_size", "max_target_length"} or not isinstance(grams, list)
        if wrong or any(type(one) is not int or not 0 < one < 1 << 40 for one in [*sizes, *(grams or [])]):
            raise FolderError(
                where, "not the shape of an n-gram model", "what seq2x writes", "copy the run folder anew"
            )
        if len(grams) >= MOST_ORDER or not 4 <= sizes[0] <= 1 << 24:  # type: ignore[arg-type, operator]  # as just looked at
            raise FolderError(where, f"order {len(grams) + 1}, {sizes[0]} symbols", f"order 1 to {MOST_ORDER}")  # type: ignore[arg-type]
        return cls(target_size=mapping["target_size"], grams=tuple(grams or ()), max_target_length=sizes[1] or 1)


class _Level(NamedTuple):
    """The n-grams of one order k > 1: `keys` `[G]` context * V + word, ascending, `share` `[G]` what they keep of their
    context's probability; of the contexts, n-grams of order k - 1: `first` `[C+1]`, where their own begin, and `left`
    `[C]`, the share g(h) that is left to shorter ones (1 for a context that nothing followed).
    """

    keys: _Ints
    words: _Ints
    share: _Floats
    first: _Ints
    left: _Floats


@dataclass(slots=True)
class NgramState:
    """A `seq2x.types.State`: `nodes` `[N,n]`: of each row and for k = 0 .. n - 1 the number of its last k symbols among
    the n-grams of order k, -1 where they are none. No array in it is ever written to.
    """

    nodes: _Ints
    consumed: int
    beams: int

    @property
    def position(self) -> _Ints:
        """`[N]`: how many symbols each row has consumed."""
        return np.full(len(self.nodes), self.consumed)

    def keep(self, rows: Array) -> NgramState:
        """Only the sentences `rows` `[B']` go on, with all their beams."""
        kept = self.nodes.reshape(-1, self.beams, self.nodes.shape[1])[to_numpy(rows)]
        return NgramState(kept.reshape(-1, self.nodes.shape[1]), self.consumed, self.beams)

    def clone(self) -> NgramState:
        """A copy that a later step cannot spend."""
        return NgramState(self.nodes, self.consumed, self.beams)


class Ngram(nn.Module):
    """A `seq2x.types.Model` of the counts in its buffers, which are all there is to store; it computes in numpy.

    `counts_k` `[G_k]` adjusted counts of order k; for k > 1 `words_k` `[G_k]` last symbols and `first_k` `[G_{k-1}+1]`:
    those of context c are first_k[c] to first_k[c + 1].
    """

    def __init__(self, shape: NgramShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("counts_1", torch.empty(shape.target_size, dtype=torch.int64))
        before = shape.target_size
        for order, size in enumerate(shape.grams, 2):
            self.register_buffer(f"first_{order}", torch.empty(before + 1, dtype=torch.int64))
            self.register_buffer(f"words_{order}", torch.empty(size, dtype=torch.int32))
            self.register_buffer(f"counts_{order}", torch.empty(size, dtype=torch.int32))
            before = size

    def check(self, where: str) -> None:
        """`FolderError` if the numbers are not those of n-grams: nothing is looked up at a place that is not there."""
        sizes = (self.shape.target_size, *self.shape.grams)
        for order, size in enumerate(sizes, 1):
            counts = self._array("counts", order)
            sound = counts.min() >= (1 if order > 1 else 0) and counts.max() > 0 and counts.sum() < 1 << 53
            if order > 1:
                first, words = self._array("first", order), self._array("words", order)
                sound = sound and first[0] == 0 and first[-1] == size and bool((np.diff(first) >= 0).all())
                sound = sound and words.min() >= 0 and words.max() < self.shape.target_size
                sound = sound and bool((np.diff(_keys(first, words, self.shape.target_size)) > 0).all())
            else:
                sound = sound and counts[PAD] == counts[BOS] == 0
            if not sound:
                raise FolderError(
                    where, f"the n-grams of order {order} are in no order", "", "copy the run folder anew"
                )

    def fit(
        self,
        number: int,
        pairs: Callable[[], Iterable[Batch]],
        unlabelled: Callable[[], Iterable[Batch]] | None = None,
    ) -> None:
        """The one pass there is (see `seq2x.training.counted`). It was made when the model was: what is counted decides
        its shape, see `count`.
        """

    # ------------------------------------------------------------------ the model protocol

    def encode(self, source: Padded) -> Memory:
        """How many rows there are; nothing is read."""
        rows = len(source.lengths)
        return Memory(torch.zeros(rows, 0, 0), torch.zeros(rows, dtype=torch.int64))

    def decode(self, memory: Memory, inputs: Array, want: Want = NOTHING) -> Table:
        """What follows each prefix of `inputs` `[N,T]`, which begin with `<s>`: `[N,T,V]`."""
        symbols_NT = to_numpy(inputs)
        nodes = self._contexts(symbols_NT).reshape(-1, self.shape.order)
        return Table(self._all(nodes).reshape(*symbols_NT.shape, -1))

    def start(self, memory: Memory, beams: int, top: int = 0, want: Want = NOTHING) -> NgramState:
        """A state for `beams` rows per sentence that have consumed nothing."""
        nodes = np.full((len(memory.lengths) * beams, self.shape.order), -1)
        nodes[:, 0] = 0
        return NgramState(nodes, 0, beams)

    def step(self, previous: Array, origin: Array, state: NgramState) -> tuple[Table, NgramState]:
        """Row n continues row `origin[n]` with symbol `previous[n]`; the answer is dense, `[N,V]`."""
        nodes = self._after(state.nodes[to_numpy(origin)], to_numpy(previous))
        return Table(self._all(nodes)), NgramState(nodes, state.consumed + 1, state.beams)

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p of the batch's targets, `</s>` included: `total` `[B]` and `items` `[B,T]`, double."""
        assert batch.target is not None  # there is nothing to score: told to mypy
        values, lengths = (to_numpy(part) for part in batch.target)
        inputs = np.concatenate([np.full((len(values), 1), BOS), values[:, :-1]], 1)
        valid = np.arange(values.shape[1]) < lengths[:, None]
        items = np.where(valid, self._of(self._contexts(inputs), np.where(valid, values, PAD)), 0.0)
        return Scored(torch.from_numpy(items.sum(1)), torch.from_numpy(items))

    # ------------------------------------------------------------------ the equations

    @cached_property
    def _unigrams(self) -> _Floats:
        """p_1 `[V]`; zero for padding and `<s>`."""
        counts = self._array("counts", 1)
        kept, left = _smoothed(counts, np.zeros(len(counts), np.int64), 1)
        writable = np.ones(len(counts))
        writable[[PAD, BOS]] = 0.0
        return np.asarray(kept + left[0] * writable / writable.sum())

    @cached_property
    def _levels(self) -> list[_Level]:
        """Orders 2 to n."""
        levels = []
        for order in range(2, self.shape.order + 1):
            first, words, counts = (self._array(name, order) for name in ("first", "words", "counts"))
            contexts = np.repeat(np.arange(len(first) - 1), np.diff(first))
            share, left = _smoothed(counts, contexts, len(first) - 1)
            levels.append(_Level(_keys(first, words, self.shape.target_size), words, share, first, left))
        return levels

    def _array(self, name: str, order: int) -> Any:
        """A buffer as numpy sees it."""
        return self.get_buffer(f"{name}_{order}").numpy().astype(np.int64, copy=False)

    def _child(self, order: int, contexts: _Ints, words: _Ints) -> _Ints:
        """The numbers of the n-grams (context, word) of this order; -1 where there is none."""
        keys = self._levels[order - 2].keys
        wanted = contexts * self.shape.target_size + words
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((contexts >= 0) & (keys[place] == wanted), place, -1)

    def _after(self, nodes: _Ints, words: _Ints) -> _Ints:
        """`[...,n]`: the contexts of rows with the contexts `nodes` `[...,n]`, one symbol later."""
        after = [np.zeros_like(words), words]
        after += [self._child(k, nodes[..., k - 1], words) for k in range(2, self.shape.order)]
        return np.stack(after[: self.shape.order], -1)

    def _contexts(self, inputs: _Ints) -> _Ints:
        """`[N,T,n]`: the contexts after each of `inputs` `[N,T]`."""
        nodes = np.full((*inputs.shape, self.shape.order), -1)
        nodes[..., 0] = 0
        if self.shape.order > 1:
            nodes[..., 1] = inputs
        for k in range(2, self.shape.order):
            nodes[:, 1:, k] = self._child(k, nodes[:, :-1, k - 1], inputs[:, 1:])
        return nodes

    def _of(self, nodes: _Ints, words: _Ints) -> _Floats:
        """log p of one symbol of every row, shaped like `words`."""
        p = self._unigrams[words]
        for order, level in enumerate(self._levels, 2):
            contexts = nodes[..., order - 1]
            found = self._child(order, contexts, words)
            p = np.where(contexts >= 0, level.left[contexts], 1.0) * p + np.where(found >= 0, level.share[found], 0.0)
        with np.errstate(divide="ignore"):  # padding and <s>
            return np.asarray(np.log(p))

    def _all(self, nodes: _Ints) -> _Floats:
        """log p of every symbol, `[N,V]`, from the longest contexts to the shortest: shares are few, symbols many."""
        p = np.zeros((len(nodes), self.shape.target_size))
        left = np.ones(len(nodes))  # what longer contexts leave
        for order in range(self.shape.order, 1, -1):
            level, contexts = self._levels[order - 2], nodes[:, order - 1]
            rows = np.flatnonzero(contexts >= 0)
            begin, end = level.first[contexts[rows]], level.first[contexts[rows] + 1]
            sizes = end - begin
            inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            place, row = np.repeat(begin, sizes) + inside, np.repeat(rows, sizes)
            p[row, level.words[place]] += left[row] * level.share[place]
            left[rows] *= level.left[contexts[rows]]
        p += left[:, None] * self._unigrams
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(p, out=p))


# ---------------------------------------------------------------------- counting


def count(texts: npt.ArrayLike, lengths: npt.ArrayLike, order: int, size: int, most: int = 512) -> Ngram:
    """The model of these texts: `texts` their symbols one behind the other, each closed by `</s>`, `lengths` `[B]`;
    `size` symbols, n = `order`, or less where no text is as long.

    Memory: some 60 bytes for each symbol of the texts and each order.
    """
    if (total := int(np.sum(lengths, dtype=np.int64))) >= 1 << 31:
        raise UsageError("model", f"ngram, of {total:,} symbols", f"less than {1 << 31:,}", "count a part of them")
    words, place = _begun(np.asarray(texts, np.int64), np.asarray(lengths, np.int64))
    found: list[dict[str, _Ints]] = []
    nodes, grams = words, size  # of each position, the number of the n-gram that ends there; how many of them there are
    for k in range(2, order + 1):
        ends = np.flatnonzero(place >= k - 1)
        if not len(ends):
            break
        keys, at, number, times = np.unique(
            nodes[ends - 1] * size + words[ends], return_index=True, return_inverse=True, return_counts=True
        )
        first = np.searchsorted(keys, np.arange(grams + 1) * size)
        begins = place[ends[at]] == k - 1  # with <s>: nothing stands before it
        before = nodes[ends[at]]  # its last k - 1 symbols, which this order shows with one more before them
        found.append({"first": first, "words": keys % size, "times": times, "begins": begins, "before": before})
        nodes, grams = np.full(len(words), -1), len(keys)
        nodes[ends] = number
    shape = NgramShape(target_size=size, grams=tuple(len(one["times"]) for one in found), max_target_length=most)
    model = Ngram(shape)
    counts = np.bincount(words[place > 0], minlength=size)
    if found:
        counts = np.bincount(found[0]["words"], minlength=size)
    model.counts_1.copy_(torch.from_numpy(counts))  # type: ignore[operator]  # a buffer
    for k, one in enumerate(found, 2):
        if k < shape.order:
            different = np.bincount(found[k - 1]["before"], minlength=len(one["times"]))
            one["times"] = np.where(one["begins"], one["times"], different)
        for name, values in (("first", one["first"]), ("words", one["words"]), ("counts", one["times"])):
            model.get_buffer(f"{name}_{k}").copy_(torch.from_numpy(values))
    return model


def _begun(texts: _Ints, lengths: _Ints) -> tuple[_Ints, _Ints]:
    """(all symbols with `<s>` before each text; the place of each in its text, that of `<s>` being 0)."""
    starts = np.cumsum(lengths) - lengths
    words = np.insert(texts, starts, BOS)
    place = np.arange(len(words)) - np.repeat(starts + np.arange(len(lengths)), lengths + 1)
    return words, place


def discounts(counts: _Ints) -> tuple[float, float, float]:
    """D_1, D_2 and D_3 of n-grams with these adjusted counts; `_FEW` where those would be no discounts."""
    n1, n2, n3, n4 = (int((counts == i).sum()) for i in range(1, 5))
    if not (n1 and n2 and n3):
        return _FEW
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0.0 <= one <= i for i, one in enumerate(found, 1)) else _FEW


def _smoothed(counts: _Ints, contexts: _Ints, size: int) -> tuple[_Floats, _Floats]:
    """What each n-gram keeps of its context's probability `[G]`, and what the `size` contexts leave `[C]`."""
    taken = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    total = np.bincount(contexts, counts, minlength=size)
    left = np.bincount(contexts, taken, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):  # a context that nothing followed leaves all
        return (counts - taken) / total[contexts], np.where(total > 0, left / total, 1.0)


def _keys(first: _Ints, words: _Ints, size: int) -> _Ints:
    return np.repeat(np.arange(len(first) - 1), np.diff(first)) * size + words
