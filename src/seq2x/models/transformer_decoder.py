"""The Transformer's decoder: all positions at once in training, one at a time over kept keys and values in search."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import Embedding
from seq2x.nn.multihead import key_mask, valid_positions
from seq2x.nn.norms import norm
from seq2x.nn.transformer import DecoderLayer
from seq2x.types import NOTHING, PAD, Memory, Want

from .shape import ModelShape
from .transformer_encoder import layer_shape, positions

__all__ = ["TransformerDecoder", "TransformerState"]

_ROOM = 32  # positions by which the kept keys and values grow: rarely copied, little left unused


@dataclass(slots=True)
class TransformerState:
    """What the decoder carries. Spent by the step it is given to: the buffers belong to the next state.

    `memory`: per layer the keys and values of each sentence, `[B,H,S,d]`, and `mask` `[B,1,1,S]` or None: computed
    once, never repeated for beams. `cache` `[layers,2,N,H,room,d]`: keys and values of the `consumed` positions so far;
    `spare`: a buffer of the same shape into which the next reordering is written.
    """

    memory: list[tuple[Tensor, Tensor]]
    mask: Tensor | None
    cache: Tensor
    spare: Tensor | None
    beams: int
    consumed: int
    want: Want

    @property
    def position(self) -> Tensor:
        """`[N]`: how many symbols each row has consumed."""
        return torch.full((self.cache.shape[2],), self.consumed, dtype=torch.int64, device=self.cache.device)

    def keep(self, rows: Tensor) -> TransformerState:
        """Only the sentences `rows` `[B']` go on, with all their beams."""
        rows = torch.as_tensor(rows, device=self.cache.device)
        hypotheses = (rows[:, None] * self.beams + torch.arange(self.beams, device=rows.device)).reshape(-1)
        return dataclasses.replace(
            self,
            memory=[(keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self.memory],
            mask=None if self.mask is None else self.mask.index_select(0, rows),
            cache=self.cache.index_select(2, hypotheses),
            spare=None,
        )

    def clone(self) -> TransformerState:
        """A copy that a later step cannot spend. (The memory is never written to, so it is shared.)"""
        return dataclasses.replace(self, cache=self.cache.clone(), spare=None)


class TransformerDecoder(nn.Module):
    """`decoder_layers` layers over embedded symbols and an encoder's memory (Vaswani et al. 2017, section 3.1).

    The attention it shows is the mean over the heads of its last layer.
    """

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__()
        self.heads, self.head_width = shape.heads, shape.width // shape.heads
        self.embedding, self.dropout = embedding, Dropout(shape.dropout)
        self.positions, rotary = positions(shape, shape.max_target_length, "target")
        layers = range(1, shape.decoder_layers + 1)
        self.layers = nn.ModuleList(DecoderLayer(layer_shape(shape), depth, rotary) for depth in layers)
        self.norm = norm(shape.norm, shape.width) if shape.norm_position == "pre" else None

    def forward(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> tuple[Tensor, Tensor | None]:
        """`inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted); N = B*K rows, B memories."""
        remembered, mask = self._remember(memory)
        # Attention looks back only, so padding could touch no real position, were it not for 0 * NaN.
        valid = inputs != PAD
        x: Tensor = self.embedding(inputs, valid)
        if self.positions is not None:
            x = self.positions(x)
        x = self.dropout(x)
        weights = None
        for depth, layer in enumerate(self.layers):
            wanted = "attention" in want and depth == len(self.layers) - 1
            x, weights = layer(x, valid, remembered[depth], mask, wanted)
        return x if self.norm is None else self.norm(x, valid), weights

    @torch.no_grad()
    def start(self, memory: Memory, beams: int, top: int = 0, want: Want = NOTHING) -> TransformerState:
        """A state for B * `beams` rows that have consumed nothing."""
        remembered, mask = self._remember(memory)
        rows, states = len(memory.states) * beams, memory.states
        cache = states.new_empty(len(self.layers), 2, rows, self.heads, 0, self.head_width)
        return TransformerState(remembered, mask, cache, None, beams, 0, want)

    @torch.no_grad()
    def step(
        self, previous: Tensor, origin: Tensor, state: TransformerState
    ) -> tuple[Tensor, Tensor | None, TransformerState]:
        """Row n continues row `origin[n]` with `previous[n]`: (hidden `[N,D]`, attention `[N,S]` if wanted, state)."""
        position = state.consumed
        cache, spare = _continued(state, origin)
        x: Tensor = self.embedding(previous)[:, None]
        if self.positions is not None:
            x = self.positions(x, position)
        weights = None
        for depth, layer in enumerate(self.layers):
            wanted = "attention" in state.want and depth == len(self.layers) - 1
            x, weights = cast(DecoderLayer, layer).step(
                x, position, cache[depth], state.memory[depth], state.mask, wanted
            )
        if self.norm is not None:
            x = self.norm(x)
        after = dataclasses.replace(state, cache=cache, spare=spare, consumed=position + 1)
        return x.squeeze(1), None if weights is None else weights.squeeze(1), after

    def _remember(self, memory: Memory) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Keys and values of every layer over `memory`, and the mask of its padding."""
        remembered = [cast(DecoderLayer, layer).cross.remember(memory.states) for layer in self.layers]
        return remembered, key_mask(valid_positions(memory.lengths, memory.states.shape[1]))


def _continued(state: TransformerState, origin: Tensor) -> tuple[Tensor, Tensor | None]:
    """The cache in the order of `origin`, with room for one more position, and a spare buffer (or None).

    One beam per sentence never changes places, so greedy search copies nothing. On a CPU, where `origin` lies in the
    host's own memory, an order that changes nothing is seen and nothing is copied either; elsewhere looking would
    make the host wait for the device, so the copy is made.
    """
    cache, spare = state.cache, state.spare
    rows = len(origin)
    moved = state.beams > 1 and state.consumed > 0
    if moved and origin.device.type == "cpu":
        moved = not torch.equal(origin, torch.arange(rows))
    if moved:
        if spare is None:
            spare = torch.empty_like(cache)
        torch.index_select(cache, 2, origin, out=spare)
        cache, spare = spare, cache
    if state.consumed == cache.shape[4]:
        layers, two, _, heads, room, width = cache.shape
        grown = cache.new_empty(layers, two, rows, heads, room + _ROOM, width)
        grown[..., :room, :] = cache
        cache, spare = grown, None
    return cache, spare
