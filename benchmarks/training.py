"""Training speed beside its peers, in one process, on the same batches of Multi30k, in paired rounds.

    SEQ2X_DATA=... python -m benchmarks.training [--rounds 9] [--threads 2]

The model: 7 M parameters (256 wide, 4 heads, 1024 feed-forward, 3+3 layers, one vocabulary of 6,000), dropout 0.1,
label smoothing 0.1, batches of about 4,096 target tokens from length buckets, AdamW (fused), clipping by norm.
Contenders: seq2x (fp32, bf16); torch.nn.Transformer and, where `transformers` is installed, MarianMTModel, each in
a plain loop (fp32, bf16 autocast). Before any timing, Marian is given seq2x's weights and must give the same loss.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import math
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import marian, paired
from seq2x.codecs import TextCodec
from seq2x.data.batches import Batches
from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.nn.precision import matrix_precision
from seq2x.objectives.likelihood import Likelihood
from seq2x.training.optim import adamw, apply_update, gradient_norm
from seq2x.types import BOS, EOS, PAD, Batch, Objective, Padded

UPDATES = 4  # of one contender in one round
PLAIN = Likelihood(0.1)


class Plain(nn.Module):
    """What a tutorial would write: torch.nn.Transformer between tied embeddings."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        width = shape.width
        self.embedding = nn.Embedding(shape.source_size, width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.body = nn.Transformer(
            width,
            shape.heads,
            shape.encoder_layers,
            shape.decoder_layers,
            shape.feedforward,
            shape.dropout,
            batch_first=True,
        )
        angles = torch.arange(512)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1))
        self.dropout = nn.Dropout(shape.dropout)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.embedding(ids) * self.embedding.embedding_dim**0.5 + self.positions[: ids.shape[1]])

    def forward(self, source: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        causal = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).triu(1)
        hidden = self.body(
            self.embed(source), self.embed(inputs), tgt_mask=causal, src_key_padding_mask=source == PAD,
            tgt_key_padding_mask=inputs == PAD, memory_key_padding_mask=source == PAD, tgt_is_causal=True,
        )  # fmt: skip
        return functional.linear(hidden, self.embedding.weight)


def batches(root: Path, size: int, tokens: int) -> tuple[int, list[Batch]]:
    """(vocabulary size, the batches of one epoch) of Multi30k, raw English to German."""
    raw = gzip.decompress((root / "mt/multi30k/en-de/train.tsv.gz").read_bytes()).decode()
    pairs = [line.split("\t") for line in raw.split("\n") if line]
    sources, targets = ([pair[side].strip() for pair in pairs] for side in (0, 1))
    codec = TextCodec.learn(sources + targets, units="bpe", size=size)
    ids = [[[*row, EOS] for row in codec.encode_batch(texts)] for texts in (sources, targets)]
    lengths = [np.array([len(row) for row in side], np.int32) for side in ids]
    plan = Batches(lengths[0], lengths[1], tokens, seed=1).epoch(0)
    return codec.size, [Batch(_padded(ids[0], rows), _padded(ids[1], rows), rows) for rows in plan]


def _padded(ids: list[list[int]], rows: np.ndarray) -> Padded:
    lengths = torch.tensor([len(ids[row]) for row in rows])
    values = torch.full((len(rows), int(lengths.max())), PAD)
    for number, row in enumerate(rows):
        values[number, : lengths[number]] = torch.tensor(ids[row])
    return Padded(values, lengths)


def seq2x_updates(
    model: EncoderDecoder, work: list[Batch], precision: str, objective: Objective = PLAIN
) -> Callable[[int], float]:
    """Updates as `seq2x train` makes them; the unit of work is a target token."""
    optimizer = adamw(model, 0.9, 0.98, 0.01)

    def run(number: int) -> float:
        done = 0.0
        for batch in _round(work, number):
            optimizer.zero_grad(set_to_none=True)
            with matrix_precision(precision):
                loss = objective(model, batch)
            loss.total.backward()
            norm = gradient_norm(model.parameters()) / loss.count
            factor = (1.0 / norm.clamp(min=1.0)) / loss.count
            apply_update(optimizer, 1e-4, factor, torch.isfinite(norm))
            done += float(batch.target.lengths.sum())
        return done

    return run


def plain_updates(
    model: nn.Module, work: list[Batch], autocast: bool, size: int, is_marian: bool
) -> Callable[[int], float]:
    """Updates as a hand-written loop makes them."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)

    def run(number: int) -> float:
        done = 0.0
        for batch in _round(work, number):
            optimizer.zero_grad(set_to_none=True)
            plain_loss(model, batch, autocast, size, is_marian).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            done += float(batch.target.lengths.sum())
        return done

    return run


def plain_loss(model: nn.Module, batch: Batch, autocast: bool, size: int, is_marian: bool) -> torch.Tensor:
    """Mean smoothed cross-entropy per token."""
    source, target = batch.source.values, batch.target.values
    inputs = torch.cat([torch.full((len(target), 1), BOS), target[:, :-1]], 1)
    inputs = torch.where(target == PAD, PAD, inputs)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        if is_marian:
            mask = (source != PAD).long()
            logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=inputs, use_cache=False).logits
        else:
            logits = model(source, inputs)
        rows = logits.reshape(-1, size).float()
        return functional.cross_entropy(rows, target.reshape(-1), ignore_index=PAD, label_smoothing=0.1)


def _round(work: list[Batch], number: int) -> list[Batch]:
    return [work[(number * UPDATES + i) % len(work)] for i in range(UPDATES)]


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=4096)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    size, work = batches(Path(os.environ["SEQ2X_DATA"]), 6000, arguments.tokens)
    shape = marian.shape(size)
    torch.manual_seed(1)
    models = {f"seq2x {precision}": build(shape) for precision in ("fp32", "bf16")}
    contenders = {name: seq2x_updates(model, work, name.split()[1]) for name, model in models.items()}
    for autocast in (False, True):
        label = "bf16" if autocast else "fp32"
        contenders[f"nn.Transformer {label}"] = plain_updates(Plain(shape), work, autocast, size, is_marian=False)
        if importlib.util.find_spec("transformers"):
            twin = marian.twin(models["seq2x fp32"], shape)
            check_equal(models["seq2x fp32"], twin, work[0], size)
            contenders[f"MarianMTModel {label}"] = plain_updates(twin.train(), work, autocast, size, is_marian=True)
    rates = paired.rounds(contenders, arguments.rounds)
    print(paired.versions("torch", *(["transformers"] if len(contenders) > 4 else [])))
    print(
        f"{arguments.rounds} rounds of {UPDATES} updates, {arguments.threads} threads; target tokens a second, median:"
    )
    for name, values in rates.items():
        print(f"  {name:22} {statistics.median(values):8,.0f}   ({min(values):,.0f}-{max(values):,.0f})")
    for ours in models:
        for theirs in contenders:
            if theirs not in models:
                print(f"  {ours} / {theirs}: {paired.ratio(rates[ours], rates[theirs])}")


def check_equal(model: EncoderDecoder, twin: nn.Module, batch: Batch, size: int) -> None:
    """The same weights must give the same loss, dropout off."""
    with torch.no_grad():
        loss = Likelihood(0.1, "token")(model.eval(), batch)
        ours, theirs = float(loss.total / loss.count), float(plain_loss(twin.eval(), batch, False, size, True))
    model.train()
    print(f"loss of the same weights: seq2x {ours:.6f}, MarianMTModel {theirs:.6f}")
    if abs(ours - theirs) > 1e-4:
        raise SystemExit("the two do not compute the same thing: no speed is reported")


if __name__ == "__main__":
    main()
