"""What an update takes with the full softmax and with a sampled one, by the size of the vocabulary, in paired rounds.

    python -m benchmarks.sampled_softmax [--sizes 6000 50000 200000] [--samples 1000] [--rounds 3] [--threads 1]

The model: a GRU with additive attention, 256 wide, one layer a side, its output matrix that of its target embedding.
The pairs are made up: 100 sentences of 15 symbols a batch, drawn by Zipf's law, from 6,000 source symbols and as many
target symbols as are said. An update is what `seq2x train` makes: loss, gradient, its norm, AdamW on all weights. How
much of the sampled update the last two take is said as well: they go over every row of the matrix, sampled or not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import paired
from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.nn.sampled_softmax import Proposal
from seq2x.objectives import Likelihood, at
from seq2x.training.optim import adamw, apply_update, gradient_norm
from seq2x.types import EOS, Batch, Objective, Padded

SENTENCES, LENGTH, SOURCES = 100, 15, 6000


def made_up(sources: int, targets: int) -> Batch:
    """A batch of random pairs, frequent symbols first."""
    rng = np.random.default_rng(1)

    def side(size: int) -> Padded:
        share = 1.0 / np.arange(1, size - EOS)
        values = rng.choice(np.arange(EOS + 1, size), (SENTENCES, LENGTH), p=share / share.sum())
        values[:, -1] = EOS
        return Padded(torch.from_numpy(values), torch.full((SENTENCES,), LENGTH))

    return Batch(side(sources), side(targets), np.arange(SENTENCES))


def updates(model: EncoderDecoder, batch: Batch, objective: Objective, last: list[float]) -> Callable[[int], float]:
    """One update; the unit of work is one. `last` takes the seconds of norm and optimiser."""
    optimizer = adamw(model, 0.9, 0.98, 0.01)

    def work(number: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = at(objective, number + 1, number)(model, batch)
        loss.total.backward()
        began = time.perf_counter()
        norm = gradient_norm(model.parameters()) / loss.count
        apply_update(optimizer, 1e-4, (1.0 / norm.clamp(min=1.0)) / loss.count, torch.isfinite(norm))
        last.append(time.perf_counter() - began)
        return 1.0

    return work


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[6000, 50_000, 200_000])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{paired.versions('torch')}, {arguments.threads} threads, {arguments.samples} samples")
    for size in arguments.sizes:
        shape = ModelShape(kind="gru", source_size=SOURCES, target_size=size, encoder_layers=1, decoder_layers=1,
                           tied="target", dropout=0.1)  # fmt: skip
        batch = made_up(SOURCES, size)
        counts = np.bincount(batch.target.values.flatten().numpy(), minlength=size)
        torch.manual_seed(1)
        model = build(shape).train()  # the two take turns: its weights change little, and speed does not depend on them
        last: list[float] = []
        sampled = Likelihood(0.0, proposal=Proposal("log_uniform", counts, arguments.samples))
        contenders = {
            "full": updates(model, batch, Likelihood(0.0), []),
            "sampled": updates(model, batch, sampled, last),
        }
        rates = paired.rounds(contenders, arguments.rounds)
        full, ours = (statistics.median(1.0 / rate for rate in rates[name]) for name in contenders)
        ratio, dense = paired.ratio(rates["sampled"], rates["full"]), statistics.median(last[1:])
        print(
            f"{size:,} symbols: full {full:.3f} s, sampled {ours:.3f} s (norm and AdamW {dense:.3f} s): {ratio} times"
        )


if __name__ == "__main__":
    main()
