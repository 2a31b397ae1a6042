"""The coupled decoder: one cell says the next symbol, another reads what was said, and each hears of the other.

With e_t the embedding of the symbol before position t (e_{t+1} that of y_t) and f `tanh`, `gru` or `lstm`:

    cell 1    h1_t = f1([e_t; h2_{t-1}; C], h1_{t-1})         C only where it is fixed (`context` not attention)
    output    o_t  = tanh(W [h1_t; e_t; C_t])                 output_from "all"
              o_t  = h1_t, with attention tanh(W [h1_t; C_t])                "state"
    cell 2    h2_t = f2([e_{t+1}; h1_t], h2_{t-1})
    start     h1_0 = h2_0 = 0 (and an LSTM's cells)

With attention, C_t = attention(h1_t; h_1 .. h_S): cell 1 moves first, then asks, so that its question knows y_{t-1} and
attention of all positions is one call in training (docs/decisions/003-recurrent-models.md). Asked before the move, C_t
would be an input of cell 1, and what is asked would not know y_{t-1}.

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
from torch import Tensor, nn

from seq2x.nn.attention import ATTENTIONS, Attention
from seq2x.nn.attention_history import HISTORIES, History
from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import Embedding
from seq2x.nn.pooling import valid
from seq2x.nn.products import Affine
from seq2x.nn.recurrent import Recurrent
from seq2x.types import PAD, Memory, Want

from .shape import ModelShape

__all__ = ["CoupledDecoder", "CoupledState"]


class _Source(NamedTuple):
    """What the decoder needs of B sentences, never repeated per beam: `states` `[B,S,M]`, `mask` `[B,S]`; `keys`
    `[B,S,A]` for attention, or the fixed `context` `[B,C]`.
    """

    states: Tensor
    mask: Tensor
    keys: Tensor | None
    context: Tensor | None


class _Carry(NamedTuple):
    """What goes from step to step: what the cells carry, `[N,C]` each, and the `trace` of former attention, if any."""

    first: Tensor
    second: Tensor
    trace: Tensor | None

    def take(self, rows: Tensor) -> _Carry:
        """Row n goes on from what was row `rows[n]`."""
        return _Carry(*(None if part is None else part.index_select(0, rows) for part in self))  # type: ignore[arg-type]


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
        states, mask, *others = (None if part is None else part.index_select(0, rows) for part in self.source)
        assert states is not None and mask is not None  # they always are: told to mypy
        return dataclasses.replace(self, source=_Source(states, mask, *others), carry=self.carry.take(kept))

    def clone(self) -> CoupledState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self)


class CoupledDecoder(nn.Module):
    """Two cells of `width` units; the equations stand at the head of this file.

    An own cell for what was said keeps the planning of the next symbol apart from the record of the last ones. It has
    about the weights of a standard decoder of two layers, is slower to train, and is here to be compared with it.
    """

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__()
        attends, directions = shape.context == "attention", 2 if shape.bidirectional else 1
        width, embedded, memory = shape.width, shape.embedding_width, shape.width * directions
        context = 2 * memory if shape.context == "first_last" else memory
        self.embedding, self.dropout, self.width = embedding, Dropout(shape.dropout), width
        self.first = Recurrent(shape.kind, embedded + width + (0 if attends else context), width)
        self.second = Recurrent(shape.kind, embedded + width, width)
        self.attention: Attention | None = ATTENTIONS[shape.attention](width, memory) if attends else None
        self.history: History | None = None
        if self.attention is not None:
            self.attention.temperature = shape.attention_temperature
            if shape.attention_history != "none":
                self.history = HISTORIES[shape.attention_history](self.attention.width)
        self.sees_input = shape.output_from == "all"
        self.sees_context = attends or self.sees_input
        self.readout: Affine | None = None
        if self.sees_context:
            self.readout = Affine(width + (embedded if self.sees_input else 0) + context, width)
            nn.init.xavier_uniform_(self.readout.weight)
            nn.init.zeros_(self.readout.bias)

    # ------------------------------------------------------------------ the decoder protocol

    def forward(self, memory: Memory, inputs: Tensor, want: Want) -> tuple[Tensor, Tensor | None]:
        """All positions, one after the other: `inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted)."""
        source = self._source(memory)
        carry = self._begin(source, len(inputs))
        vectors_NTE = self._embed(inputs)
        context_NC = None if source.context is None else _per_row(source.context, len(inputs))
        states = []
        for position, vectors_N1E in enumerate(torch.split(vectors_NTE, 1, 1)):
            state_N1D, carry = self._move(vectors_N1E, context_NC, carry, position)
            states.append(state_N1D)
        outputs_NTD, alpha_NTS, _ = self._answer(torch.cat(states, 1), vectors_NTE, context_NC, source, carry.trace)
        return outputs_NTD, alpha_NTS if "attention" in want else None

    @torch.no_grad()
    def start(self, memory: Memory, beams: int, top: int, want: Want) -> CoupledState:
        """A state for B * `beams` rows that have consumed nothing. Nothing here depends on `top`."""
        source = self._source(memory)
        return CoupledState(source, self._begin(source, len(source.mask) * beams), beams, 0, want)

    @torch.no_grad()
    def step(self, previous: Tensor, origin: Tensor, state: CoupledState) -> tuple[Tensor, Tensor | None, CoupledState]:
        """Row n continues row `origin[n]` with symbol `previous[n]`: (hidden `[N,D]`, attention `[N,S]`, state)."""
        source, carry = state.source, state.carry.take(origin)
        vectors_N1E = self._embed(previous[:, None])
        context_NC = None if source.context is None else _per_row(source.context, len(previous))
        state_N1D, carry = self._move(vectors_N1E, context_NC, carry, state.consumed)
        outputs_N1D, alpha_N1S, trace = self._answer(state_N1D, vectors_N1E, context_NC, source, carry.trace)
        after = dataclasses.replace(state, carry=carry._replace(trace=trace), consumed=state.consumed + 1)
        shown = alpha_N1S[:, 0] if alpha_N1S is not None and "attention" in state.want else None
        return outputs_N1D[:, 0], shown, after

    # ------------------------------------------------------------------ the same in training and in search

    def _embed(self, symbols: Tensor) -> Tensor:
        vectors: Tensor = self.dropout(self.embedding(symbols, symbols != PAD))
        return vectors

    def _source(self, memory: Memory) -> _Source:
        mask_BS = valid(memory.lengths, memory.states.shape[1])
        if self.attention is None:
            return _Source(memory.states, mask_BS, None, memory.parts["contexts"][:, -1])
        return _Source(memory.states, mask_BS, self.attention.keys(memory.states), None)

    def _begin(self, source: _Source, rows: int) -> _Carry:
        zeros = source.states.new_zeros(rows, self.first.carry_width)
        like = source.states
        return _Carry(zeros, zeros, None if self.history is None else self.history.begin(rows, like.shape[1], like))

    def _move(
        self, vectors_N1E: Tensor, context_NC: Tensor | None, carry: _Carry, position: int
    ) -> tuple[Tensor, _Carry]:
        """Both cells at one position: `h1_t` `[N,1,D]`, and what is carried on. Of `<s>`, cell 2 reads nothing."""
        second = carry.second
        if position:
            said = torch.cat([vectors_N1E, self.dropout(carry.first[:, None, : self.width])], -1)
            _, second = self.second(said, second)
        inputs = [vectors_N1E, self.dropout(second[:, None, : self.width])]
        inputs += [] if context_NC is None else [context_NC[:, None]]
        state_N1D, first = self.first(torch.cat(inputs, -1), carry.first)
        return state_N1D, _Carry(first, second, carry.trace)

    def _answer(
        self, states_NtD: Tensor, vectors_NtE: Tensor, context_NC: Tensor | None, source: _Source, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """`o` `[N,t,D]` of t positions, the weights of attention `[N,t,S]` and the trace they leave."""
        seen, alpha_NtS = [states_NtD], None
        if self.sees_input:
            seen.append(vectors_NtE)
        if self.attention is not None:
            alpha_NtS, trace = self._weights(self.attention, states_NtD, source, trace)
            contexts_BQM = alpha_NtS.reshape(len(source.mask), -1, alpha_NtS.shape[-1]) @ source.states
            seen.append(contexts_BQM.view(*states_NtD.shape[:2], -1))
        elif self.sees_context and context_NC is not None:
            seen.append(context_NC[:, None].expand(-1, states_NtD.shape[1], -1))
        outputs = states_NtD if self.readout is None else torch.tanh(self.readout(torch.cat(seen, -1)))
        return self.dropout(outputs), alpha_NtS, trace

    def _weights(
        self, attention: Attention, states_NtD: Tensor, source: _Source, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """`[N,t,S]`: all beams and positions of a sentence are its queries, at once unless a query depends on the
        weights before it.
        """
        assert source.keys is not None  # there is attention: told to mypy
        N, t, D = states_NtD.shape
        if self.history is None or trace is None:
            queries_BQD = states_NtD.reshape(len(source.mask), -1, D)
            return attention.weights(queries_BQD, source.keys, source.mask).view(N, t, -1), None
        keys_NSA, mask_NS = _per_row(source.keys, N), _per_row(source.mask, N)
        weights = []
        for query_N1D in torch.split(states_NtD, 1, 1):
            weights.append(attention.weights(query_N1D, keys_NSA + self.history(trace), mask_NS))
            trace = self.history.after(trace, weights[-1][:, 0])
        return torch.cat(weights, 1), trace


def _per_row(of_sentence: Tensor, rows: int) -> Tensor:
    """`[B,...]` -> `[N,...]`: each sentence's, for all its beams."""
    return of_sentence.repeat_interleave(rows // len(of_sentence), 0)
