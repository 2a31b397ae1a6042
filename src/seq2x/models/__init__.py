"""Models by name: a kind of encoder, a kind of decoder, and one function that builds both from a `ModelShape`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from seq2x.errors import FolderError
from seq2x.nn.crf import Crf
from seq2x.nn.embedding import BagEmbedding, Embedding
from seq2x.nn.initial import SMALL
from seq2x.nn.outputs import VocabularyOutput

from .encoder_decoder import DecoderModule, EncoderDecoder, EncoderModule, shift
from .hmm import Hmm, HmmShape
from .labeller import Labeller
from .recurrent_decoder import RecurrentDecoder
from .recurrent_encoder import RecurrentEncoder
from .shape import MAX_PARAMETERS, ModelShape, Shape, parameters, shape_of
from .transformer_decoder import TransformerDecoder
from .transformer_encoder import TransformerEncoder

__all__ = [
    "DECODERS",
    "ENCODERS",
    "MAX_PARAMETERS",
    "SHAPES",
    "DecoderModule",
    "EncoderDecoder",
    "EncoderModule",
    "Hmm",
    "HmmShape",
    "Labeller",
    "ModelShape",
    "Shape",
    "build",
    "build_labeller",
    "expected_tensors",
    "parameters",
    "shape_from_json",
    "shape_of",
    "shift",
]

ENCODERS: Mapping[str, Callable[[ModelShape, Embedding | BagEmbedding], EncoderModule]] = {
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

SHAPES: Mapping[str, type[HmmShape]] = {"hmm": HmmShape}
"""Shapes of models that are counted, by their kind; all others have a `ModelShape`."""


def shape_from_json(mapping: Any, where: str) -> Shape:
    """The shape that its `to_json` wrote. Raises `FolderError` for anything else."""
    if not isinstance(mapping, Mapping):
        raise FolderError(where, f"the model's shape is a {type(mapping).__name__}", "an object")
    kind = mapping.get("kind")
    found = SHAPES.get(kind) if isinstance(kind, str) else None
    return found.from_json(mapping, where) if found else ModelShape.from_json(mapping, where)


def build(shape: ModelShape) -> EncoderDecoder:
    """A model of this shape with fresh weights, drawn from torch's default generator.

    Matrices that are tied are one tensor with one name. Embeddings are scaled by sqrt(E): states of unit variance
    from the first update on, which recurrent models need (their loss falls visibly sooner); a Transformer starts
    smaller throughout (`seq2x.nn.initial`).
    """
    width, scale = shape.embedding_width, math.sqrt(shape.embedding_width)
    spread = SMALL if shape.kind == "transformer" else 1.0
    source = Embedding(shape.source_size, width, scale, None, spread)
    target = Embedding(shape.target_size, width, scale, source if shape.tied == "all" else None, spread)
    output = VocabularyOutput(shape.width, shape.target_size, None if shape.tied == "none" else target)
    return EncoderDecoder(ENCODERS[shape.kind](shape, source), DECODERS[shape.kind](shape, target), output)


def build_labeller(shape: ModelShape) -> Labeller:
    """A labeller of this shape with fresh weights, drawn from torch's default generator; see `build`."""
    width = shape.embedding_width
    spread = SMALL if shape.kind == "transformer" else 1.0
    tokens = BagEmbedding(Embedding(shape.source_size, width, math.sqrt(width), None, spread))
    both = shape.kind != "transformer" and shape.bidirectional
    output = VocabularyOutput(shape.width * (2 if both else 1), shape.target_size)
    crf = Crf(shape.target_size) if shape.head == "crf" else None
    return Labeller(ENCODERS[shape.kind](shape, tokens), output, shape.dropout, crf)


def expected_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a stored model of this shape holds, found without allocating one."""
    with torch.device("meta"):
        state: Mapping[str, Any] = build(shape).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
