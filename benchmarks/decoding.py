"""Decoding speed beside `transformers`, in one process, with the same weights, in paired rounds.

    SEQ2X_DATA=... python -m benchmarks.decoding RUN [--lines 1000] [--rounds 3] [--threads 2]

RUN is a seq2x run of a post-norm Transformer with one matrix for all embeddings (recipe `multi30k-en-de-fast`). Its
weights are put into a MarianMTModel; both decode the English side of Multi30k's dev set, fp32, greedy and with beam
5 (score: log P / |Y|, a sentence ends when five hypotheses have), in batches of 64 from the length-sorted list and
one by one. Before any rate is printed the outputs are compared; seq2x's time includes its tokenisation,
transformers' does not.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import seq2x
from benchmarks import marian, paired
from seq2x.predict import Predictor
from seq2x.types import BOS, EOS, PAD

MOST = 100  # symbols of an output


def ours(run: Predictor, texts: list[str], beams: int, size: int) -> list[list[int]]:
    """Token ids of each output, by seq2x."""
    found = run(
        texts, details=True, beam_size=beams, batch_size=size, window=len(texts), max_length=MOST,
        length_penalty="average", length_alpha=1.0,
    )  # fmt: skip
    return [list(prediction.ids) for prediction in found]


def theirs(model: nn.Module, sources: list[list[int]], beams: int, size: int) -> list[list[int]]:
    """Token ids of each output, by transformers' generate."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        num_beams=beams, do_sample=False, max_new_tokens=MOST, length_penalty=1.0, early_stopping=beams > 1,
        pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS, decoder_start_token_id=BOS,
    )  # fmt: skip
    order = sorted(range(len(sources)), key=lambda row: -len(sources[row]))
    out: list[list[int]] = [[]] * len(sources)
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        longest = max(len(sources[row]) for row in rows)
        ids = torch.tensor([sources[row] + [PAD] * (longest - len(sources[row])) for row in rows])
        found = model.generate(input_ids=ids, attention_mask=(ids != PAD).long(), generation_config=config)
        for row, tokens in zip(rows, found[:, 1:].tolist(), strict=True):
            out[row] = tokens[: tokens.index(EOS)] if EOS in tokens else [t for t in tokens if t != PAD]
    return out


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--one-by-one", type=int, default=100, help="lines decoded one by one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    run = seq2x.load(arguments.run)
    twin = marian.twin(run.task.model, run.task.about.shape).eval()
    path = Path(os.environ["SEQ2X_DATA"]) / "mt/multi30k/en-de/dev.tsv"
    texts = [line.split("\t")[0] for line in path.read_text(encoding="utf-8").split("\n") if line][: arguments.lines]
    sources = [[*run.task.source_codec.encode(text), EOS] for text in texts]
    print(paired.versions("torch", "transformers"), f"{arguments.threads} threads", sep=", ")
    for beams in (1, 5):
        for size, count in ((64, len(texts)), (1, min(arguments.one_by_one, len(texts)))):
            _compare(run, twin, texts[:count], sources[:count], beams, size, arguments.rounds)


def _compare(
    run: Predictor, twin: nn.Module, texts: list[str], sources: list[list[int]], beams: int, size: int, rounds: int
) -> None:
    """Outputs first, then rates."""
    a, b = ours(run, texts, beams, size), theirs(twin, sources, beams, size)
    same = sum(x == y for x, y in zip(a, b, strict=True))
    contenders: dict[str, Callable[[int], float]] = {
        "seq2x": lambda _: float(len(ours(run, texts, beams, size))),
        "transformers": lambda _: float(len(theirs(twin, sources, beams, size))),
    }
    rates = paired.rounds(contenders, rounds)
    speed = paired.ratio(rates["seq2x"], rates["transformers"])
    medians = ", ".join(f"{name} {statistics.median(values):.1f}" for name, values in rates.items())
    print(
        f"beam {beams}, batch {size:2}: {same} of {len(texts)} outputs identical; lines per second: {medians}; "
        f"seq2x / transformers: {speed}",
        flush=True,
    )
    if same < 0.99 * len(texts):
        print("  the outputs differ in more than one of a hundred: this ratio is void")


if __name__ == "__main__":
    main()
