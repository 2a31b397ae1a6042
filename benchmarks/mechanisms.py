"""What an idea costs: training and greedy decoding with and without it, in paired rounds.

    SEQ2X_DATA=... python -m benchmarks.mechanisms [NAME ...] [--rounds 5] [--threads 1] [--write]

The model without it: a GRU with additive attention (256 wide, one encoder layer of two directions, one decoder layer,
one vocabulary of 6,000), batches of about 1,500 target tokens of Multi30k; decoded are 64 lines at a time. Labels are
given to the symbols of the sources. A ratio above 1 says how many times longer a step takes with the idea. Names are
those of docs/mechanisms.md; `--write` keeps the ratios in benchmarks/mechanisms.jsonl, from where that page has them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import paired
from benchmarks.training import PLAIN, batches, seq2x_updates
from seq2x.models import EncoderDecoder, Labeller, ModelShape, build, build_labeller
from seq2x.objectives import Attended, Likelihood, Rewarded, ScheduledSampling, SequenceLikelihood
from seq2x.search import Fusion, Rules, search
from seq2x.search.viterbi import viterbi
from seq2x.settings import AT_ONCE
from seq2x.types import NOTHING, PAD, Batch, Objective, Padded

COSTS = Path(__file__).with_name("mechanisms.jsonl")
LENGTH = 20  # symbols of every output that is decoded


@dataclass(frozen=True)
class Mechanism:
    """What is changed in the shape of the model, and what is learned; `lm`: a language model of its size helps. `both`:
    what the model without it has in common with it, beside the usual.
    """

    shape: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective = PLAIN
    lm: bool = False
    both: Mapping[str, Any] = field(default_factory=dict)


def shortness(rows: np.ndarray, outputs: Sequence[Sequence[Sequence[int]]]) -> np.ndarray:
    """A reward that takes no time: measured is drawing, and learning from it. (A metric of texts comes on top.)"""
    return np.array([[1.0 / len(output) for output in some] for some in outputs])


def _each(name: str, *values: str) -> dict[str, Mechanism]:
    return {f'{name} = "{value}"': Mechanism({name: value}) for value in values}


_LANGUAGE = Mechanism({"source": False, "tied": "target"})
_TRANSFORMER = {"kind": "transformer", "encoder_layers": 3, "decoder_layers": 3}
MECHANISMS = {
    **_each("attention", "dot", "general"),
    **_each("attention_history", "location", "coverage", "location+coverage"),
    **_each("attention_path", "local_m", "local_p", "monotonic", "monotonic_soft", "forward"),
    "attention_heads = 2": Mechanism({"attention_heads": 2}),
    "attention_temperature = 0.7": Mechanism({"attention_temperature": 0.7}),
    "attention_alpha = 0.5": Mechanism({"attention_alpha": 0.5}),
    **_each("context_from", "mean"),
    **_each("context_join", "sum", "gate"),
    "input_feeding = true": Mechanism({"input_feeding": True}),
    "coverage_loss = 1.0": Mechanism(objective=Attended(PLAIN, coverage=1.0)),
    "guided_attention = 1.0": Mechanism(objective=Attended(PLAIN, guided=1.0)),
    **_each("context", "last"),
    **_each("copy", "generator"),
    **_each("decoder", "coupled"),
    'decoder = "mask_predict"': Mechanism({"decoder": "mask_predict"}, both=_TRANSFORMER),
    'decoder = "ctc"': Mechanism({"decoder": "ctc", "ctc_upsample": 2}, both={"tied": "none"}),
    'model = "conv", three layers': Mechanism({"kind": "conv", "encoder_layers": 3, "decoder_layers": 3}),
    'scheduled_sampling = "linear"': Mechanism(
        objective=ScheduledSampling(PLAIN, "linear", 0.25, 1, step_by_step=True, share=0.25)
    ),
    'scheduled_sampling = "linear", in two passes': Mechanism(
        objective=ScheduledSampling(PLAIN, "linear", 0.25, 1, step_by_step=False, share=0.25)
    ),
    'objective = "self_critical", reward_samples = 1': Mechanism(
        objective=Rewarded("self_critical", shortness, PLAIN, samples=1)
    ),
    'objective = "minimum_risk", reward_samples = 5': Mechanism(
        objective=Rewarded("minimum_risk", shortness, PLAIN, samples=5)
    ),
    "--lm RUN2 --lm-use fusion": Mechanism(lm=True),
    'task = "lm"': _LANGUAGE,
    'crf = true, task = "tag"': Mechanism(
        {"head": "crf"}, SequenceLikelihood(), both={"head": "softmax", "tied": "none", "target_size": 20}
    ),
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


def labelling(model: Labeller, batch: Batch) -> Callable[[int], float]:
    """The best labels of one batch; the unit of work is one sentence."""

    @torch.no_grad()
    def work(_: int) -> float:
        chain = model.eval().chain(batch.source)
        transitions = None if chain.transitions is None else chain.transitions.numpy()
        viterbi(chain.unary.numpy(), batch.source.lengths.numpy(), transitions)
        return len(batch.source.lengths)

    return work


def labelled(batch: Batch) -> Batch:
    """The symbols of the sources as tokens with a label each, of seventeen."""
    source, labels = batch.source, torch.where(batch.source.values == PAD, PAD, 3 + batch.source.values % 17)
    tokens = source._replace(values=source.values[..., None])
    return batch._replace(source=tokens, target=Padded(labels, source.lengths))


def measured(base: ModelShape, mechanism: Mechanism, parts: list[Batch], rounds: int) -> dict[str, paired.Ratio]:
    """How many times as long an update takes, where it is another one, and decoding, where both take such steps."""
    torch.manual_seed(1)
    base = replace(base, **mechanism.both)
    shape, tags = replace(base, **mechanism.shape), base.head != "decoder"
    made = build_labeller if tags else build
    off, on = made(base), made(shape)
    parts = [labelled(part) for part in parts] if tags else parts
    few = parts[0]._replace(
        source=Padded(*(part[:64] for part in parts[0].source)), copy_ids=parts[0].source.values[:64]
    )
    work = {}
    if not mechanism.lm:
        plain = Likelihood(0.0) if tags else PLAIN
        updates = seq2x_updates(off, parts, "fp32", plain), seq2x_updates(on, parts, "fp32", mechanism.objective)
        work["update"] = updates
    if tags:
        work["decoding"] = labelling(off, few), labelling(on, few)
    elif shape.decoder not in AT_ONCE and mechanism.objective is PLAIN:
        lm = build(replace(base, **_LANGUAGE.shape)) if mechanism.lm else None
        work["decoding"] = decoding(off, few), decoding(on, few, lm)
    rates = {name: paired.rounds(dict(zip(("off", "on"), both, strict=True)), rounds) for name, both in work.items()}
    return {name: paired.ratio(found["off"], found["on"]) for name, found in rates.items()}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of ideas (none: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the ratios in benchmarks/mechanisms.jsonl")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size, parts = batches(Path(os.environ["SEQ2X_DATA"]), 6000, 1500)
    base = ModelShape(
        kind="gru", source_size=size, target_size=size, encoder_layers=1, decoder_layers=1, tied="all", dropout=0.1
    )
    # One vocabulary: a symbol of the source means itself. (A pointer could not write these targets.)
    parts = [part._replace(copy_ids=part.source.values) for part in parts]
    versions = f"{paired.versions('torch')}, {arguments.threads} threads"
    print(versions)
    for name, mechanism in MECHANISMS.items():
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        found = measured(base, mechanism, parts, arguments.rounds)
        print(f"{name}: times as long: " + ", ".join(f"{what} {ratio}" for what, ratio in found.items()), flush=True)
        if arguments.write:
            row = {"idea": name, **{what: asdict(ratio) for what, ratio in found.items()}}
            with COSTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "rounds": arguments.rounds, "versions": versions}) + "\n")


if __name__ == "__main__":
    main()
