"""A recurrent encoder: symbols to states `h_1 .. h_S`, and to the context `C = q(h_1 .. h_S)` of every layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import BagEmbedding, Embedding
from seq2x.nn.pooling import POOLINGS, valid
from seq2x.nn.recurrent import Recurrent
from seq2x.types import Memory, Padded

from .shape import ModelShape

__all__ = ["RecurrentEncoder"]


class RecurrentEncoder(nn.Module):
    """`encoder_layers` layers of `width` units per direction; two directions are joined between the layers.

    M = width, or twice that with two directions. The memory it leaves:

        states    `[B,S,M]` of the top layer, zero in padding (and all zero for an empty source)
        finals    of each layer, the lowest first, what both directions ended with, `[B,M]`;
                  for an LSTM the cells of all layers follow
        parts     "contexts" `[B,L,M']`: C of every layer, M' = 2 M for first_last, else M. An attention decoder
                  begins from q = last.

    Sutskever et al. 2014 (several layers), Bahdanau et al. 2015, section 3.2 (two directions). In training, dropout
    acts on what each layer reads (Zaremba et al. 2014), never on what it carries from step to step.
    """

    def __init__(self, shape: ModelShape, embedding: Embedding | BagEmbedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = Dropout(shape.dropout)
        self.pooling = POOLINGS["last" if shape.context == "attention" else shape.context]
        layers: list[Recurrent] = []
        for _ in range(shape.encoder_layers):
            inputs = layers[-1].state_width if layers else shape.embedding_width
            layers.append(Recurrent(shape.kind, inputs, shape.width, shape.bidirectional))
        self.layers = nn.ModuleList(layers)
        self.state_width, self.directions = layers[-1].state_width, layers[-1].directions

    def forward(self, source: Padded) -> Memory:
        """Read `source.values` `[B,S]`, of which `source.lengths` `[B]` count."""
        values_BS, lengths_B = source
        host_B = lengths_B.cpu().clamp(min=1)  # the kernels want them there; an empty source is read as one zero vector
        lengths_B = lengths_B.to(values_BS.device, non_blocking=True)
        read_B, mask_BS = lengths_B.clamp(min=1), valid(lengths_B, values_BS.shape[1])
        states_BSM = self.embedding(values_BS, mask_BS)
        contexts: list[Tensor] = []
        carries: list[Tensor] = []
        for layer in self.layers:
            states_BSM, carry = layer(self.dropout(states_BSM), None, host_B)
            contexts.append(self.pooling(states_BSM, read_B, self.directions))
            carries.append(carry)
        states_BSM = torch.where(mask_BS[..., None], states_BSM, states_BSM.new_zeros(()))
        finals = [carry[:, : self.state_width] for carry in carries]
        cells = [carry[:, self.state_width :] for carry in carries if carry.shape[1] > self.state_width]
        return Memory(states_BSM, lengths_B, finals + cells, {"contexts": torch.stack(contexts, 1)})
