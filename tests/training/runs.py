"""Whole tiny runs: strings reversed, a few dozen steps, all through `train`."""

import hashlib
import json
import os
import random
from pathlib import Path

from seq2x.training import train
from seq2x.training.log import read_metrics

SETTINGS = {
    "width": 16,
    "layers": 1,
    "heads": 2,
    "feedforward": 16,
    "vocab_size": 300,
    "batch_tokens": 64,
    "max_steps": 12,
    "valid_steps": 6,
    "valid_size": 4,
    "max_length": 6,
    "warmup_steps": 4,
    "early_stopping": 0,
    "threads": 1,
    "probe": False,
    "device": os.environ.get("SEQ2X_TEST_DEVICE", "cpu"),
}


def pairs(folder: Path, lines: int = 60, seed: int = 1) -> Path:
    draw = random.Random(seed)
    path = folder / "pairs.tsv"
    words = ["".join(draw.choice("abcde") for _ in range(draw.randint(1, 6))) for _ in range(lines)]
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    return path


def go(path: Path, out: Path, **changes):
    arguments = {name: changes.pop(name) for name in ("restart", "allow_change", "from_run") if name in changes}
    return train(path, out=out, settings=SETTINGS | changes, quiet=True, **arguments)


def content(run: Path) -> dict:
    """All that must be equal, to the bit: every file of `last/` and `best/`, what stands beside them, the metrics."""
    found = {}
    for part in ("last", "best"):
        if (run / part / "manifest.json").exists():
            manifest = json.loads((run / part / "manifest.json").read_text())
            about = {
                name: value for name, value in manifest["about"].items() if name not in ("time", "asked", "settings")
            }
            files = {
                name: hashlib.sha256((run / part / f["file"]).read_bytes()).hexdigest()
                for name, f in manifest["files"].items()
            }
            found[part] = [manifest["step"], about, files]
    metrics = [{name: value for name, value in line.items() if name != "time"} for line in read_metrics(run)]
    return found | {"metrics": metrics}


def leftovers(run: Path) -> list[str]:
    """Files that no finished start should leave behind."""
    return sorted(
        str(path.relative_to(run))
        for path in run.rglob("*")
        if (path.name.startswith(".") and path.name != ".lock") or path.suffix in (".tmp", ".new", ".waiting")
    )
