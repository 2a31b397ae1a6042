"""The coupled decoder: one cell says the next symbol, another reads what was said, and each hears of the other.

With e_t the embedding of the symbol before position t (e_{t+1} that of y_t) and f `tanh`, `gru` or `lstm`:

    cell 1    h1_t = f1([e_t; h2_{t-1}; C], h1_{t-1})         C only where it is fixed (`context` not attention)
    cell 2    h2_t = f2([e_{t+1}; h1_t], h2_{t-1})
    start     h1_0 = h2_0 = 0 (and an LSTM's cells)

The output o_t, of h1_t, stands in `asking`. With attention, C_t = attention(h1_t; h_1 .. h_S): cell 1 moves first,
then asks, so that its question knows y_{t-1} and attention of all positions is one call in training
(docs/decisions/003-recurrent-models.md). Asked before the move, C_t would be an input of cell 1, and what is asked
would not know y_{t-1}.

y_t is known in training; in a search it comes with the next step, before which cell 2 still has to read it. So step t
first lets cell 2 read e_t beside h1_{t-1}, then cell 1 moves: what is carried is h1_{t-1} and h2_{t-2}.

Cell 1 of position t + 1 waits for cell 2 of position t, so training goes one position at a time, two small kernels
each: several times as long as one call over all positions (`benchmarks/mechanisms.py`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2x.nn.attending import Remembered, Trace
from seq2x.nn.embedding import Embedding
from seq2x.nn.pooling import valid
from seq2x.nn.recurrent import Recurrent
from seq2x.types import Memory, Want

from .asking import AskingDecoder, beside
from .shape import ModelShape

__all__ = ["CoupledDecoder", "CoupledState"]


class _Source(NamedTuple):
    """What the decoder needs of B sentences, never repeated per beam: `attended`, or the fixed `context` `[B,C]`."""

    attended: Remembered | None
    context: Tensor | None

    def keep(self, rows: Tensor) -> _Source:
        """Only the sentences `rows`."""
        attended = None if self.attended is None else self.attended.keep(rows)
        return _Source(attended, None if self.context is None else self.context[rows])


class _Carry(NamedTuple):
    """What goes from step to step: what the cells carry, `[N,C]` each, and what attention does."""

    first: Tensor
    second: Tensor
    trace: Trace

    def take(self, rows: Tensor) -> _Carry:
        """Row n goes on from what was row `rows[n]`."""
        first, second = (cell.index_select(0, rows) for cell in (self.first, self.second))
        return _Carry(first, second, self.trace.take(rows))


@dataclass(slots=True)
class CoupledState:
    """A `seq2x.types.State`: N = B * `beams` rows against B sentences. No tensor in it is ever written to."""

    source: _Source
    carry: _Carry
    beams: int
    consumed: int
    want: Want

    @property
    def position(self) -> Tensor:
        """`[N]`: how many symbols each row has consumed."""
        like = self.carry.first
        return torch.full((len(like),), self.consumed, dtype=torch.int64, device=like.device)

    def keep(self, rows: Tensor) -> CoupledState:
        """Only the sentences `rows` (ascending) go on, with all their beams."""
        rows = torch.as_tensor(rows, device=self.carry.first.device)
        beams = torch.arange(self.beams, device=rows.device)
        kept = (rows[:, None] * self.beams + beams).flatten()
        return dataclasses.replace(self, source=self.source.keep(rows), carry=self.carry.take(kept))

    def clone(self) -> CoupledState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self)


class CoupledDecoder(AskingDecoder):
    """Two cells of `width` units; the equations stand at the head of this file.

    An own cell for what was said keeps the planning of the next symbol apart from the record of the last ones. It has
    about the weights of a standard decoder of two layers, is slower to train, and is here to be compared with it.
    """

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__(shape, embedding)
        read = shape.embedding_width + self.width
        self.first = Recurrent(shape.kind, read + (0 if self.attends else self.context), self.width)
        self.second = Recurrent(shape.kind, read, self.width)
        self.ask(shape)
        self.read(shape)

    # ------------------------------------------------------------------ the decoder protocol

    def forward(self, memory: Memory, inputs: Tensor, want: Want) -> tuple[Tensor, Tensor | None]:
        """All positions, one after the other: `inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted)."""
        source, carry = self._source(memory), self._begin(memory, len(inputs))
        vectors_NTE = self.embed(inputs)
        context_NC = _per_row(source, len(inputs))
        states = []
        for position, vectors_N1E in enumerate(torch.split(vectors_NTE, 1, 1)):
            state_N1D, carry = self._move(vectors_N1E, context_NC, carry, position)
            states.append(state_N1D)
        outputs_NTD, alpha_NTS, _ = self._answer(torch.cat(states, 1), vectors_NTE, context_NC, source, carry.trace)
        return outputs_NTD, alpha_NTS if "attention" in want else None

    @torch.no_grad()
    def start(self, memory: Memory, beams: int, top: int, want: Want) -> CoupledState:
        """A state for B * `beams` rows that have consumed nothing. Nothing here depends on `top`."""
        rows = len(memory.lengths) * beams
        return CoupledState(self._source(memory), self._begin(memory, rows), beams, 0, want)

    @torch.no_grad()
    def step(self, previous: Tensor, origin: Tensor, state: CoupledState) -> tuple[Tensor, Tensor | None, CoupledState]:
        """Row n continues row `origin[n]` with symbol `previous[n]`: (hidden `[N,D]`, attention `[N,S]`, state)."""
        source, carry = state.source, state.carry.take(origin)
        vectors_N1E = self.embed(previous[:, None])
        context_NC = _per_row(source, len(previous))
        state_N1D, carry = self._move(vectors_N1E, context_NC, carry, state.consumed)
        outputs_N1D, alpha_N1S, trace = self._answer(state_N1D, vectors_N1E, context_NC, source, carry.trace)
        after = dataclasses.replace(state, carry=carry._replace(trace=trace), consumed=state.consumed + 1)
        shown = alpha_N1S[:, 0] if alpha_N1S is not None and "attention" in state.want else None
        return outputs_N1D[:, 0], shown, after

    # ------------------------------------------------------------------ the same in training and in search

    def _source(self, memory: Memory) -> _Source:
        if self.attending is None:
            return _Source(None, memory.parts["contexts"][:, -1])
        mask_BS = valid(memory.lengths, memory.states.shape[1])
        return _Source(self.attending.remember(memory.states, mask_BS), None)

    def _begin(self, memory: Memory, rows: int) -> _Carry:
        zeros = memory.states.new_zeros(rows, self.first.carry_width)
        return _Carry(zeros, zeros, Trace() if self.attending is None else self.attending.begin(rows, memory.states))

    def _move(
        self, vectors_N1E: Tensor, context_NC: Tensor | None, carry: _Carry, position: int
    ) -> tuple[Tensor, _Carry]:
        """Both cells at one position: `h1_t` `[N,1,D]`, and what is carried on. Of `<s>`, cell 2 reads nothing."""
        second = carry.second
        if position:
            said = torch.cat([vectors_N1E, self.dropout(carry.first[:, None, : self.width])], -1)
            _, second = self.second(said, second)
        heard = self.dropout(second[:, None, : self.width])
        context_N1C = None if context_NC is None else context_NC[:, None]
        state_N1D, first = self.first(beside(vectors_N1E, heard, context_N1C), carry.first)
        return state_N1D, _Carry(first, second, carry.trace)

    def _answer(
        self, states_NtD: Tensor, vectors_NtE: Tensor, context_NC: Tensor | None, source: _Source, trace: Trace
    ) -> tuple[Tensor, Tensor | None, Trace]:
        """`o` `[N,t,D]` of t positions, the weights of attention `[N,t,S]` and the trace they leave."""
        context_NtC = alpha_NtS = None
        if context_NC is not None:
            context_NtC = context_NC[:, None].expand(-1, states_NtD.shape[1], -1)
        elif self.attending is not None and source.attended is not None:
            context_NtC, alpha_NtS, trace = self.attending(states_NtD, source.attended, trace)
        return self.dropout(self.read_out(states_NtD, vectors_NtE, context_NtC)), alpha_NtS, trace


def _per_row(source: _Source, rows: int) -> Tensor | None:
    """The fixed context `[N,C]`, each sentence's for all its beams; None if there is none."""
    fixed = source.context
    return None if fixed is None else fixed.repeat_interleave(rows // len(fixed), 0)
