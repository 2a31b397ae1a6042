"""The Transformer's decoder: all positions at once in training, one at a time over kept keys and values in search.

Beams are queries here too. What a search has consumed is kept once per sentence: slot `t * K + k` holds the keys and
values of what beam k read at step t. Hypotheses change beams all the time, slots never move; a table says which of a
sentence's slots belong to the past of each beam, and attention looks at those.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import Embedding
from seq2x.nn.multihead import Past, key_mask, valid_positions
from seq2x.nn.norms import norm
from seq2x.nn.transformer import DecoderLayer, Remembered
from seq2x.types import NOTHING, PAD, Memory, Want

from .shape import ModelShape
from .transformer_encoder import layer_shape, positions

__all__ = ["TransformerDecoder", "TransformerState"]

_ROOM = 32  # steps by which the kept keys and values grow: rarely copied, little left unused


@dataclass(slots=True)
class TransformerState:
    """What the decoder carries. Spent by the step it is given to: the buffers belong to the next state.

    `memory`: per layer the keys and values of each sentence, `[B,H,S,d]`, None without a source, and `mask` `[B,1,1,S]`
    or None: computed once, never repeated for beams. `cache` `[layers,2,B,H,room*K,d]`: keys and values of the
    `consumed` steps so far. `ancestry` `[B,1,K,consumed*K]`: true where a slot is in the past of a beam; None for a
    single beam, whose past is all of it.
    """

    memory: list[Remembered | None]
    mask: Tensor | None
    cache: Tensor
    ancestry: Tensor | None
    beams: int
    consumed: int
    want: Want

    @property
    def position(self) -> Tensor:
        """`[N]`: how many symbols each row has consumed."""
        rows = self.cache.shape[2] * self.beams
        return torch.full((rows,), self.consumed, dtype=torch.int64, device=self.cache.device)

    def keep(self, rows: Tensor) -> TransformerState:
        """Only the sentences `rows` `[B']` go on, with all their beams."""
        rows = torch.as_tensor(rows, device=self.cache.device)
        return dataclasses.replace(
            self,
            memory=[
                None if kept is None else (kept[0].index_select(0, rows), kept[1].index_select(0, rows))
                for kept in self.memory
            ],
            mask=None if self.mask is None else self.mask.index_select(0, rows),
            cache=self.cache.index_select(2, rows),
            ancestry=None if self.ancestry is None else self.ancestry.index_select(0, rows),
        )

    def clone(self) -> TransformerState:
        """A copy that a later step cannot spend. (Only `cache` is ever written to; the rest is shared.)"""
        return dataclasses.replace(self, cache=self.cache.clone())


class TransformerDecoder(nn.Module):
    """`decoder_layers` layers over embedded symbols and an encoder's memory (Vaswani et al. 2017, section 3.1).

    The attention it shows is the mean over the heads of its last layer. A pointer-generator copies by the first of
    these heads, and that is what is shown: one head can be sharp while the others look elsewhere, their mean only where
    all of them agree. Not `causal` (decoder = mask_predict), every position sees all of its sequence, and there is no
    step. Without a source its layers look at what was written alone, and it is a language model (Al-Rfou et al. 2019).
    """

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__()
        self.heads, self.head_width = shape.heads, shape.width // shape.heads
        self.causal = shape.decoder != "mask_predict"
        self.embedding, self.dropout = embedding, Dropout(shape.dropout)
        self.positions, rotary = positions(shape, shape.max_target_length, "target")
        layers = range(1, shape.decoder_layers + 1)
        self.layers = nn.ModuleList(DecoderLayer(layer_shape(shape), depth, rotary, shape.source) for depth in layers)
        if shape.copy == "generator":
            cross = cast(DecoderLayer, self.layers[-1]).cross
            assert cross is not None  # what copies has a source
            cross.shown = 0
        self.norm = norm(shape.norm, shape.width) if shape.norm_position == "pre" else None

    def forward(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> tuple[Tensor, Tensor | None]:
        """`inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted); N = B*K rows, B memories."""
        remembered, mask = self._remember(memory)
        # Where attention looks back only, padding could touch no real position, were it not for 0 * NaN.
        valid = inputs != PAD
        within = None if self.causal else key_mask(valid)
        x: Tensor = self.embedding(inputs, valid)
        if self.positions is not None:
            x = self.positions(x)
        x = self.dropout(x)
        weights = None
        for depth, layer in enumerate(self.layers):
            wanted = "attention" in want and depth == len(self.layers) - 1
            x, weights = layer(x, valid, remembered[depth], mask, wanted, within)
        return x if self.norm is None else self.norm(x, valid), weights

    @torch.no_grad()
    def start(self, memory: Memory, beams: int, top: int = 0, want: Want = NOTHING) -> TransformerState:
        """A state for B * `beams` rows that have consumed nothing."""
        remembered, mask = self._remember(memory)
        sentences, states = len(memory.states), memory.states
        cache = states.new_empty(len(self.layers), 2, sentences, self.heads, 0, self.head_width)
        none = torch.empty(sentences, 1, beams, 0, dtype=torch.bool, device=states.device)
        return TransformerState(remembered, mask, cache, none if beams > 1 else None, beams, 0, want)

    @torch.no_grad()
    def step(
        self, previous: Tensor, origin: Tensor, state: TransformerState
    ) -> tuple[Tensor, Tensor | None, TransformerState]:
        """Row n continues row `origin[n]` with `previous[n]`: (hidden `[N,D]`, attention `[N,S]` if wanted, state).

        A row continues a row of its own sentence. `PAD` is what a place without a hypothesis consumes: it is read as
        nothing, because others of its sentence pass it by with weight zero, and 0 * NaN would be NaN.
        """
        position, beams = state.consumed, state.beams
        cache, ancestry = _with_room(state.cache, beams * (position + 1), beams), _continued(state, origin)
        x: Tensor = self.embedding(previous, previous != PAD)[:, None]
        if self.positions is not None:
            x = self.positions(x, position)
        weights = None
        for depth, layer in enumerate(self.layers):
            wanted = "attention" in state.want and depth == len(self.layers) - 1
            past = Past(cache[depth], ancestry, position)
            x, weights = cast(DecoderLayer, layer).step(x, past, state.memory[depth], state.mask, wanted)
        if self.norm is not None:
            x = self.norm(x)
        after = dataclasses.replace(state, cache=cache, ancestry=ancestry, consumed=position + 1)
        return x.squeeze(1), None if weights is None else weights.squeeze(1), after

    def remember(self, memory: Memory) -> Memory:
        """`memory` with what every layer looks at among its parts: computed once, however often it is looked at."""
        return dataclasses.replace(memory, parts={**memory.parts, "remembered": self._remember(memory)})

    def _remember(self, memory: Memory) -> tuple[list[Remembered | None], Tensor | None]:
        """Keys and values of every layer over `memory`, and the mask of its padding."""
        if (found := memory.parts.get("remembered")) is not None:
            both: tuple[list[Remembered | None], Tensor | None] = found
            return both
        remembered = [cast(DecoderLayer, layer).remember(memory.states) for layer in self.layers]
        return remembered, key_mask(valid_positions(memory.lengths, memory.states.shape[1], memory.states.device))


def _continued(state: TransformerState, origin: Tensor) -> Tensor | None:
    """`[B,1,K,(consumed+1)*K]`: each beam has the past of the beam that it continues, and its own new slot."""
    before = state.ancestry
    if before is None:
        return None
    sentences, _, beams, slots = before.shape
    inherited = before.reshape(sentences * beams, slots).index_select(0, origin).view(sentences, 1, beams, slots)
    own = torch.eye(beams, dtype=torch.bool, device=before.device).expand(sentences, 1, beams, beams)
    return torch.cat([inherited, own], -1)


def _with_room(cache: Tensor, slots: int, beams: int) -> Tensor:
    """`cache` with room for `slots`; it grows by many steps at once."""
    layers, two, sentences, heads, room, width = cache.shape
    if room >= slots:
        return cache
    grown = cache.new_empty(layers, two, sentences, heads, room + _ROOM * beams, width)
    grown[..., :room, :] = cache
    return grown
