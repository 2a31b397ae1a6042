"""Models by name: a kind of encoder, a kind of decoder, and one function that builds both from a `ModelShape`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from seq2x.errors import FolderError
from seq2x.nn.copying import CopyingOutput, Pointer, PointerGenerator
from seq2x.nn.crf import Crf
from seq2x.nn.ctc import CtcOutput
from seq2x.nn.embedding import BagEmbedding, Embedding
from seq2x.nn.initial import SMALL
from seq2x.nn.inputs import shift
from seq2x.nn.lengths import LengthOutput
from seq2x.nn.outputs import VocabularyOutput

from .convolutional_decoder import ConvolutionalDecoder
from .convolutional_encoder import START, ConvolutionalEncoder
from .coupled_decoder import CoupledDecoder
from .ctc import Ctc
from .encoder_decoder import DecoderModule, EncoderDecoder, EncoderModule
from .hmm import Hmm, HmmShape
from .labeller import Labeller
from .mask_predict import MaskPredict
from .ngram import Ngram, NgramShape
from .no_encoder import NoEncoder
from .recurrent_decoder import RecurrentDecoder
from .recurrent_encoder import RecurrentEncoder
from .shape import MAX_PARAMETERS, ModelShape, Shape, shape_of
from .sizes import parameters
from .transformer_decoder import TransformerDecoder
from .transformer_encoder import TransformerEncoder

__all__ = [
    "DECODERS",
    "ENCODERS",
    "MAX_PARAMETERS",
    "SHAPES",
    "AnyModel",
    "Ctc",
    "DecoderModule",
    "EncoderDecoder",
    "EncoderModule",
    "Hmm",
    "HmmShape",
    "Labeller",
    "MaskPredict",
    "ModelShape",
    "NeuralModel",
    "Ngram",
    "NgramShape",
    "NoEncoder",
    "Shape",
    "build",
    "build_labeller",
    "parameters",
    "rebuild",
    "shape_from_json",
    "shape_of",
    "shift",
]

ENCODERS: Mapping[str, Callable[[ModelShape, Embedding | BagEmbedding], EncoderModule]] = {
    "transformer": TransformerEncoder,
    "gru": RecurrentEncoder,
    "lstm": RecurrentEncoder,
    "rnn": RecurrentEncoder,
    "conv": ConvolutionalEncoder,
}
DECODERS: Mapping[str, Callable[[ModelShape, Embedding], DecoderModule]] = {
    "transformer": TransformerDecoder,
    "gru": RecurrentDecoder,
    "lstm": RecurrentDecoder,
    "rnn": RecurrentDecoder,
    "conv": ConvolutionalDecoder,
}
"""By kind, of outputs that are written symbol by symbol; `decoder` "coupled" is another one for recurrent kinds."""

NeuralModel: TypeAlias = EncoderDecoder | MaskPredict | Ctc
"""What `build` makes: each scores targets, and each writes in its own way."""

AnyModel: TypeAlias = NeuralModel | Ngram
"""What `rebuild` makes: those, and models that are counted."""

SHAPES: Mapping[str, type[HmmShape | NgramShape]] = {"hmm": HmmShape, "ngram": NgramShape}
"""Shapes of models that are counted, by their kind; all others have a `ModelShape`."""


def shape_from_json(mapping: Any, where: str) -> Shape:
    """The shape that its `to_json` wrote. Raises `FolderError` for anything else."""
    if not isinstance(mapping, Mapping):
        raise FolderError(where, f"the model's shape is a {type(mapping).__name__}", "an object")
    kind = mapping.get("kind")
    found = SHAPES.get(kind) if isinstance(kind, str) else None
    return found.from_json(mapping, where) if found else ModelShape.from_json(mapping, where)


def build(shape: ModelShape) -> NeuralModel:
    """A model of this shape with fresh weights, drawn from torch's default generator.

    Matrices that are tied are one tensor with one name. Embeddings are scaled by sqrt(E): states of unit variance
    from the first update on, which recurrent models need (their loss falls visibly sooner); a Transformer starts
    smaller throughout (`seq2x.nn.initial`), and so do convolutions, whose embeddings are not scaled: their attention
    compares plain dot products. Raises `ValueError` for the shape of a labeller.
    """
    if shape.head != "decoder":
        raise ValueError(f"head = {shape.head}: it is build_labeller that builds it")
    width, (scale, spread) = shape.embedding_width, _sown(shape)
    source = Embedding(shape.source_size, width, scale, None, spread) if shape.source else None
    if source is not None and shape.decoder == "ctc":
        return _ctc(shape, ENCODERS[shape.kind](shape, source))
    target = Embedding(shape.target_size, width, scale, source if shape.tied == "all" else None, spread)
    output = _output(shape, target)
    encoder = NoEncoder(target) if source is None else ENCODERS[shape.kind](shape, source)
    if shape.decoder == "mask_predict":
        assert isinstance(output, VocabularyOutput)  # a shape that copies writes symbol by symbol
        decoder = TransformerDecoder(shape, target)
        length = LengthOutput(shape.width, shape.max_source_length + 1, shape.max_target_length + 1)
        return MaskPredict(encoder, decoder, output, length)
    made = CoupledDecoder if shape.decoder == "coupled" else DECODERS[shape.kind]
    return EncoderDecoder(encoder, made(shape, target), output)


def rebuild(shape: ModelShape | NgramShape) -> AnyModel:
    """A model that writes, of any shape, to be filled with what was stored."""
    return Ngram(shape) if isinstance(shape, NgramShape) else build(shape)


def _output(shape: ModelShape, target: Embedding) -> VocabularyOutput | CopyingOutput:
    """From hidden states to symbols: a vocabulary, the source, or both."""
    if shape.copy == "pointer":
        return Pointer(shape.target_size, shape.width, shape.memory_width)
    vocabulary = VocabularyOutput(shape.width, shape.target_size, None if shape.tied == "none" else target)
    if shape.copy == "none":
        return vocabulary
    return PointerGenerator(vocabulary, target, shape.width, shape.memory_width)


def _ctc(shape: ModelShape, encoder: EncoderModule) -> Ctc:
    """An encoder with a symbol or nothing at each frame."""
    output = CtcOutput(shape.memory_width, shape.width, shape.target_size, shape.ctc_upsample, shape.dropout)
    return Ctc(encoder, output)


def build_labeller(shape: ModelShape) -> Labeller:
    """A labeller of this shape with fresh weights, drawn from torch's default generator; see `build`.

    Raises `ValueError` for the shape of a model that writes.
    """
    if shape.head == "decoder":
        raise ValueError("head = decoder: it is build that builds it")
    scale, spread = _sown(shape)
    tokens = BagEmbedding(Embedding(shape.source_size, shape.embedding_width, scale, None, spread))
    output = VocabularyOutput(shape.memory_width, shape.target_size)
    crf = Crf(shape.target_size) if shape.head == "crf" else None
    return Labeller(ENCODERS[shape.kind](shape, tokens), output, shape.dropout, crf)


def _sown(shape: ModelShape) -> tuple[float, float]:
    """What embeddings are multiplied by, and how far they spread at first; see `build`."""
    root = math.sqrt(shape.embedding_width)
    return {"transformer": (root, SMALL), "conv": (1.0, START * root)}.get(shape.kind, (root, 1.0))
