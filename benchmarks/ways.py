"""What each way of decoding is worth on one run and test set, and what it costs beside beam search.

    python -m benchmarks.ways RUN TEST.tsv [--metric chrf] [--limit 300] [--only beam,mbr]

One line for each way: the metrics of its output; of its n best the one nearest to the reference (what a re-ranker could
still gain), the share of different words and pairs of words among all that they hold (Vijayakumar et al. 2018, section
5.1: distinct n-grams); and the time of the whole set. "required" gives each line one word of its reference that the
beam did not write, and says how many outputs have it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import seq2x
from seq2x.evaluate.inputs import items
from seq2x.metrics import evaluate_pairs, make
from seq2x.types import Example, Prediction

N = 5


def ways(metric: str, samples: int) -> Mapping[str, dict[str, Any]]:
    """Settings by the name of the way."""
    diverse = {"beam_size": 6, "n_best": N}
    return {
        "beam": {"beam_size": 5, "n_best": N},
        "greedy": {"beam_size": 1},
        "beam 6": diverse,
        "diverse 3 x 2, 0.2": {**diverse, "diversity_groups": 3, "diversity_strength": 0.2},
        "diverse 3 x 2, 0.5": {**diverse, "diversity_groups": 3, "diversity_strength": 0.5},
        "diverse 6 x 1, 0.5": {**diverse, "diversity_groups": 6, "diversity_strength": 0.5},
        "one draw": {"sample": True},
        f"mbr {metric}, {samples} draws": {"mbr": metric, "samples": samples, "n_best": N},
        f"mbr {metric}, {samples} draws, top_p 0.9": {"mbr": metric, "samples": samples, "n_best": N, "top_p": 0.9},
        f"mbr {metric}, beam 32": {"mbr": metric, "mbr_from": "beam", "beam_size": 32, "n_best": N},
    }


def report(
    name: str, examples: Sequence[Example], found: Sequence[Prediction], seconds: float, metrics: Sequence[str]
) -> None:
    """One line."""
    references = [example.targets for example in examples]
    values = [evaluate_pairs(m, [one.value for one in found], references, samples=0).value for m in metrics]
    lists = [[other.value for other in one.alternatives] or [one.value] for one in found]
    nearest = [evaluate_pairs(metrics[0], _nearest(metrics[0], lists, references), references, samples=0).value]
    distinct = [sum(len(set(grams)) for grams in all_) / max(sum(map(len, all_)), 1) for all_ in _grams(lists)]
    numbers = " ".join(f"{value:7.2f}" for value in (*values, *nearest))
    print(f"{name:36} {numbers}  {distinct[0]:.3f} {distinct[1]:.3f} {seconds:8.1f}", flush=True)


def _nearest(metric: str, lists: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> list[str]:
    made = make(metric, references)
    sign = 1.0 if made.better == "higher" else -1.0
    return [
        max(texts, key=lambda text: sign * made.score(made.count(text, right)))
        for texts, right in zip(lists, references, strict=True)
    ]


def _grams(lists: Sequence[Sequence[str]]) -> Iterator[list[list[tuple[str, ...]]]]:
    """Words, then pairs of words, of all that each list holds."""
    for n in (1, 2):
        every = [[text.split() for text in texts] for texts in lists]
        yield [[tuple(words[at : at + n]) for words in of_one for at in range(len(words) - n + 1)] for of_one in every]


def missing_words(examples: Sequence[Example], found: Sequence[Prediction]) -> list[str | None]:
    """For each line the longest word of its reference that its output lacks."""
    every = []
    for example, one in zip(examples, found, strict=True):
        missing = [word for word in example.targets[0].split() if word not in one.value.split()]
        every.append(max(missing, key=len, default=None))
    return every


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("test")
    parser.add_argument("--metric", default="chrf", help="what mbr compares by, and the first to be reported")
    parser.add_argument("--also", default="bleu", help="metrics beside it, commas between")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--only", default="", help="parts of the names of ways, commas between")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    run = seq2x.load(arguments.run, threads=arguments.threads)
    examples = items(run, arguments.test, {}).examples[: arguments.limit]
    sources, metrics = (
        [example.source for example in examples],
        [arguments.metric, *filter(None, arguments.also.split(","))],
    )
    print(f"{'':36} {' '.join(f'{name:>7}' for name in (*metrics, 'nearest'))}  dist1 dist2  seconds")
    only = [part for part in arguments.only.split(",") if part]

    def decode(**wishes: Any) -> tuple[list[Prediction], float]:
        begin = time.perf_counter()
        return list(run.stream(sources, **wishes)), time.perf_counter() - begin

    for name, settings in ways(arguments.metric, arguments.samples).items():
        if not only or any(part in name for part in only):
            report(name, examples, *decode(**settings), metrics)
    if not only or "required" in only:
        words = missing_words(examples, decode(beam_size=5)[0])
        for beam_size in (1, 5, 10):
            found, seconds = decode(beam_size=beam_size, require=words)
            report(f"required word, beam {beam_size}", examples, found, seconds, metrics)
            held = sum(word in one.value for word, one in zip(words, found, strict=True) if word)
            unmet = sum(one.stopped == "unmet" for one in found)
            print(f"    {held} of {sum(map(bool, words))} outputs have their word, {unmet} cannot be")


if __name__ == "__main__":
    main()
