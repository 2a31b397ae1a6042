"""How many weights a model of a shape has: pure arithmetic, so that a size is refused before anything is allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seq2x.types import SPECIALS

if TYPE_CHECKING:
    from .shape import ModelShape

__all__ = ["parameters"]


def parameters(shape: ModelShape) -> int:
    """How many weights a model of this shape has: exact, but about right for recurrent models.

    Pure arithmetic, so that a size can be refused before anything is allocated.
    """
    embeddings = shape.source_size * shape.embedding_width if shape.source else 0
    bodies = {"transformer": _transformer_parameters, "conv": _convolutional_parameters}
    encoder, decoder = bodies.get(shape.kind, _recurrent_parameters)(shape)
    encoder = encoder if shape.source else 0
    if shape.head != "decoder":
        labels = shape.target_size
        return (
            embeddings + encoder + labels * (shape.memory_width + 1) + (labels * labels if shape.head == "crf" else 0)
        )
    if shape.decoder == "ctc":
        split = shape.ctc_upsample * shape.width * (shape.memory_width + 1)
        return embeddings + encoder + split + (shape.target_size - len(SPECIALS) + 1) * (shape.width + 1)
    if shape.tied != "all":
        embeddings += shape.target_size * shape.embedding_width
    output = shape.target_size + (shape.target_size * shape.width if shape.tied == "none" else 0)
    if shape.decoder == "mask_predict":
        output += (shape.max_source_length + shape.max_target_length + 2) * (shape.width + 1)
    if shape.copy == "generator":
        output += shape.memory_width + shape.width + shape.embedding_width + 1
    elif shape.copy == "pointer":
        output = shape.width * (shape.width + shape.memory_width + 2)
    return embeddings + encoder + decoder + output


def _transformer_parameters(shape: ModelShape) -> tuple[int, int]:
    """Of the encoder and of the decoder."""
    width, inner = shape.width, shape.feedforward
    attention = 4 * width * (width + 1)
    gates = 2 if shape.activation == "gated" else 1
    feedforward = gates * inner * (width + 1) + width * (inner + 1)
    norm = width if shape.norm == "rms" else 2 * width
    encoder = shape.encoder_layers * (attention + feedforward + 2 * norm)
    decoder = shape.decoder_layers * (attention + feedforward + 2 * norm)
    decoder += shape.decoder_layers * (attention + norm) if shape.source else 0
    final = norm if shape.norm_position == "pre" else 0
    learned = width if shape.positions == "learned" else 0
    sides = (encoder, shape.max_source_length), (decoder, shape.max_target_length)
    of_encoder, of_decoder = (layers + final + learned * (most + 1) for layers, most in sides)
    return of_encoder, of_decoder


def _convolutional_parameters(shape: ModelShape) -> tuple[int, int]:
    """Of the encoder and of the decoder."""
    width, embedded = shape.width, shape.embedding_width

    def normed(inputs: int, outputs: int) -> int:
        return outputs * (inputs + 2)

    block, first = normed(shape.kernel_width * width, 2 * width), normed(embedded, width)
    encoder = first + shape.encoder_layers * block + normed(width, embedded)
    attention = normed(width, embedded) + normed(embedded, width)
    decoder = first + shape.decoder_layers * (block + (attention if shape.source else 0)) + normed(width, width)
    learned = embedded if shape.positions == "learned" else 0
    return encoder + learned * (shape.max_source_length + 1), decoder + learned * (shape.max_target_length + 1)


def _recurrent_parameters(shape: ModelShape) -> tuple[int, int]:
    """Of the encoder and of the decoder."""
    width, gates = shape.width, {"rnn": 1, "gru": 3, "lstm": 4}[shape.kind]
    directions = 2 if shape.bidirectional else 1

    def cell(inputs: int) -> int:
        return gates * width * (inputs + width + 2)

    if not shape.source:
        layers = cell(shape.embedding_width) + (shape.decoder_layers - 1) * cell(width)
        return 0, layers + (width * (width + shape.embedding_width + 1) if shape.output_from == "all" else 0)
    encoder = directions * (cell(shape.embedding_width) + (shape.encoder_layers - 1) * cell(directions * width))
    first = shape.embedding_width + directions * width + (width if shape.input_feeding else 0)
    decoder = cell(first) + (shape.decoder_layers - 1) * cell(width)
    if shape.decoder == "coupled":
        decoder = cell(first + width) + cell(shape.embedding_width + width)
    bridges = shape.decoder_layers * 2 * width * (directions * width + 1)
    memory = directions * width
    attention = width * (width + memory + 2)
    if shape.attention_heads > 1:
        attention += width * width + memory * (width + 2 * memory)
    if shape.attention_path == "local_p":
        attention += width * (width + 1)
    if shape.attention_alpha:
        attention += width * (shape.max_source_length + 1)
    readout = width * (width + shape.embedding_width + directions * width + 1)
    return encoder, decoder + bridges + attention + readout
