"""`seq2x doctor`: is this machine all right? Versions, devices, and a tiny model through the whole path in seconds."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser

__all__ = ["HELP", "add", "run"]

HELP = "is this machine all right: versions, devices, a short self-test"
_NEEDED = ("torch", "numpy", "tokenizers", "safetensors", "sacrebleu", "rapidfuzz", "pydantic", "rich")
_TINY: dict[str, Any] = {
    "units": "char",
    "layers": 1,
    "width": 32,
    "heads": 2,
    "feedforward": 64,
    "batch_tokens": 256,
    "max_steps": 20,
    "valid_steps": 20,
    "valid_size": 8,
    "probe": False,
    "device": "cpu",
    "threads": 1,  # so little work is slower when it is shared
}


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x doctor [options]"


def run(arguments: argparse.Namespace) -> int:
    """Print the facts, then what the self-test found; any fault is an error like everywhere else."""
    facts = _facts()
    if not arguments.json:
        streams.write("".join(f"{name:<12}{value}\n" for name, value in facts.items()))
    began = time.monotonic()
    steps = _self_test()
    seconds = time.monotonic() - began
    if arguments.json:
        streams.write_json({**facts, "self_test": steps, "seconds": round(seconds, 2), "ok": True})
    else:
        streams.write(f"self-test   {', '.join(steps)} ({seconds:.1f} s)\nall right\n")
    return 0


def _facts() -> dict[str, str]:
    import torch

    from seq2x import __version__

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "seq2x": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in _NEEDED),
        "devices": ", ".join(["cpu", *(f"cuda:{i} {name}" for i, name in enumerate(cuda))]),
        "processor": f"{_cores()} cores usable, {torch.get_num_threads()} threads, {_kernels()}",
        "decoding": _engine(),
        "memory": _memory(),
    }


def _engine() -> str:
    """Which engine decodes on this machine's processor, and why."""
    from seq2x.engine import library

    found = library.find()
    return f"torch: {found.why}" if found.functions is None else f"native, {found.why}"


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return "unknown"


def _kernels() -> str:
    import torch

    return f"{torch.backends.cpu.get_cpu_capability()} kernels"


@contextmanager
def _own_threads() -> Iterator[None]:
    """What happens inside leaves the number of threads as it was."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _self_test() -> list[str]:
    """Train, save, load, predict and score in a folder that is gone afterwards; what was done, in words."""
    from seq2x.errors import Seq2xError
    from seq2x.evaluate import score
    from seq2x.predict import load
    from seq2x.training import train

    words = [a + b + c for a in "abcdef" for b in "abcdef" for c in "ab"]
    with _own_threads(), tempfile.TemporaryDirectory(prefix="seq2x-doctor-") as place:
        pairs = Path(place) / "pairs.tsv"
        pairs.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
        info = train(pairs, out=Path(place) / "run", settings=_TINY, quiet=True)
        predictor = load(info.folder, "cpu")
        inputs = [*words[:20], "", "never seen: 你好"]
        outputs = predictor(inputs, details=True)
        again = [predictor(text, details=True) for text in inputs]
        scored = predictor.task.score(inputs[:20], [[*p.ids, 2] if p.stopped == "end" else p.ids for p in outputs[:20]])
        sound = (
            len(outputs) == len(inputs)
            and not outputs[20].value
            and all(abs(p.log_p - q.log_p) < 1e-4 for p, q in zip(outputs, again, strict=True))
            and all(abs(p.log_p - s.log_p) < 1e-4 for p, s in zip(outputs, scored, strict=False))
            and score(predictor, str(pairs)).perplexity.value > 1.0
        )
        if not sound:
            raise Seq2xError(
                "doctor", "this machine computes different numbers for the same thing", "", "please report"
            )
    return ["trained", "saved", "loaded", "decoded", "scored"]
