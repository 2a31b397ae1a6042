"""A recurrent decoder: from a context vector (2014) to attention (2015), over full-sequence kernels.

With e_t the embedding of the symbol before position t, h_t^l the state of layer l and `tanh`, `gru` or `lstm` for f:

    fixed context    h_t^1 = f([e_t; C], h_{t-1}^1)           C of every step only if context_use has "every"
                     h_t^l = f(h_t^{l-1}, h_{t-1}^l)
    attention        C_t   = attention(h_t^a; h_1 .. h_S)     a: the top layer (Luong et al. 2015, section 3);
                     h_t^l = f([h_t^{l-1}; C_t], h_{t-1}^l)   with "every" the first layer, and those above
                                                              read C_t (Wu et al. 2016, section 3)
    input feeding    h_t^1 = f([...; o_{t-1}], h_{t-1}^1)     Luong et al. 2015, section 3.3

The output o_t stands in `asking`, what attention is made of in `seq2x.nn.attending`. The state never waits for the
attention of its own step before it moves, so that in training every layer is one call over all positions, and so are
the scores of attention, unless it looks at its own history (`attention_history`). Only input feeding has to go step by
step throughout, and costs accordingly.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2x.nn.attending import Remembered, Trace
from seq2x.nn.embedding import Embedding
from seq2x.nn.pooling import valid
from seq2x.nn.recurrent import Recurrent
from seq2x.types import Memory, Want

from .asking import AskingDecoder, beside, linear
from .shape import ModelShape

__all__ = ["RecurrentDecoder", "RecurrentState"]


@dataclass(frozen=True, slots=True)
class _Source:
    """What the decoder needs of B sentences; computed once, never repeated per beam.

    `attended` for attention; `context` `[B,C]` is the fixed context, `first` `[B,E]` what it adds to the first input.
    """

    attended: Remembered | None
    context: Tensor | None
    first: Tensor | None

    def keep(self, rows: Tensor) -> _Source:
        """Only the sentences `rows`."""
        attended = None if self.attended is None else self.attended.keep(rows)
        return _Source(attended, *(None if part is None else part[rows] for part in (self.context, self.first)))


@dataclass(frozen=True, slots=True)
class _Carry:
    """What goes from step to step: `layers` `[N,C]` each, for input feeding the last `output` `[N,D]`, and the `trace`
    of attention that depends on its former weights.
    """

    layers: tuple[Tensor, ...]
    output: Tensor | None
    trace: Trace

    def take(self, rows: Tensor) -> _Carry:
        """Row n goes on from what was row `rows[n]`."""
        fed = None if self.output is None else self.output.index_select(0, rows)
        return _Carry(tuple(layer.index_select(0, rows) for layer in self.layers), fed, self.trace.take(rows))


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


class RecurrentDecoder(AskingDecoder):
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
        super().__init__(shape, embedding)
        uses, width, embedded = shape.context_uses(), shape.width, shape.embedding_width
        self.feeds = shape.input_feeding and self.attends  # without attention there is nothing to feed
        self.joins_first = "every" in uses and not self.attends
        self.joins_later = "every" in uses and self.attends
        inputs = embedded + (self.context if self.joins_first else 0) + (width if self.feeds else 0)
        later = width + (self.memory if self.joins_later else 0)
        depths = range(shape.decoder_layers)
        self.layers = nn.ModuleList(Recurrent(shape.kind, later if depth else inputs, width) for depth in depths)
        self.carry_width = 2 * width if shape.kind == "lstm" else width
        self.asking = (0 if self.joins_later else shape.decoder_layers - 1) if self.attends else None
        self.ask(shape)
        self.first = linear(self.context, embedded) if "first" in uses else None
        self.bridges = _Bridges(shape, self.context) if "state" in uses else None
        self.read(shape)

    # ------------------------------------------------------------------ the decoder protocol

    def forward(self, memory: Memory, inputs: Tensor, want: Want) -> tuple[Tensor, Tensor | None]:
        """All positions at once: `inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted)."""
        source = self._source(memory)
        beams = len(inputs) // len(memory.lengths)
        carry = self._begin(memory, beams)
        vectors_NTE = self.embed(inputs)
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
        vectors_NE = self.embed(previous)
        if source.first is not None:
            first_NE = source.first.repeat_interleave(state.beams, 0)
            vectors_NE = torch.where(position[:, None] == 0, vectors_NE + first_NE, vectors_NE)
        outputs_NtD, alpha_NtS, carry = self._run(vectors_NE[:, None], source, state.carry.take(origin))
        alpha_NS = None if alpha_NtS is None or "attention" not in state.want else alpha_NtS[:, 0]
        after = dataclasses.replace(state, carry=carry, position=position + 1)
        return outputs_NtD[:, 0], alpha_NS, after

    # ------------------------------------------------------------------ the same for one position and for all

    def _source(self, memory: Memory) -> _Source:
        context_BC = memory.parts["contexts"][:, -1] if self.reads else None
        first = None if self.first is None else self.first(context_BC)
        if self.attending is None:
            return _Source(None, context_BC, first)
        mask_BS = valid(memory.lengths, memory.states.shape[1])
        return _Source(self.attending.remember(memory.states, mask_BS), None, first)

    def _begin(self, memory: Memory, beams: int) -> _Carry:
        rows, like = len(memory.lengths) * beams, memory.states
        if self.bridges is None:
            carries = [like.new_zeros(rows, self.carry_width) for _ in self.layers]
        else:
            carries = [carry_BC.repeat_interleave(beams, 0) for carry_BC in self.bridges(memory)]
        fed = like.new_zeros(rows, self.width) if self.feeds else None
        trace = Trace() if self.attending is None else self.attending.begin(rows, like)
        return _Carry(tuple(carries), fed, trace)

    def _run(self, vectors_NtE: Tensor, source: _Source, carry: _Carry) -> tuple[Tensor, Tensor | None, _Carry]:
        """`t` positions: outputs `[N,t,D]`, attention `[N,t,S]`, and what is carried on."""
        N, t, _ = vectors_NtE.shape
        context_NtC = alpha_NtS = None
        if source.context is not None:
            rows = source.context.repeat_interleave(N // len(source.context), 0)
            context_NtC = rows[:, None].expand(N, t, -1)
        states = beside(
            vectors_NtE,
            context_NtC if self.joins_first else None,
            None if carry.output is None else carry.output[:, None],
        )
        carries, trace = [], carry.trace
        for depth, layer in enumerate(self.layers):
            if depth:
                states = beside(self.dropout(states), context_NtC if self.joins_later else None)
            states, end = layer(states, carry.layers[depth])
            carries.append(end)
            if self.attending is not None and source.attended is not None and depth == self.asking:
                context_NtC, alpha_NtS, trace = self.attending(states, source.attended, trace)
        outputs_NtD = self.read_out(states, vectors_NtE, context_NtC)
        fed = outputs_NtD[:, -1] if self.feeds else None
        return self.dropout(outputs_NtD), alpha_NtS, _Carry(tuple(carries), fed, trace)


class _Bridges(nn.Module):
    """What the decoder's layers begin with, made from the encoder's layers of the same depth."""

    def __init__(self, shape: ModelShape, context: int) -> None:
        super().__init__()
        lstm, ends = shape.kind == "lstm", shape.context in ("last", "attention")
        top, deeper = shape.encoder_layers - 1, max(0, shape.encoder_layers - shape.decoder_layers)
        self.depths = [min(depth + deeper, top) for depth in range(shape.decoder_layers)]
        self.cells_from = shape.encoder_layers if ends else None  # where the cells stand in `Memory.finals`
        fits = context == shape.width
        self.states = nn.ModuleList(linear(context, shape.width) for _ in self.depths if not fits)
        self.cells = nn.ModuleList(linear(context, shape.width) for _ in self.depths if lstm and not (fits and ends))
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
