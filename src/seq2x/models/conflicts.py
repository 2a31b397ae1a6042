"""Values of a shape that are fine alone but not together: which, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from seq2x import choices
from seq2x.settings import AT_ONCE

if TYPE_CHECKING:
    from .shape import ModelShape

__all__ = ["Problem", "conflicts"]


class Problem(NamedTuple):
    """A value that cannot be."""

    name: str
    found: str
    expected: str


def conflicts(shape: ModelShape) -> Iterator[Problem]:
    """Values that are fine alone but not together."""
    asks = shape.kind in ("gru", "lstm", "rnn") and shape.context == "attention"
    if asks and shape.source and shape.decodes:
        yield from _conflicts_of_attention(shape)
    if shape.kind == "transformer":
        if shape.width % shape.heads:
            yield Problem("heads", f"{shape.heads} does not divide width {shape.width}", "a divisor of width")
        elif shape.positions == "rotary" and (shape.width // shape.heads) % 2:
            yield Problem(
                "heads", f"width / heads is {shape.width // shape.heads}", "an even number with rotary positions"
            )
        if shape.embedding_width != shape.width:
            yield Problem(
                "embedding_width", str(shape.embedding_width), f"width ({shape.width}): this is for other kinds"
            )
    elif shape.tied != "none" and shape.embedding_width != shape.width:
        yield Problem(
            "tied", f'"{shape.tied}" with embedding_width {shape.embedding_width}', f"embedding_width = {shape.width}"
        )
    if shape.kind == "conv" and shape.positions == "rotary":
        yield Problem("positions", '"rotary"', "sinusoidal or learned: convolutions have no self-attention to rotate")
    yield from _conflicts_of_decoder(shape)
    if shape.copy == "generator" and not shape.attends:
        found = f'"generator" with context "{shape.context}", which has no attention to copy by'
        yield Problem("copy", found, "context = attention, or copy = pointer")
    yield from _conflicts_without_source(shape) if not shape.source else ()
    if shape.head != "decoder":
        usual = {"source": True, "decoder": "standard", "copy": "none", "tied": "none"}
        for name in (name for name, value in usual.items() if getattr(shape, name) != value):
            found = f"{getattr(shape, name)} with head {shape.head}"
            yield Problem(name, found, f"{usual[name]}: labels of tokens stand on an encoder, and are not written")
    if shape.tied == "all" and shape.source_size != shape.target_size:
        yield Problem(
            "tied", f'"all" with {shape.source_size} source and {shape.target_size} target symbols', "one vocabulary"
        )


def _conflicts_without_source(shape: ModelShape) -> Iterator[Problem]:
    """Of a language model."""
    if shape.tied == "all" or shape.source_size != shape.target_size:
        found = f"tied = {shape.tied}, {shape.source_size} source and {shape.target_size} target symbols"
        yield Problem("source", f"none, but {found}", "one vocabulary, and nothing tied to it but the output")
    if shape.decoder != "standard":
        why = "standard: without a source there is nothing to ask, and nothing to write all at once from"
        yield Problem("decoder", f'"{shape.decoder}" without a source', why)
    if shape.copy != "none":
        yield Problem("copy", f'"{shape.copy}" without a source', "none: there is nothing to copy")


def _conflicts_of_decoder(shape: ModelShape) -> Iterator[Problem]:
    if shape.decoder == "coupled":
        if shape.kind in ("transformer", "conv"):
            yield Problem("decoder", f'"coupled" with kind "{shape.kind}"', "gru, lstm or rnn: it is two such cells")
        elif shape.decoder_layers != 1:
            yield Problem("decoder_layers", f"{shape.decoder_layers}", "1: a coupled decoder is two cells, one layer")
    if shape.decoder == "mask_predict" and shape.kind != "transformer":
        yield Problem("decoder", f'"mask_predict" with kind "{shape.kind}"', "transformer: others write in order")
    if shape.decoder == "ctc" and shape.tied != "none":
        yield Problem("tied", f'"{shape.tied}" with decoder "ctc"', "none: there are no target embeddings")
    if shape.decoder in AT_ONCE and shape.copy != "none":
        found = f'"{shape.copy}" with decoder "{shape.decoder}"'
        yield Problem("copy", found, "none: what writes all symbols at once has no place to copy from")


def _conflicts_of_attention(shape: ModelShape) -> Iterator[Problem]:
    heads, path = shape.attention_heads, shape.attention_path
    if shape.width % heads:  # and so it divides the width of the encoder's states
        yield Problem("attention_heads", f"{heads} does not divide width {shape.width}", "a divisor of width")
    if heads > 1 and path in choices.ONE_HEAD:
        yield Problem(
            "attention_heads",
            f'{heads} with attention_path = "{path}"',
            "1: such a path goes from one place to the next",
        )
    if shape.copy == "generator" and path in choices.LOSING:
        found = f'"{path}" with copy = "generator": its weights may sum to less than one, as probabilities may not'
        yield Problem("attention_path", found, "any, local_m or forward")
