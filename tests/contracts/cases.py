"""Small models with weights that matter, and small batches, for the contracts."""

from __future__ import annotations

import torch

from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.types import EOS, Batch, Padded

__all__ = ["batch_of", "longer", "model_of", "padded", "rows_of", "source_batch"]

SOURCE_LENGTHS, TARGET_LENGTHS = (5, 1, 7, 3), (4, 6, 1, 3)


def model_of(shape: ModelShape, dtype: torch.dtype = torch.float64, seed: int = 1) -> EncoderDecoder:
    """A model in evaluation whose every weight, biases and batch statistics too, is away from where it begins."""
    torch.manual_seed(seed)
    model = build(shape).to(torch.get_default_device(), dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
        model.train()
        for other in range(
            20 if shape.norm == "batch" else 0
        ):  # batch norm is measured, not made up: its statistics have to fit the weights
            model.answer(batch_of(shape, seed=other))
    return model.eval()


def padded(lengths: tuple[int, ...], size: int, draw: torch.Generator) -> Padded:
    """Random text that ends with `</s>`, in an exact rectangle."""
    values = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        values[row, : length - 1] = torch.randint(3, size, (length - 1,), generator=draw)
        values[row, length - 1] = EOS
    return Padded(values, torch.tensor(lengths))


def batch_of(
    shape: ModelShape,
    sources: tuple[int, ...] = SOURCE_LENGTHS,
    targets: tuple[int, ...] = TARGET_LENGTHS,
    seed: int = 1,
) -> Batch:
    """Random pairs of these lengths; without a source, its side is empty."""
    draw = torch.Generator(torch.get_default_device()).manual_seed(seed)
    source = padded(sources, shape.source_size, draw)
    target = padded(targets, shape.target_size, draw)
    if not shape.source:
        source = Padded(source.values[:, :0], torch.zeros_like(source.lengths))
    return Batch(source, target, torch.arange(len(sources)))


def source_batch(source: Padded) -> Batch:
    """Only sources."""
    return Batch(source, None, torch.arange(len(source.lengths)))


def rows_of(batch: Batch, rows: list[int]) -> Batch:
    """Some of the pairs, in this order, in exact rectangles."""
    parts = []
    for values, lengths in (batch.source, batch.target):
        lengths = lengths[rows]
        parts.append(Padded(values[rows, : int(lengths.max())], lengths))
    return Batch(parts[0], parts[1], batch.rows[rows])


def longer(sequences: Padded, extra: int) -> Padded:
    """The same with `extra` more columns of padding."""
    return Padded(torch.nn.functional.pad(sequences.values, (0, extra)), sequences.lengths)
