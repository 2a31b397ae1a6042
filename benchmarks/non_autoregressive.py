"""Greedy decoding beside mask-predict with four iterations: from which batch on is writing all at once not faster?

    python -m benchmarks.non_autoregressive [--rounds 5] [--threads 1] [--batches 1 2 4 8 16 32] [--device cpu]

Both are Transformers of the same widths (those of recipe `multi30k-en-de-fast`: 3+3 layers, 256 wide, 6,000 symbols)
with random weights, decoded by the torch backend. Sources have 15 symbols, and every output is made to have 20: greedy
takes 20 steps, mask-predict four passes, for one length or for five around it. A ratio above 1 says how many times as
many sentences mask-predict writes in the same time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from benchmarks import paired
from seq2x.models import AnyModel, EncoderDecoder, MaskPredict, ModelShape, build
from seq2x.search import Refinement, Rules, refine, search
from seq2x.tasks import pick_device
from seq2x.types import Padded

SOURCE, LENGTH, SYMBOLS = 15, 20, 6000
SENTENCES = 16  # decoded by each contender in each round, in batches; two batches at least


def greedy(model: AnyModel, source: Padded) -> Callable[[int], float]:
    """Batches of `source`, every output `LENGTH` symbols long."""
    assert isinstance(model, EncoderDecoder)
    rules, size = Rules(beam_size=1, min_length=LENGTH), len(source.lengths)
    most, count = np.full(size, LENGTH), max(2, SENTENCES // size)

    @torch.no_grad()
    def work(_: int) -> float:
        for _ in range(count):
            found = search(model, model.encode(source), source.lengths.numpy(), most, rules)
            assert (found.lengths == LENGTH).all()
        return size * count

    return work


def mask_predict(model: AnyModel, source: Padded, lengths: int, iterations: int) -> Callable[[int], float]:
    """The same by refinement; with several lengths, `LENGTH` is the middle one."""
    assert isinstance(model, MaskPredict)
    size, half = len(source.lengths), lengths // 2
    count = max(2, SENTENCES // size)
    most = np.full(size, LENGTH + 1 + half)  # `</s>` counted, which is no symbol to be written here
    rules = Refinement(iterations=iterations, lengths=lengths, min_length=LENGTH - half)

    @torch.no_grad()
    def work(_: int) -> float:
        for _ in range(count):
            found = refine(model, model.encode(source), most, rules)
            assert (abs(found.lengths - 1 - LENGTH) <= half).all()
        return size * count

    return work


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)
    shape = ModelShape(kind="transformer", source_size=SYMBOLS, target_size=SYMBOLS, tied="all", norm_position="post")
    torch.manual_seed(1)
    standard = build(shape).to(device).eval()
    parallel = build(replace(shape, decoder="mask_predict")).to(device).eval()
    print(f"{paired.versions('torch')}, {device}, {arguments.threads} threads, {arguments.iterations} iterations")
    for size in arguments.batches:
        values = torch.randint(3, SYMBOLS, (size, SOURCE)).to(device)
        source = Padded(values, torch.full((size,), SOURCE))
        contenders = {"greedy": greedy(standard, source)}
        for lengths in (1, 5):
            contenders[f"{lengths}"] = mask_predict(parallel, source, lengths, arguments.iterations)
        rates = paired.rounds(contenders, arguments.rounds)
        one, five = (paired.ratio(rates[name], rates["greedy"]) for name in ("1", "5"))
        print(f"batch {size:2}: mask-predict is {one} times as fast as greedy; with five lengths {five}", flush=True)


if __name__ == "__main__":
    main()
