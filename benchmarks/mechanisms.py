"""What a mechanism costs: training and greedy decoding with and without it, in paired rounds.

    SEQ2X_DATA=... python -m benchmarks.mechanisms [NAME ...] [--rounds 5] [--threads 1]

The model without it: a GRU with additive attention (256 wide, one encoder layer of two directions, one decoder layer,
one vocabulary of 6,000), batches of about 1,500 target tokens of Multi30k; decoded are 64 lines at a time. A ratio
above 1 says how many times longer a step takes with the mechanism.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import paired
from benchmarks.training import PLAIN, batches, seq2x_updates
from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.objectives import Attended, Rewarded, ScheduledSampling
from seq2x.search import Fusion, Rules, search
from seq2x.types import NOTHING, Batch, Objective, Padded

LENGTH = 20  # symbols of every output that is decoded


@dataclass(frozen=True)
class Mechanism:
    """What is changed in the shape of the model, and what is learned; `lm`: a language model of its size helps."""

    shape: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective = PLAIN
    lm: bool = False


def shortness(rows: np.ndarray, outputs: Sequence[Sequence[Sequence[int]]]) -> np.ndarray:
    """A reward that takes no time: measured is drawing, and learning from it. (A metric of texts comes on top.)"""
    return np.array([[1.0 / len(output) for output in some] for some in outputs])


MECHANISMS = {
    "attention_history = location": Mechanism({"attention_history": "location"}),
    "attention_history = coverage": Mechanism({"attention_history": "coverage"}),
    "attention_history = location+coverage": Mechanism({"attention_history": "location+coverage"}),
    "attention_temperature = 0.7": Mechanism({"attention_temperature": 0.7}),
    "attention_heads = 4": Mechanism({"attention_heads": 4}),
    "attention_path = local_m": Mechanism({"attention_path": "local_m"}),
    "attention_path = local_p": Mechanism({"attention_path": "local_p"}),
    "attention_path = monotonic": Mechanism({"attention_path": "monotonic"}),
    "attention_path = forward": Mechanism({"attention_path": "forward"}),
    "attention_alpha = 1": Mechanism({"attention_alpha": 1.0}),
    "context_from = mean": Mechanism({"context_from": "mean"}),
    "context_join = sum": Mechanism({"context_join": "sum"}),
    "context_join = gate": Mechanism({"context_join": "gate"}),
    "coverage_loss = 1": Mechanism(objective=Attended(PLAIN, coverage=1.0)),
    "guided_attention = 1": Mechanism(objective=Attended(PLAIN, guided=1.0)),
    "input_feeding = true": Mechanism({"input_feeding": True}),
    "decoder = coupled": Mechanism({"decoder": "coupled"}),
    "model = conv, 3 layers": Mechanism({"kind": "conv", "encoder_layers": 3, "decoder_layers": 3}),
    "scheduled_sampling, share 0.25": Mechanism(
        objective=ScheduledSampling(PLAIN, "linear", 0.25, 1, step_by_step=True, share=0.25)
    ),
    "scheduled_sampling in two passes, share 0.25": Mechanism(
        objective=ScheduledSampling(PLAIN, "linear", 0.25, 1, step_by_step=False, share=0.25)
    ),
    "objective = self_critical, 1 sample": Mechanism(objective=Rewarded("self_critical", shortness, PLAIN, samples=1)),
    "objective = minimum_risk, 5 samples": Mechanism(objective=Rewarded("minimum_risk", shortness, PLAIN, samples=5)),
    "copy = generator": Mechanism({"copy": "generator"}),
    "copy = generator, coverage": Mechanism(
        {"copy": "generator", "attention_history": "coverage"}, Attended(PLAIN, coverage=1.0)
    ),
    "source = false (a language model)": Mechanism({"source": False, "tied": "target"}),
    "--lm (shallow fusion)": Mechanism(lm=True),
}


def decoding(model: EncoderDecoder, batch: Batch, lm: EncoderDecoder | None = None) -> Callable[[int], float]:
    """Greedy decoding of one batch, every output `LENGTH` symbols long; the unit of work is one sentence."""
    lengths = batch.source.lengths.numpy()
    rules = Rules(beam_size=1, min_length=LENGTH)
    decoder = model if lm is None else Fusion(model, lm.eval(), 0.3)

    @torch.no_grad()
    def work(_: int) -> float:
        model.eval()
        memory: Any = model.encode(batch.source, batch.copy_ids)
        memory = memory if lm is None else (memory, lm.encode(batch.source))
        search(decoder, memory, lengths, np.full(len(lengths), LENGTH), rules, None, NOTHING)
        return len(lengths)

    return work


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of mechanisms (none: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size, parts = batches(Path(os.environ["SEQ2X_DATA"]), 6000, 1500)
    base = ModelShape(
        kind="gru", source_size=size, target_size=size, encoder_layers=1, decoder_layers=1, tied="all", dropout=0.1
    )
    # One vocabulary: a symbol of the source means itself. (A pointer could not write these targets.)
    parts = [part._replace(copy_ids=part.source.values) for part in parts]
    few = parts[0]._replace(
        source=Padded(*(part[:64] for part in parts[0].source)), copy_ids=parts[0].source.values[:64]
    )
    print(f"{paired.versions('torch')}, {arguments.threads} threads")
    for name, mechanism in MECHANISMS.items():
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        torch.manual_seed(1)
        off, on = build(base), build(replace(base, **mechanism.shape))
        trained = paired.rounds(
            {
                "off": seq2x_updates(off, parts, "fp32"),
                "on": seq2x_updates(on, parts, "fp32", mechanism.objective),
            },
            arguments.rounds,
        )
        lm = build(replace(base, **MECHANISMS["source = false (a language model)"].shape)) if mechanism.lm else None
        decoded = paired.rounds({"off": decoding(off, few), "on": decoding(on, few, lm)}, arguments.rounds)
        costs = [paired.ratio(rates["off"], rates["on"]) for rates in (trained, decoded)]
        print(f"{name}: an update takes {costs[0]} times as long, greedy decoding {costs[1]}", flush=True)


if __name__ == "__main__":
    main()
