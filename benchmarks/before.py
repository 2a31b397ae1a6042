"""Whether this state is as fast as another one: the same work on both, in paired rounds, outputs compared first.

    SEQ2X_DATA=... python -m benchmarks.before COMMIT [--starts 5] [--rounds 3] [--threads 1]

The other commit is laid beside in a worktree, for as long as this runs. Each state works in a process of its own, and
they take turns: updates on Multi30k (batches of about 1,500 target tokens), and greedy and beam search of 64 lines, 20
symbols each, by a GRU with attention and by a Transformer, 256 wide. Rates are per second of processor time, of which
other work on the machine takes none. A ratio above 1 says how many times as fast this state is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LENGTH = 20
SHAPES = {
    "GRU": {"kind": "gru", "encoder_layers": 1, "decoder_layers": 1},
    "Transformer": {"kind": "transformer", "encoder_layers": 3, "decoder_layers": 3},
}


def work(threads: int) -> None:
    """In the process of one state: say what comes out, then answer each name of a piece of work with its rate."""
    import time

    import torch

    torch.set_num_threads(threads)
    pieces, digest = _pieces()
    print(json.dumps(digest), flush=True)
    for number, name in enumerate(line.strip() for line in sys.stdin):
        began = time.process_time()
        done = pieces[name](number)
        print(json.dumps(done / (time.process_time() - began)), flush=True)


def _pieces() -> tuple[dict[str, Callable[[int], float]], dict[str, Any]]:
    """What is measured, by name, and what must be equal: first losses and outputs."""
    import numpy as np
    import torch

    from benchmarks.training import batches, seq2x_updates
    from seq2x.models import ModelShape, build
    from seq2x.objectives.likelihood import Likelihood
    from seq2x.search import Rules, search
    from seq2x.types import NOTHING

    size, parts = batches(Path(os.environ["SEQ2X_DATA"]), 6000, 1500)
    few = parts[0].source._replace(values=parts[0].source.values[:64], lengths=parts[0].source.lengths[:64])
    limits = np.full(64, LENGTH)

    def decode(model: Any, beam: int) -> Any:
        with torch.no_grad():
            rules = Rules(beam_size=beam, min_length=LENGTH)
            return search(model, model.encode(few), few.lengths.numpy(), limits, rules, None, NOTHING)

    def decoded(model: Any, beam: int) -> Callable[[int], float]:
        return lambda _: len(decode(model.eval(), beam).tokens)

    pieces: dict[str, Callable[[int], float]] = {}
    digest: dict[str, Any] = {}
    for name, options in SHAPES.items():
        torch.manual_seed(1)
        model = build(ModelShape(source_size=size, target_size=size, tied="all", dropout=0.1, **options)).eval()
        digest[f"{name}, loss"] = float(Likelihood(0.1)(model, parts[0]).total.detach())
        for beam in (1, 5):
            digest[f"{name}, beam {beam}"] = decode(model, beam).tokens[:, 0].tolist()
        pieces[f"{name}: updates"] = seq2x_updates(model.train(), parts, "fp32")
        still = build(ModelShape(source_size=size, target_size=size, tied="all", dropout=0.1, **options))
        pieces |= {f"{name}: beam {beam}": decoded(still, beam) for beam in (1, 5)}
    return pieces, digest


class State:
    """The process of one state."""

    def __init__(self, tree: Path, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", "--threads", str(threads)],
            env={**os.environ, "PYTHONPATH": f"{tree / 'src'}:{tree}", "OMP_NUM_THREADS": str(threads)},
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> Any:
        """The next line."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def rate(self, name: str) -> float:
        """Units of work per second."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return float(self.said())

    def end(self) -> None:
        """No more work."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(tree: Path, rounds: int, starts: int, threads: int) -> None:
    """Print what differs, and the ratios."""
    from benchmarks import paired

    pairs: dict[str, list[tuple[float, float]]] = {}
    for start in range(starts):  # where memory falls makes a process faster or slower as a whole
        now, before = State(ROOT, threads), State(tree, threads)
        ours, theirs = now.said(), before.said()
        for what, value in ours.items() if start == 0 else ():
            print(f"{what}: {'equal' if value == theirs[what] else 'NOT EQUAL'}", flush=True)
        for name in (f"{shape}: {piece}" for shape in SHAPES for piece in ("updates", "beam 1", "beam 5")):
            for number in range(-1, rounds):  # the first warms up
                order = (now, before) if number % 2 else (before, now)
                rates = {state: state.rate(name) for state in order}
                pairs.setdefault(name, []).extend([(rates[now], rates[before])] if number >= 0 else [])
        for state in (now, before):
            state.end()
    for name, found in pairs.items():
        print(f"{name}: {paired.ratio(*zip(*found, strict=True))} times as fast", flush=True)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("commit", nargs="?")
    parser.add_argument("--rounds", type=int, default=3, help="of each start")
    parser.add_argument("--starts", type=int, default=5, help="of the processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(tree), arguments.commit], check=True, capture_output=True)
        try:
            compare(tree, arguments.rounds, arguments.starts, arguments.threads)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    return None


if __name__ == "__main__":
    main()
