"""The convolutional decoder (Gehring et al. 2017): causal blocks, and attention in every one of them.

With g_t the embedding of the symbol before position t and of that position, and k the `kernel_width`:

    h^0_t = W g_t + b
    h^l_t = block([h^{l-1}_{t-k+1}; ..; h^{l-1}_t]),   then attention asked by h^l_t and g_t   (`seq2x.nn.convolution`)
    o_t   = W_o h^L_t + b_o

No position waits for another: training is one pass over all of them. A search keeps, for each layer, the last k - 1 of
its inputs: the state of a row has the same size at every step, and no step costs more than the one before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from seq2x.nn.convolution import Map, Normed, ask, convolve, joined, windows
from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import Embedding
from seq2x.nn.pooling import valid
from seq2x.types import PAD, Memory, Want

from .convolutional_encoder import positions
from .shape import ModelShape

__all__ = ["ConvolutionalDecoder", "ConvolutionalState"]


class _Source(NamedTuple):
    """What the decoder needs of B sentences: `keys` and `values` `[B,S,E]`, `mask` `[B,S]`; never repeated per beam."""

    keys: Tensor
    values: Tensor
    mask: Tensor


class _Maps(NamedTuple):
    """The affine maps of one layer: `filters` from a window, `query` to what is asked, `context` from the answer; the
    last two where there is a source to ask.
    """

    filters: Map
    query: Map | None
    context: Map | None


class _Made(NamedTuple):
    """All maps of the decoder with their matrices made."""

    first: Map
    layers: tuple[_Maps, ...]
    last: Map


@dataclass(slots=True)
class ConvolutionalState:
    """A `seq2x.types.State`: N = B * `beams` rows against B sentences. No tensor in it is ever written to.

    `past` `[L,N,k-1,D]`: the inputs of each layer at the last k - 1 positions, the oldest first, zeros before the
    first. `made`: matrices that are normalised once for all steps.
    """

    source: _Source | None
    made: _Made
    past: Tensor
    beams: int
    consumed: int
    want: Want

    @property
    def position(self) -> Tensor:
        """`[N]`: how many symbols each row has consumed."""
        return torch.full((self.past.shape[1],), self.consumed, dtype=torch.int64, device=self.past.device)

    def keep(self, rows: Tensor) -> ConvolutionalState:
        """Only the sentences `rows` (ascending) go on, with all their beams."""
        rows = torch.as_tensor(rows, device=self.past.device)
        beams = torch.arange(self.beams, device=rows.device)
        kept = (rows[:, None] * self.beams + beams).flatten()
        source = None if self.source is None else _Source(*(part.index_select(0, rows) for part in self.source))
        return dataclasses.replace(self, source=source, past=self.past.index_select(1, kept))

    def clone(self) -> ConvolutionalState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self)


class _Layer(nn.Module):
    """The weights of one layer, as `_Maps` of two kinds."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        width, embedded, keep = shape.width, shape.embedding_width, 1.0 - shape.dropout
        self.filters = Normed(shape.kernel_width * width, 2 * width, keep, gated=True)
        self.query = Normed(width, embedded) if shape.source else None
        self.context = Normed(embedded, width) if shape.source else None

    def maps(self) -> _Maps:
        """For training: each use makes its matrix, and has a gradient."""
        return _Maps(self.filters, self.query, self.context)

    def made(self) -> _Maps:
        """For a search."""
        asking = (None if part is None else part.made() for part in (self.query, self.context))
        return _Maps(self.filters.made(), *asking)


