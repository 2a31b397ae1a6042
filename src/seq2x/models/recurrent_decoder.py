"""A recurrent decoder: from a context vector (2014) to attention (2015), over full-sequence kernels.

With e_t the embedding of the symbol before position t, h_t^l the state of layer l and `tanh`, `gru` or `lstm` for f:

    fixed context    h_t^1 = f([e_t; C], h_{t-1}^1)           C of every step only if context_use has "every"
                     h_t^l = f(h_t^{l-1}, h_{t-1}^l)
    attention        C_t   = attention(h_t^a; h_1 .. h_S)     a: the top layer (Luong et al. 2015, section 3);
                     h_t^l = f([h_t^{l-1}; C_t], h_{t-1}^l)   with "every" the first layer, and those above
                                                              read C_t (Wu et al. 2016, section 3)
    input feeding    h_t^1 = f([...; o_{t-1}], h_{t-1}^1)     Luong et al. 2015, section 3.3
    output           o_t   = tanh(W [h_t; e_t; C_t])          output_from "all" (Cho et al. 2014, appendix A.1.2)
                     o_t   = h_t, with attention tanh(W [h_t; C_t])       "state" (Luong et al. 2015, eq. 5)

The state never waits for the attention of its own step before it moves, so that in training every layer is one call
over all positions, and so is attention, unless it looks at its own history (`attention_history`). Only input feeding
has to go step by step throughout, and costs accordingly.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

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

__all__ = ["RecurrentDecoder", "RecurrentState"]


@dataclass(frozen=True, slots=True)
class _Source:
    """What the decoder needs of B sentences; computed once, never repeated per beam.

    `states` `[B,S,M]`, `mask` `[B,S]`, `keys` `[B,S,A]` for attention; `context` `[B,C]` is the fixed context,
    `first` `[B,E]` what it adds to the first input.
    """

    states: Tensor
    mask: Tensor
    keys: Tensor | None
    context: Tensor | None
    first: Tensor | None

    def keep(self, rows: Tensor) -> _Source:
        """Only the sentences `rows`."""
        kept = [None if part is None else part[rows] for part in (self.keys, self.context, self.first)]
        return _Source(self.states[rows], self.mask[rows], *kept)


@dataclass(frozen=True, slots=True)
class _Carry:
    """What goes from step to step: `layers` `[N,C]` each, for input feeding the last `output` `[N,D]`, and where
    attention looks at its history the `trace` of former weights `[N,channels,S]`.
    """

    layers: tuple[Tensor, ...]
    output: Tensor | None
    trace: Tensor | None

    def take(self, rows: Tensor) -> _Carry:
        """Row n goes on from what was row `rows[n]`."""
        fed, trace = (None if part is None else part.index_select(0, rows) for part in (self.output, self.trace))
        return _Carry(tuple(layer.index_select(0, rows) for layer in self.layers), fed, trace)


@dataclass(slots=True)
class RecurrentState:
    """A `seq2x.types.State`: N = B * `beams` rows against B sentences. No tensor in it is ever written to."""

    source: _Source
    carry: _Carry
    position: Tensor
    beams: int
    want: Want

    def keep(self, rows: Tensor) -> RecurrentState:
        """Only the sentences `rows` (ascending) go on, with all their beams."""
        rows = torch.as_tensor(rows, device=self.position.device)
        beams = torch.arange(self.beams, device=rows.device)
        kept = (rows[:, None] * self.beams + beams).flatten()
        return dataclasses.replace(
            self, source=self.source.keep(rows), carry=self.carry.take(kept), position=self.position[kept]
        )

    def clone(self) -> RecurrentState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self)


class RecurrentDecoder(nn.Module):
    """`decoder_layers` layers of `width` units; the equations stand at the head of this file.

    Where C goes (`context_use`, joined by +):

        state   the first state of layer l is C of the encoder's layer of the same depth, through `tanh(W C + b)`
                where sizes differ. Of a deeper encoder the top layers count (its top must not be lost), of a
                shallower one the top layer serves all above it. An LSTM's cell comes from the encoder's cell,
                or from C where q is a mean or another summary of states. Else the first state is zero.
        first   C is added to the first input, as `W C`
        every   C is joined to the input of every step (Cho et al. 2014, section 2.2)

    With attention C_t always reaches the output; "every" joins it to the layers above the first as well.
    Prefer attention; a fixed context is history, small, and constant in memory however long the input. Without a source
    there is no C anywhere: a language model (Mikolov et al. 2010), o_t = h_t or tanh(W [h_t; e_t]).
    """

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__()
        uses, attends = shape.context_uses(), shape.attends()
        directions = 2 if shape.bidirectional else 1
        memory, width, embedded = shape.width * directions, shape.width, shape.embedding_width
        context = 2 * memory if shape.context == "first_last" else memory
        self.embedding, self.dropout = embedding, Dropout(shape.dropout)
        self.width, self.reads = width, shape.source
        self.feeds = shape.input_feeding and attends  # without attention there is nothing to feed
        self.joins_first = "every" in uses and not attends
        self.joins_later = "every" in uses and attends
        self.output_sees_input = shape.output_from == "all"
        self.output_sees_context = attends or (shape.source and shape.output_from == "all")

        inputs = embedded + (context if self.joins_first else 0) + (width if self.feeds else 0)
        later = width + (memory if self.joins_later else 0)
        depths = range(shape.decoder_layers)
        self.layers = nn.ModuleList(Recurrent(shape.kind, later if depth else inputs, width) for depth in depths)
        self.carry_width = 2 * width if shape.kind == "lstm" else width
        self.asking = (0 if self.joins_later else shape.decoder_layers - 1) if attends else None
        self.attention: Attention | None = ATTENTIONS[shape.attention](width, memory) if attends else None
        self.history: History | None = None
        if self.attention is not None:
            self.attention.temperature = shape.attention_temperature
            if shape.attention_history != "none":
                self.history = HISTORIES[shape.attention_history](self.attention.width)
        self.first = _linear(context, embedded) if "first" in uses else None
        self.bridges = _Bridges(shape, context) if "state" in uses else None
        seen = width
        seen += embedded if self.output_sees_input else 0
        seen += context if self.output_sees_context else 0
        self.readout = _linear(seen, width) if seen > width else None

    # ------------------------------------------------------------------ the decoder protocol

    def forward(self, memory: Memory, inputs: Tensor, want: Want) -> tuple[Tensor, Tensor | None]:
        """All positions at once: `inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted)."""
        source = self._source(memory)
        beams = len(inputs) // len(memory.lengths)
        carry = self._begin(memory, beams)
        vectors_NTE = self._embed(inputs)
        if source.first is not None:
            first_NE = source.first.repeat_interleave(beams, 0)
            vectors_NTE = torch.cat([vectors_NTE[:, :1] + first_NE[:, None], vectors_NTE[:, 1:]], 1)
        # Input feeding needs the output of position t before it can begin t + 1; nothing else does.
        pieces = torch.split(vectors_NTE, 1, 1) if self.feeds else (vectors_NTE,)
        hidden, weights = [], []
        for piece in pieces:
            outputs_NtD, alpha_NtS, carry = self._run(piece, source, carry)
            hidden.append(outputs_NtD)
            weights.append(alpha_NtS)
        shown = [alpha for alpha in weights if alpha is not None and "attention" in want]
        return torch.cat(hidden, 1), torch.cat(shown, 1) if shown else None

    @torch.no_grad()
    def start(self, memory: Memory, beams: int, top: int, want: Want) -> RecurrentState:
        """A state for B * `beams` rows that have consumed nothing. Nothing here depends on `top`."""
        position = memory.lengths.new_zeros(len(memory.lengths) * beams)
        return RecurrentState(self._source(memory), self._begin(memory, beams), position, beams, want)

    @torch.no_grad()
    def step(
        self, previous: Tensor, origin: Tensor, state: RecurrentState
    ) -> tuple[Tensor, Tensor | None, RecurrentState]:
        """Row n continues row `origin[n]` with symbol `previous[n]`: (hidden `[N,D]`, attention `[N,S]`, state)."""
        source, position = state.source, state.position[origin]
        vectors_NE = self._embed(previous)
        if source.first is not None:
            first_NE = source.first.repeat_interleave(state.beams, 0)
            vectors_NE = torch.where(position[:, None] == 0, vectors_NE + first_NE, vectors_NE)
        outputs_NtD, alpha_NtS, carry = self._run(vectors_NE[:, None], source, state.carry.take(origin))
        alpha_NS = None if alpha_NtS is None or "attention" not in state.want else alpha_NtS[:, 0]
        after = dataclasses.replace(state, carry=carry, position=position + 1)
        return outputs_NtD[:, 0], alpha_NS, after

    # ------------------------------------------------------------------ the same for one position and for all

    def _embed(self, symbols: Tensor) -> Tensor:
        vectors: Tensor = self.dropout(self.embedding(symbols, symbols != PAD))
        return vectors

    def _source(self, memory: Memory) -> _Source:
        context_BC = memory.parts["contexts"][:, -1] if self.reads else None
        return _Source(
            memory.states,
            valid(memory.lengths, memory.states.shape[1]),
            None if self.attention is None else self.attention.keys(memory.states),
            context_BC if self.attention is None else None,
            None if self.first is None else self.first(context_BC),
        )

    def _begin(self, memory: Memory, beams: int) -> _Carry:
        rows, like = len(memory.lengths) * beams, memory.states
        if self.bridges is None:
            carries = [like.new_zeros(rows, self.carry_width) for _ in self.layers]
        else:
            carries = [carry_BC.repeat_interleave(beams, 0) for carry_BC in self.bridges(memory)]
        fed = like.new_zeros(rows, self.width) if self.feeds else None
        trace = None if self.history is None else self.history.begin(rows, like.shape[1], like)
        return _Carry(tuple(carries), fed, trace)

    def _run(self, vectors_NtE: Tensor, source: _Source, carry: _Carry) -> tuple[Tensor, Tensor | None, _Carry]:
        """`t` positions: outputs `[N,t,D]`, attention `[N,t,S]`, and what is carried on."""
        N, t, _ = vectors_NtE.shape
        context_NtC = alpha_NtS = None
        if source.context is not None:
            rows = source.context.repeat_interleave(N // len(source.context), 0)
            context_NtC = rows[:, None].expand(N, t, -1)
        states = _join(
            vectors_NtE,
            context_NtC if self.joins_first else None,
            None if carry.output is None else carry.output[:, None],
        )
        carries, trace = [], carry.trace
        for depth, layer in enumerate(self.layers):
            if depth:
                states = _join(self.dropout(states), context_NtC if self.joins_later else None)
            states, end = layer(states, carry.layers[depth])
            carries.append(end)
            if depth == self.asking:
                context_NtC, alpha_NtS, trace = self._attend(states, source, trace)
        outputs_NtD = self._read_out(states, vectors_NtE, context_NtC)
        fed = outputs_NtD[:, -1] if self.feeds else None
        return self.dropout(outputs_NtD), alpha_NtS, _Carry(tuple(carries), fed, trace)

    def _attend(
        self, states_NtD: Tensor, source: _Source, trace: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Contexts `[N,t,M]`, weights `[N,t,S]` and the trace they leave: all beams and positions of a sentence are its
        queries, at once unless a query depends on the weights before it.
        """
        assert self.attention is not None and source.keys is not None  # by construction: told to mypy
        N, t, D = states_NtD.shape
        if self.history is not None and trace is not None:
            alpha_NtS, trace = self._one_by_one(self.history, self.attention, states_NtD, source, trace)
            context_BQM = alpha_NtS.reshape(len(source.mask), -1, alpha_NtS.shape[-1]) @ source.states
            return context_BQM.view(N, t, -1), alpha_NtS, trace
        queries_BQD = states_NtD.reshape(len(source.mask), -1, D)
        context_BQM, alpha_BQS = self.attention(queries_BQD, source.keys, source.states, source.mask)
        return context_BQM.view(N, t, -1), alpha_BQS.view(N, t, -1), None

    @staticmethod
    def _one_by_one(
        history: History, attention: Attention, states_NtD: Tensor, source: _Source, trace: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weights `[N,t,S]`, each position's from the trace of those before it, and the last trace."""
        assert source.keys is not None
        beams = len(states_NtD) // len(source.mask)
        keys_NSA, mask_NS = (part.repeat_interleave(beams, 0) for part in (source.keys, source.mask))
        weights = []
        for query_N1D in torch.split(states_NtD, 1, 1):
            alpha_N1S = attention.weights(query_N1D, keys_NSA + history(trace), mask_NS)
            trace = history.after(trace, alpha_N1S[:, 0])
            weights.append(alpha_N1S)
        return torch.cat(weights, 1), trace

    def _read_out(self, states_NtD: Tensor, vectors_NtE: Tensor, context_NtC: Tensor | None) -> Tensor:
        if self.readout is None:
            return states_NtD
        seen = _join(
            states_NtD,
            vectors_NtE if self.output_sees_input else None,
            context_NtC if self.output_sees_context else None,
        )
        return torch.tanh(self.readout(seen))


class _Bridges(nn.Module):
    """What the decoder's layers begin with, made from the encoder's layers of the same depth."""

    def __init__(self, shape: ModelShape, context: int) -> None:
        super().__init__()
        lstm, ends = shape.kind == "lstm", shape.context in ("last", "attention")
        top, deeper = shape.encoder_layers - 1, max(0, shape.encoder_layers - shape.decoder_layers)
        self.depths = [min(depth + deeper, top) for depth in range(shape.decoder_layers)]
        self.cells_from = shape.encoder_layers if ends else None  # where the cells stand in `Memory.finals`
        fits = context == shape.width
        self.states = nn.ModuleList(_linear(context, shape.width) for _ in self.depths if not fits)
        self.cells = nn.ModuleList(_linear(context, shape.width) for _ in self.depths if lstm and not (fits and ends))
        self.lstm = lstm

    def forward(self, memory: Memory) -> list[Tensor]:
        """For each layer of the decoder `[B,C]`."""
        carries = []
        for layer, depth in enumerate(self.depths):
            context_BC = memory.parts["contexts"][:, depth]
            carry = torch.tanh(self.states[layer](context_BC)) if len(self.states) else context_BC
            if self.lstm:
                cell = context_BC if self.cells_from is None else memory.finals[self.cells_from + depth]
                carry = torch.cat([carry, self.cells[layer](cell) if len(self.cells) else cell], -1)
            carries.append(carry)
        return carries


def _linear(inputs: int, outputs: int) -> Affine:
    """A linear layer that keeps the size of what goes through, forward and back (Glorot & Bengio 2010)."""
    layer = Affine(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _join(first: Tensor, *others: Tensor | None) -> Tensor:
    """All that is there, side by side along the last axis."""
    parts = [first, *(other for other in others if other is not None)]
    return torch.cat(parts, -1) if len(parts) > 1 else first
