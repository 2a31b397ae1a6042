"""Models by name: a kind of encoder, a kind of decoder, and one function that builds both from a `ModelShape`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from seq2x.nn.embedding import Embedding
from seq2x.nn.initial import SMALL
from seq2x.nn.outputs import VocabularyOutput

from .encoder_decoder import DecoderModule, EncoderDecoder, EncoderModule, shift
from .ngram import Ngram, NgramShape
from .no_encoder import NoEncoder
from .recurrent_decoder import RecurrentDecoder
from .recurrent_encoder import RecurrentEncoder
from .shape import MAX_PARAMETERS, ModelShape, parameters, shape_of
from .transformer_decoder import TransformerDecoder
from .transformer_encoder import TransformerEncoder

__all__ = [
    "DECODERS",
    "ENCODERS",
    "MAX_PARAMETERS",
    "DecoderModule",
    "EncoderDecoder",
    "EncoderModule",
    "ModelShape",
    "Ngram",
    "NgramShape",
    "NoEncoder",
    "Shape",
    "build",
    "expected_tensors",
    "parameters",
    "read_shape",
    "rebuild",
    "shape_of",
    "shift",
]

Shape: TypeAlias = ModelShape | NgramShape
"""Of a model that is trained, or of one that is counted."""

ENCODERS: Mapping[str, Callable[[ModelShape, Embedding], EncoderModule]] = {
    "transformer": TransformerEncoder,
    "gru": RecurrentEncoder,
    "lstm": RecurrentEncoder,
    "rnn": RecurrentEncoder,
}
DECODERS: Mapping[str, Callable[[ModelShape, Embedding], DecoderModule]] = {
    "transformer": TransformerDecoder,
    "gru": RecurrentDecoder,
    "lstm": RecurrentDecoder,
    "rnn": RecurrentDecoder,
}


def build(shape: ModelShape) -> EncoderDecoder:
    """A model of this shape with fresh weights, drawn from torch's default generator.

    Matrices that are tied are one tensor with one name. Embeddings are scaled by sqrt(E): states of unit variance
    from the first update on, which recurrent models need (their loss falls visibly sooner); a Transformer starts
    smaller throughout (`seq2x.nn.initial`).
    """
    width, scale = shape.embedding_width, math.sqrt(shape.embedding_width)
    spread = SMALL if shape.kind == "transformer" else 1.0
    source = Embedding(shape.source_size, width, scale, None, spread) if shape.source else None
    target = Embedding(shape.target_size, width, scale, source if shape.tied == "all" else None, spread)
    output = VocabularyOutput(shape.width, shape.target_size, None if shape.tied == "none" else target)
    encoder = ENCODERS[shape.kind](shape, source) if source else NoEncoder(target)
    return EncoderDecoder(encoder, DECODERS[shape.kind](shape, target), output)


def rebuild(shape: Shape) -> EncoderDecoder | Ngram:
    """A model of any shape, to be filled with what was stored."""
    return Ngram(shape) if isinstance(shape, NgramShape) else build(shape)


def read_shape(mapping: Any, where: str) -> Shape:
    """The shape whose `to_json` is `mapping`. Raises `FolderError` for anything else."""
    counted = isinstance(mapping, Mapping) and mapping.get("kind") == NgramShape.kind
    return NgramShape.from_json(mapping, where) if counted else ModelShape.from_json(mapping, where)


def expected_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a stored model of this shape holds, found without allocating one."""
    with torch.device("meta"):
        state: Mapping[str, Any] = build(shape).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
