"""What preparing data costs as it grows: 10,000, 100,000 and 1,000,000 lines, each in a process of its own.

    python -m benchmarks.check_cost [--most 1000000]

Lines are made from a seed: about ten words a side. For each size and each step (check; tokenise into the store; open
the prepared store and lay out one epoch; a whole training of one update, from the file on, with a BPE learned from it;
one more update of the prepared run) processor time and peak memory are printed, without the import of torch. Cost
should grow linearly, memory hardly at all.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = ("check", "store", "open", "train", "again")
TINY = {
    "units": "bpe", "model": "gru", "layers": 1, "width": 32, "embedding_width": 32, "batch_tokens": 256,
    "valid_metric": "loss", "valid_size": 100, "max_length": 5, "probe": False, "threads": 1,
}  # fmt: skip


def write_lines(path: Path, count: int) -> None:
    """`count` pairs of short sentences over 5,000 words."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            source = draw.choices(words, k=draw.randint(5, 15))
            file.write(f"{' '.join(source)}\t{' '.join(reversed(source))}\n")


def step(name: str, path: Path) -> None:
    """Do one step and print its cost as JSON: runs in a process of its own."""
    import torch  # noqa: F401  # so that its import does not count

    import seq2x
    from seq2x.codecs import TextCodec
    from seq2x.data import Batches, check, open_store, read, sniff, write_store

    began = time.process_time()
    folder = path.with_suffix(".store")
    if name == "check":
        check([path])
    elif name == "store":
        codec = TextCodec.learn(["abcdefghijklmnopqrstuvwxyz "], units="char")
        write_store(folder, read([path], sniff([path])), codec, codec, 512, 512)
    elif name in ("train", "again"):
        steps = 1 if name == "train" else 2
        seq2x.train(path, out=path.with_suffix(".run"), max_steps=steps, **TINY)
    else:
        store = open_store(folder)
        Batches(store.source_lengths, store.target_lengths, 4096, seed=1).epoch(0)
    seconds, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 2), "peak_mb": round(peak)}))


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments.step[0], Path(arguments.step[1]))
        return
    print("lines      " + "".join(f"{name:>24}" for name in STEPS))
    with tempfile.TemporaryDirectory() as folder:
        for count in (10_000, 100_000, 1_000_000):
            if count > arguments.most:
                break
            path = Path(folder) / f"{count}.tsv"
            write_lines(path, count)
            cells = []
            for name in STEPS:
                command = [sys.executable, "-m", "benchmarks.check_cost", "--step", name, str(path)]
                cost = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                cells.append(f"{cost['seconds']:>10.2f} s {cost['peak_mb']:>6} MB   ")
            print(f"{count:>9,}  " + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
