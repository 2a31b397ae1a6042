"""The native engine as a decoder that a search can drive: the same model, in fp32, on a processor, and faster.

encode, start and step are those of `seq2x.models.EncoderDecoder`, over numpy arrays; what it says differs from what
the model says by rounding. A sentence's numbers do not depend, to the bit, on what is computed beside it.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seq2x.arrays import Table, to_numpy
from seq2x.errors import UsageError
from seq2x.types import NOTHING, Array, Padded, Want

from . import library
from .packing import Packed

__all__ = ["NativeAnswer", "NativeMemory", "NativeModel", "NativeState"]

_STEPS = 16  # symbols for which room is made at a time

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class NativeMemory:
    """Keys and values of every layer for B sentences: `values` `[layers,stride]`, packed; `lengths`, `starts` `[B]`."""

    lengths: Numbers
    starts: Numbers
    values: Numbers

    @property
    def structure(self) -> library.Memory:
        return library.Memory(
            sentences=len(self.lengths),
            lengths=self.lengths.ctypes.data,
            starts=self.starts.ctypes.data,
            values=self.values.ctypes.data,
            stride=self.values.shape[1],
        )


@dataclass(slots=True)
class NativeState:
    """What the rows of a search have consumed. Spent by the step it is given to: the caches belong to the next state.

    `place` `[B']`: which sentences of the memory are still at work. `caches`: for every 16 steps the keys and values
    `[layers,2,B,16*K,D]`, slot t * K + k being what beam k read at step t; they never move. `ancestry` `[N,consumed]`:
    whose slot is each row's past; None for a single beam.
    """

    memory: NativeMemory
    place: Numbers
    caches: tuple[Numbers, ...]
    ancestry: Numbers | None
    beams: int
    consumed: int
    want: Want

    @property
    def position(self) -> Numbers:
        """`[N]`: how many symbols each row has consumed."""
        return np.full(len(self.place) * self.beams, self.consumed, np.int64)

    def keep(self, rows: Array) -> NativeState:
        """Only the sentences `rows` go on. Nothing is copied but their numbers."""
        rows = to_numpy(rows)
        ancestry = self.ancestry
        if ancestry is not None:
            ancestry = ancestry.reshape(-1, self.beams, self.consumed)[rows].reshape(-1, self.consumed)
        return dataclasses.replace(self, place=np.ascontiguousarray(self.place[rows]), ancestry=ancestry)

    def clone(self) -> NativeState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self, caches=tuple(cache.copy() for cache in self.caches))


class NativeModel:
    """A model's weights, packed, and the functions that compute with them, `threads()` threads at a time."""

    def __init__(self, packed: Packed, functions: ctypes.CDLL, threads: Callable[[], int] = lambda: 1) -> None:
        self._packed, self._call, self._threads = packed, functions, threads
        decoder = packed.decoder
        self._layers, self._width, self._heads = decoder.layers, decoder.width, decoder.heads
        self.size = int(decoder.output.outputs)
        self._encoder, self._decoder = ctypes.byref(packed.encoder), ctypes.byref(decoder)

    def encode(self, source: Padded, copy_ids: Array | None = None) -> NativeMemory:
        """Read `source.values` `[B,S]`, of which `source.lengths` `[B]` count. Nothing is copied here. Raises
        `MemoryError`.
        """
        values, lengths = (np.ascontiguousarray(to_numpy(part), np.int64) for part in source)
        if len(lengths) == 0 or values.ndim != 2 or len(values) != len(lengths) or not (lengths > 0).all():
            raise ValueError(f"sources {values.shape} with lengths {lengths.tolist()[:8]}")
        ids = np.concatenate([row[:length] for row, length in zip(values, lengths.tolist(), strict=True)])
        _require_ids(ids, self._packed.encoder.symbols)
        self._packed.reach(source=int(lengths.max()))
        sizes = [self._call.seq2x_memory_size(length, self._width, self._heads) for length in lengths.tolist()]
        starts = np.cumsum([0, *sizes], dtype=np.int64)
        memory = NativeMemory(lengths, starts[:-1], np.empty((self._layers, int(starts[-1])), np.float32))
        self._done(
            self._call.seq2x_encode(
                self._encoder, self._decoder, ids.ctypes.data, ctypes.byref(memory.structure), self._threads()
            )
        )
        return memory

    def start(self, memory: NativeMemory, beams: int, top: int = 0, want: Want = NOTHING) -> NativeState:
        """A state for `beams` rows per sentence that have consumed nothing."""
        sentences = len(memory.lengths)
        none = np.empty((sentences * beams, 0), np.int32) if beams > 1 else None
        return NativeState(memory, np.arange(sentences, dtype=np.int64), (), none, beams, 0, want)

    def step(self, previous: Array, origin: Array, state: NativeState) -> tuple[NativeAnswer, NativeState]:
        """Row n continues row `origin[n]` with symbol `previous[n]` (both `[N]`). Raises `MemoryError`."""
        symbols = np.ascontiguousarray(to_numpy(previous), np.int64)
        rows, position = len(state.place) * state.beams, state.consumed
        if symbols.shape != (rows,):
            raise ValueError(f"{symbols.shape} symbols for {rows} rows")
        _require_ids(symbols, self._packed.decoder.symbols)
        self._packed.reach(target=position + 1)
        # All beams of a sentence begin alike: their first step is one.
        alike = (
            state.beams if position == 0 and (symbols == np.repeat(symbols[:: state.beams], state.beams)).all() else 1
        )
        state = self._continued(state, to_numpy(origin))
        hidden, seen = self._run(symbols[::alike].copy(), state, alike)
        if alike > 1:
            state.caches[0][:, :, :, 1:alike] = state.caches[0][:, :, :, :1]
        return NativeAnswer(self, hidden, seen, alike), state

    def _run(self, symbols: Numbers, state: NativeState, alike: int) -> tuple[Numbers, Numbers | None]:
        """(hidden, attention if wanted) of the last step that `state` has room for, for every `alike`th row.

        Computed as a search with one beam, whose slots are `alike` times as far apart, where they are fewer.
        """
        memory = state.memory
        addresses = (ctypes.c_void_p * len(state.caches))(*(cache.ctypes.data for cache in state.caches))
        past = library.Past(
            rows=len(symbols),
            beams=state.beams // alike,
            consumed=state.consumed - 1,
            sentences=len(memory.lengths),
            steps=_STEPS * alike,
            place=state.place.ctypes.data,
            ancestry=None if state.ancestry is None or alike > 1 else state.ancestry.ctypes.data,
            caches=ctypes.addressof(addresses),
        )
        hidden = np.empty((len(symbols), self._width), np.float32)
        seen = np.zeros((len(symbols), int(memory.lengths.max())), np.float32) if "attention" in state.want else None
        self._done(
            self._call.seq2x_step(
                self._decoder, ctypes.byref(memory.structure), ctypes.byref(past), symbols.ctypes.data,
                hidden.ctypes.data, None if seen is None else seen.ctypes.data, 0 if seen is None else seen.shape[1],
                self._threads(),
            )
        )  # fmt: skip
        return hidden, seen

    def top(self, hidden: Numbers, c: int, forbid: Numbers) -> tuple[Numbers, Numbers]:
        """The `c` best symbols of each row: (log p, ids), both `[N,c]`; `forbid` `[N,F]`, -1 is none."""
        rows = len(hidden)
        values, ids = np.empty((rows, c), np.float32), np.empty((rows, c), np.int64)
        self._done(
            self._call.seq2x_top(
                self._decoder, hidden.ctypes.data, rows, c, forbid.ctypes.data, forbid.shape[1], values.ctypes.data,
                ids.ctypes.data, self._threads(),
            )
        )  # fmt: skip
        return values, ids

    def all(self, hidden: Numbers) -> Numbers:
        """log p of every symbol, `[N,V]`."""
        out = np.empty((len(hidden), self.size), np.float32)
        self._done(
            self._call.seq2x_all(self._decoder, hidden.ctypes.data, len(hidden), out.ctypes.data, self._threads())
        )
        return out

    def _continued(self, state: NativeState, origin: Numbers) -> NativeState:
        """The state with one more step: room for it, and every row's past behind the row that it continues."""
        caches = state.caches
        if state.consumed % _STEPS == 0:
            sentences = len(state.memory.lengths)
            shape = (self._layers, 2, sentences, _STEPS * state.beams, self._width)
            caches = (*caches, np.empty(shape, np.float32))
        ancestry = state.ancestry
        if ancestry is not None:
            own = np.tile(np.arange(state.beams, dtype=np.int32), len(state.place))
            ancestry = np.concatenate([ancestry[origin], own[:, None]], 1)
        return dataclasses.replace(state, caches=caches, ancestry=ancestry, consumed=state.consumed + 1)

    def _done(self, code: int) -> None:
        if code:
            raise MemoryError("the native engine ran out of memory")


