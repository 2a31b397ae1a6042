"""Three acts and a prompt, all through the same `train` as any user's file.

1. A GRU with attention learns dates of forty languages: the same five dates from nonsense to right.
2. The same, with one context vector instead of attention: accuracy by the length of the input, side by side.
3. Where it looks (a heat map), how well it reads each language, and what hand-written rules make of the same strings.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2x.demo.dates import LANGUAGES, Counts, read_by_rules, write
from seq2x.errors import UsageError
from seq2x.pictures import heatmap_svg, heatmap_terminal
from seq2x.predict import Predictor, load
from seq2x.training import train

__all__ = ["Row", "run"]

SETTINGS: dict[str, Any] = {
    "source_units": "char",
    "target_units": "char",
    "model": "gru",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "width": 160,
    "embedding_width": 64,
    "dropout": 0.05,
    "label_smoothing": 0.0,
    "learning_rate": 0.004,
    "warmup_steps": 60,
    "lr_scheduler": "cosine",
    "batch_tokens": 4400,
    "max_steps": 380,
    "valid_steps": 25,
    "valid_size": 200,
    "early_stopping": 0,
    "beam_size": 1,
    "columns": "source=1,target=2",
}
"""What `seq2x train` would be told on the command line. A date is ten symbols and an end, so 4,400 are 400 dates."""

ONE_VECTOR: dict[str, Any] = {"context": "last", "context_use": "state+every"}
"""What differs in the second act: C is the encoder's last state, given at the start and at every step."""

_OURS = ("data", "attention", "one-vector", "attention.svg")  # what a demo leaves in its folder
_DATA = ("train.tsv", "test.tsv")
_LENGTHS = ((1, 10), (11, 14), (15, 18), (19, 24), (25, 99))


@dataclass(frozen=True, slots=True)
class Row:
    """One held-out date."""

    text: str
    iso: str
    language: str


def run(
    out: str | Path,
    as_json: bool = False,
    settings: Mapping[str, Any] | None = None,
    per_language: int = 2500,
    tell: Callable[[str], None] = print,
) -> int:
    """Play all acts in folder `out`; returns the exit code.

    `settings` and `per_language` make it shorter (tests); `tell` puts lines on standard output. Raises `UsageError`
    for a folder that is not a demo's own, and where babel is missing, before anything is written.
    """
    folder, began = Path(out), time.monotonic()
    say = _say_nothing if as_json else tell
    _require_own(folder)
    counts = write(folder / "data", per_language=per_language, test_per_language=min(50, per_language))
    tests = _read_rows(folder / "data" / "test.tsv")
    say(_opening(counts))

    say("\n=== 1. An encoder-decoder with attention learns to read dates\n")
    chosen = SETTINGS | dict(settings or {})
    train(folder / "data" / "train.tsv", out=folder / "attention", settings=chosen, quiet=as_json)
    reader = load(folder / "attention")
    right = _right(reader, tests)

    say("\n=== 2. The same with one context vector and no attention\n")
    train(folder / "data" / "train.tsv", out=folder / "one-vector", settings=chosen | ONE_VECTOR, quiet=as_json)
    right_one = _right(load(folder / "one-vector"), tests)
    by_length = _by_length(tests, right, right_one)
    say("\naccuracy on dates never seen, by length of the input (characters)\n")
    say(_length_table(by_length))

    say("\n=== 3. Where it looks, and how well it reads\n")
    say(_look(reader, tests, folder))
    rules = [read_by_rules(row.text, row.language) == row.iso for row in tests]
    by_language = _by_language(tests, right, rules)
    say(_language_table(by_language))
    accuracy, ruled = _percent(right), _percent(rules)
    lowest = min(by_language.items(), key=lambda item: item[1][0])
    worst = f"{LANGUAGES[lowest[0]]} {lowest[1][0]:.0f} %"
    say(
        f"\nall {len(tests):,} held-out dates: {accuracy:.1f} % right (lowest: {worst}); "
        f"babel.dates.parse_date, told the language, reads {ruled:.1f} % of the same strings"
    )
    if as_json:
        result = {
            "accuracy": accuracy,
            "accuracy_one_vector": _percent(right_one),
            "accuracy_rules": ruled,
            "by_language": {code: both[0] for code, both in by_language.items()},
            "by_length": [[low, high, *values] for (low, high), values in by_length.items()],
            "two_readings": counts.two_readings,
            "seconds": round(time.monotonic() - began, 1),
        }
        tell(json.dumps(result, ensure_ascii=False))
    elif all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        _prompt(reader, tell)
    say(f"\n({time.monotonic() - began:.0f} s.) Your own file, one pair a line, a TAB between source and target:\n")
    say("  seq2x check pairs.tsv\n  seq2x train pairs.tsv\n  seq2x predict runs/pairs < new.txt > out.txt")
    return 0


def _say_nothing(text: str) -> None:
    """`--json`: standard output belongs to the result."""