class ConvolutionalDecoder(nn.Module):
    """`decoder_layers` blocks of `kernel_width` inputs each; the equations stand at the head of this file.

    A position sees the L (k-1) + 1 symbols before it, no more: what matters over a longer span wants more layers, a
    wider kernel, or another kind of decoder. The attention it shows is that of its last layer, as a Transformer's.
    Without a source it is blocks alone: a language model (Dauphin et al. 2017).
    """

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__()
        width, embedded = shape.width, shape.embedding_width
        self.embedding, self.dropout = embedding, Dropout(shape.dropout)
        self.width, self.kernel, self.reads = width, shape.kernel_width, shape.source
        self.positions = positions(shape, shape.max_target_length, "target")
        self.first = Normed(embedded, width, 1.0 - shape.dropout)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.decoder_layers))
        self.last = Normed(width, width)

    def forward(self, memory: Memory, inputs: Tensor, want: Want) -> tuple[Tensor, Tensor | None]:
        """All positions at once: `inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted)."""
        source, embedded_NTE = self._source(memory), self._embed(inputs)
        x: Tensor = self.first(embedded_NTE).to(embedded_NTE.dtype)
        alpha_NTS = None
        for layer in self._layers():
            window = windows(self.dropout(x), self.kernel, self.kernel - 1)
            x, alpha_NTS = _layer(window, x, embedded_NTE, source, layer.maps())
        return self.dropout(self.last(x).to(x.dtype)), alpha_NTS if "attention" in want else None

    @torch.no_grad()
    def start(self, memory: Memory, beams: int, top: int, want: Want) -> ConvolutionalState:
        """A state for B * `beams` rows that have consumed nothing. Nothing here depends on `top`."""
        made = _Made(self.first.made(), tuple(layer.made() for layer in self._layers()), self.last.made())
        rows = len(memory.lengths) * beams
        past = memory.states.new_zeros(len(self.layers), rows, self.kernel - 1, self.width)
        return ConvolutionalState(self._source(memory), made, past, beams, 0, want)

    @torch.no_grad()
    def step(
        self, previous: Tensor, origin: Tensor, state: ConvolutionalState
    ) -> tuple[Tensor, Tensor | None, ConvolutionalState]:
        """Row n continues row `origin[n]` with symbol `previous[n]`: (hidden `[N,D]`, attention `[N,S]`, state)."""
        embedded_N1E = self._embed(previous[:, None], state.consumed)
        x: Tensor = state.made.first(embedded_N1E)
        seen, alpha_N1S = [], None
        for past, maps in zip(state.past.index_select(1, origin), state.made.layers, strict=True):
            inputs_NkD = torch.cat([past, x], 1)
            seen.append(inputs_NkD[:, 1:])
            x, alpha_N1S = _layer(inputs_NkD.flatten(1)[:, None], x, embedded_N1E, state.source, maps)
        after = dataclasses.replace(state, past=torch.stack(seen), consumed=state.consumed + 1)
        shown = alpha_N1S[:, 0] if alpha_N1S is not None and "attention" in state.want else None
        return state.made.last(x)[:, 0], shown, after

    def _layers(self) -> Iterable[_Layer]:
        return cast(Iterable[_Layer], self.layers)

    def _source(self, memory: Memory) -> _Source | None:
        if not self.reads:
            return None
        return _Source(memory.states, memory.parts["values"], valid(memory.lengths, memory.states.shape[1]))

    def _embed(self, symbols_NT: Tensor, start: int = 0) -> Tensor:
        """`g` `[N,T,E]`, of which the first position is `start`."""
        embedded: Tensor = self.dropout(self.positions(self.embedding(symbols_NT, symbols_NT != PAD), start))
        return embedded


def _layer(
    window: Tensor, x: Tensor, embedded: Tensor, source: _Source | None, maps: _Maps
) -> tuple[Tensor, Tensor | None]:
    """One layer at t positions: `window` `[N,t,k*D]`, `x` `[N,t,D]`, `embedded` `[N,t,E]` -> (`[N,t,D]`, `[N,t,S]`).

    All beams and positions of a sentence are its queries.
    """
    x = convolve(window, x, maps.filters)
    if source is None or maps.query is None or maps.context is None:
        return x, None
    query = joined(maps.query(x), embedded)
    B, N, t = len(source.keys), *x.shape[:2]
    context_BQE, alpha_BQS = ask(query.reshape(B, -1, query.shape[-1]), *source)
    return joined(maps.context(context_BQE.view(N, t, -1)), x), alpha_BQS.view(N, t, -1)
