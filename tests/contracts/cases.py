"""Small models with weights that matter, and small batches, for the contracts."""

from __future__ import annotations

import torch

from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.nn.attention_path import Monotonic
from seq2x.types import EOS, PAD, Batch, Memory, Padded

__all__ = ["batch_of", "memory_of", "model_of", "padded", "rows_of", "symbols_of", "widened"]

SOURCE_LENGTHS, TARGET_LENGTHS = (5, 1, 7, 3), (4, 6, 1, 3)


def model_of(shape: ModelShape, dtype: torch.dtype = torch.float64, seed: int = 1) -> EncoderDecoder:
    """A model in evaluation whose every weight, biases and batch statistics too, is away from where it begins."""
    torch.manual_seed(seed)
    model = build(shape).to(torch.get_default_device(), dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
        if isinstance(path := getattr(getattr(model, "decoder", None), "path", None), Monotonic):
            path.offset.fill_(0.3)  # as it begins, hard attention would hardly ever stop anywhere with such weights
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
    """Random pairs of these lengths. Where it is copied, the last two source symbols have numbers beyond the
    vocabulary; what a pointer is to write stands in its source. Without a source, its side is empty.
    """
    draw = torch.Generator(torch.get_default_device()).manual_seed(seed)
    source, target = padded(sources, shape.source_size, draw), padded(targets, shape.target_size, draw)
    if not shape.source:
        source = Padded(source.values[:, :0], torch.zeros_like(source.lengths))
    if shape.copy == "none":
        return Batch(source, target, torch.arange(len(sources)))
    copy_ids = _copy_ids(source.values, shape)
    for row, (own, length) in enumerate(zip(sources, targets, strict=True)):
        places = torch.arange(length - 1) if shape.copy == "pointer" else torch.arange(1, max(length - 1, 1), 3)
        stands = torch.randint(own, places.shape, generator=draw)
        target.values[row, places] = copy_ids[row, stands]
    return Batch(source, target, torch.arange(len(sources)), copy_ids=copy_ids)


def _copy_ids(source_BS: torch.Tensor, shape: ModelShape) -> torch.Tensor:
    """Each symbol means itself, but for the last two and what the target does not have: V + k as it comes."""
    least, size = min(shape.source_size - 2, shape.target_size), shape.target_size
    rows = []
    for row in source_BS.tolist():
        beyond = dict.fromkeys(symbol for symbol in row if symbol >= least)
        numbers = {symbol: size + k for k, symbol in enumerate(beyond)}
        rows.append([numbers.get(symbol, symbol) for symbol in row])
    return torch.tensor(rows)


def memory_of(model: EncoderDecoder, batch: Batch) -> Memory:
    """What the encoder leaves of the sources of a batch."""
    return model.encode(batch.source, batch.copy_ids)


def symbols_of(shape: ModelShape, batch: Batch) -> int:
    """How many symbols an answer for this batch has."""
    return shape.target_size + (0 if batch.copy_ids is None else batch.copy_ids.shape[1])


def rows_of(batch: Batch, rows: list[int]) -> Batch:
    """Some of the pairs, in this order, in exact rectangles."""
    parts = []
    for values, lengths in (batch.source, batch.target):
        lengths = lengths[rows]
        parts.append(Padded(values[rows, : int(lengths.max())], lengths))
    copy_ids = None if batch.copy_ids is None else batch.copy_ids[rows, : parts[0].values.shape[1]]
    return Batch(parts[0], parts[1], batch.rows[rows], copy_ids=copy_ids)


def widened(batch: Batch, extra: int) -> Batch:
    """The same with `extra` more columns of padding."""
    sides = [Padded(_longer(values, extra), lengths) for values, lengths in (batch.source, batch.target)]
    copy_ids = None if batch.copy_ids is None else _longer(batch.copy_ids, extra)
    return Batch(sides[0], sides[1], batch.rows, copy_ids=copy_ids)


def _longer(values: torch.Tensor, extra: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, extra), value=PAD)