def _require_own(folder: Path) -> None:
    """`UsageError` if `folder` holds more than a demo leaves in it; `write` then looks into the data."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError("out", f"{folder} is not a folder", "a new folder", "choose another --out")
    data = folder / "data"
    begun = any((data / name).exists() for name in _DATA)
    strange = sorted(p.name for p in folder.iterdir() if p.name[0] != "." and not (begun and p.name in _OURS))
    if data.is_dir():
        inside = sorted(f"data/{p.name}" for p in data.iterdir() if p.name[0] != "." and p.name not in _DATA)
        strange = [name for name in strange if name != "data"] + inside
    if strange:
        found = f"{folder} holds other files ({', '.join(strange[:3])})"
        raise UsageError("out", found, "a new folder, or a demo's own", "choose another --out")


def _read_rows(path: Path) -> list[Row]:
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [Row(*line.split("\t")) for line in lines]


def _right(reader: Predictor, tests: Sequence[Row]) -> list[bool]:
    outputs = reader([row.text for row in tests], batch_size=256)
    return [output == row.iso for output, row in zip(outputs, tests, strict=True)]


def _percent(right: Sequence[bool]) -> float:
    return 100.0 * sum(right) / max(len(right), 1)


def _opening(counts: Counts) -> str:
    examples = "   ".join(counts.examples_of_two[:3])
    return (
        f"Dates as people write them in {len(LANGUAGES)} languages (CLDR, through babel):\n"
        f"{counts.train:,} to learn from, {counts.test:,} of other days to test on; "
        f"{counts.two_readings:,} strings with two readings left out, such as   {examples}"
    )


def _by_length(
    tests: Sequence[Row], right: Sequence[bool], one: Sequence[bool]
) -> dict[tuple[int, int], tuple[float, float, int]]:
    """Per range of input lengths: accuracy with attention, with one vector, and how many there are."""
    table = {}
    for low, high in _LENGTHS:
        rows = [n for n, row in enumerate(tests) if low <= len(row.text) <= high]
        if rows:
            table[low, high] = (_percent([right[n] for n in rows]), _percent([one[n] for n in rows]), len(rows))
    return table


def _length_table(by_length: Mapping[tuple[int, int], tuple[float, float, int]]) -> str:
    lines = ["length   dates   attention   one vector"]
    for (low, high), (attention, one, count) in by_length.items():
        lines.append(
            f"{low:>2}-{high:<2}  {count:7,}   {attention:7.1f} %   {one:8.1f} %   {'█' * round(attention / 5)}"
        )
        lines.append(" " * 40 + "░" * round(one / 5))
    return "\n".join(lines)


def _look(reader: Predictor, tests: Sequence[Row], folder: Path) -> str:
    """Attention over one German date (rows: output, columns: input), in the terminal and as `attention.svg`."""
    row = next((row for row in tests if row.language == "de" and "." in row.text and len(row.text) > 18), tests[0])
    (prediction,) = reader.stream([row.text], want=frozenset({"attention"}))
    weights = [line.tolist() for line in prediction.attention]
    source = reader.task.source_codec
    columns = [*source.tokens(source.encode(row.text)), "</s>"]
    rows = [*prediction.tokens, *(["</s>"] if prediction.stopped == "end" else [])]
    title = f"{row.text} → {prediction.value}"
    (folder / "attention.svg").write_text(heatmap_svg(weights, columns, rows, title), encoding="utf-8")
    return f"{title}\n\n{heatmap_terminal(weights, columns, rows)}\n\n(also in {folder / 'attention.svg'})\n"


def _by_language(tests: Sequence[Row], right: Sequence[bool], rules: Sequence[bool]) -> dict[str, tuple[float, float]]:
    """Per language: accuracy of the model and of the rules."""
    pairs = defaultdict(list)
    for row, ours, theirs in zip(tests, right, rules, strict=True):
        pairs[row.language].append((ours, theirs))
    return {
        code: (_percent([ours for ours, _ in found]), _percent([theirs for _, theirs in found]))
        for code, found in sorted(pairs.items())
    }


def _language_table(by_language: Mapping[str, tuple[float, float]]) -> str:
    """Three languages a line: percent right, and in brackets what the rules reach."""
    cells = [f"{LANGUAGES[code]:<11}{ours:5.0f} ({rules:3.0f})" for code, (ours, rules) in by_language.items()]
    lines = ["   ".join(cells[n : n + 4]) for n in range(0, len(cells), 4)]
    return "accuracy in % (in brackets: hand-written rules)\n\n" + "\n".join(lines)


def _prompt(reader: Callable[[str], str], tell: Callable[[str], None]) -> None:
    """Type a date; an empty line or the end of input ends it."""
    tell("\nType a date, in any of the languages (an empty line ends):")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # whatever the locale, as everywhere
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            tell("")
            return
        if not text.strip():
            return
        tell(reader(text))