class NativeAnswer:
    """An `Answer` (see `seq2x.types`) for `hidden` states `[N,D]`; nothing is computed before it is asked for.

    With `alike` > 1 each row of `hidden`, and of `attention`, stands for so many rows.
    """

    def __init__(self, model: NativeModel, hidden: Numbers, attention: Numbers | None, alike: int = 1) -> None:
        self._model, self._hidden, self._attention, self._alike = model, hidden, attention, alike

    @property
    def attention(self) -> Numbers | None:
        """`[N,S]` if it was wanted."""
        return None if self._attention is None else self._spread(self._attention)

    def top(self, c: int, forbid: Array | None = None, bias: Array | None = None) -> tuple[Numbers, Numbers]:
        """The `c` best symbols of each row: (log p, ids), both `[N,c]`."""
        if bias is not None:
            return Table(self.all()).top(c, forbid, bias)
        rows = len(self._hidden) * self._alike
        out = np.empty((rows, 0), np.int64) if forbid is None else _forbidden(forbid, rows)
        few = np.ascontiguousarray(out[:: self._alike])
        if self._alike > 1 and not (out == self._spread(few)).all():
            return self._model.top(self._spread(self._hidden), c, out)
        values, ids = self._model.top(self._hidden, c, few)
        return self._spread(values), self._spread(ids)

    def all(self) -> Numbers:
        """log p of every symbol, `[N,V]`."""
        return self._spread(self._model.all(self._hidden))

    def _spread(self, rows: Numbers) -> Numbers:
        return rows if self._alike == 1 else np.repeat(rows, self._alike, 0)

    def of(self, ids: Array) -> Numbers:
        """log p of one symbol of every row."""
        return np.asarray(Table(self.all()).of(ids))

    def mean(self) -> Numbers:
        """The mean of log p over the vocabulary, per row."""
        return np.asarray(Table(self.all()).mean())

    def sample(
        self, uniform: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, forbid: Array | None = None
    ) -> tuple[Array, Array]:
        """One draw per row: (the model's own log p, ids)."""
        return Table(self.all()).sample(uniform, temperature, top_k, top_p, forbid)


def _forbidden(forbid: Array, rows: int) -> Numbers:
    out = np.ascontiguousarray(to_numpy(forbid), np.int64)
    if out.ndim != 2 or len(out) != rows:
        raise ValueError(f"symbols to forbid {out.shape} for {rows} rows")
    return out


def _require_ids(ids: Numbers, size: int) -> None:
    """An index past the end would read foreign memory."""
    if ids.size and not (ids.min() >= 0 and ids.max() < size):
        raise UsageError("symbols", f"{int(ids.min())} to {int(ids.max())}", f"0 to {size - 1}")
