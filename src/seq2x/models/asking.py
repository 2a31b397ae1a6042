"""What all recurrent decoders share: they embed symbols, may ask attention, and say an output.

output           o_t   = tanh(W [h_t; e_t; C_t])          output_from "all" (Cho et al. 2014, appendix A.1.2)
                 o_t   = h_t, with attention tanh(W [h_t; C_t])       "state" (Luong et al. 2015, eq. 5)
context_join     j_t, `h_t + W C_t` or a gate between the two, stands for [h_t; C_t] in o_t (`seq2x.nn.joining`)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2x.nn.attending import Attending
from seq2x.nn.attention import Attention
from seq2x.nn.attention_heads import Heads
from seq2x.nn.attention_history import HISTORIES, History
from seq2x.nn.attention_path import PATHS, Path
from seq2x.nn.attention_place import Place
from seq2x.nn.attention_scores import ATTENTIONS
from seq2x.nn.dropout import Dropout
from seq2x.nn.embedding import Embedding
from seq2x.nn.joining import JOINS
from seq2x.nn.products import Affine
from seq2x.types import PAD

from .shape import ModelShape

__all__ = ["AskingDecoder", "beside", "linear"]


class AskingDecoder(nn.Module):
    """The parts, to be built in this order: `ask`, then `read`. Their weights stand under the decoder's own names.

    `memory` is the width M of the encoder's states, `context` that of C. Without a source there is neither.
    """

    attention: Attention | None
    history: History | None
    path: Path | None
    place: Place | None
    attending: Attending | None

    def __init__(self, shape: ModelShape, embedding: Embedding) -> None:
        super().__init__()
        self.reads, self.attends = shape.source, shape.source and shape.context == "attention"
        self.embedding, self.dropout, self.width = embedding, Dropout(shape.dropout), shape.width
        self.memory = shape.width * (2 if shape.bidirectional else 1)
        self.context = 2 * self.memory if shape.context == "first_last" else self.memory
        self.output_sees_input = shape.output_from == "all"
        self.output_sees_context = self.attends or (self.reads and self.output_sees_input)

    def ask(self, shape: ModelShape) -> None:
        """Attention and its parts, if the shape has it."""
        self.attention = self.history = self.path = self.place = self.attending = None
        if not self.attends:
            return
        width, score, heads = shape.width, ATTENTIONS[shape.attention], shape.attention_heads
        path, history = shape.attention_path, shape.attention_history
        window, noise, alpha = shape.attention_window, shape.attention_noise, shape.attention_alpha
        attention = Heads(score, heads, width, self.memory) if heads > 1 else score(width, self.memory)
        self.attention = attention
        self.history = None if history == "none" else HISTORIES[history](attention.width)
        self.path = None if path == "any" else PATHS[path](width, window, noise)
        self.place = Place(width, shape.max_source_length + 1, alpha) if alpha else None  # + 1: </s> is one to look at
        self.attending = Attending(
            score=attention,
            history=self.history,
            path=self.path,
            place=self.place,
            temperature=shape.attention_temperature,
            mean=shape.context_from == "mean",
        )

    def read(self, shape: ModelShape) -> None:
        """What makes an output of state, input and context."""
        joins = self.output_sees_context and shape.context_join != "concat"
        self.join = JOINS[shape.context_join](self.width, self.context) if joins else None
        seen = self.width
        seen += shape.embedding_width if self.output_sees_input else 0
        seen += self.context if self.output_sees_context and not joins else 0
        self.readout = linear(seen, self.width) if seen > self.width else None

    def embed(self, symbols: Tensor) -> Tensor:
        """`e`, one vector for each of `symbols`."""
        vectors: Tensor = self.dropout(self.embedding(symbols, symbols != PAD))
        return vectors

    def read_out(self, states_NtD: Tensor, vectors_NtE: Tensor, context_NtC: Tensor | None) -> Tensor:
        """`o` `[N,t,D]`."""
        if self.join is not None and context_NtC is not None:
            states_NtD, context_NtC = self.join(states_NtD, context_NtC), None
        if self.readout is None:
            return states_NtD
        seen = beside(
            states_NtD,
            vectors_NtE if self.output_sees_input else None,
            context_NtC if self.output_sees_context else None,
        )
        return torch.tanh(self.readout(seen))


def linear(inputs: int, outputs: int) -> Affine:
    """A linear layer that keeps the size of what goes through, forward and back (Glorot & Bengio 2010)."""
    layer = Affine(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def beside(first: Tensor, *others: Tensor | None) -> Tensor:
    """All that is there, side by side along the last axis."""
    parts = [first, *(other for other in others if other is not None)]
    return torch.cat(parts, -1) if len(parts) > 1 else first
