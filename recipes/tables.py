"""The tables of README.md, from `results.jsonl` alone; the last run of a recipe and seed counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["write"]

_README = Path(__file__).with_name("README.md")
Row = Mapping[str, Any]


def write(results: Path, bases: Mapping[str, str]) -> None:
    """Both tables, into README.md; `bases`: recipes -> those that are the same but for one idea."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    rows: dict[tuple[str, int], Row] = {}
    for row in map(json.loads, lines):
        rows[row["recipe"], row["seed"]] = row
    text = _README.read_text(encoding="utf-8")
    text = _with(text, "table", [*_HEAD, *_all(rows)])
    _README.write_text(_with(text, "ideas", [*_IDEAS, *_compared(rows, bases)]), encoding="utf-8")


def _with(text: str, name: str, table: list[str]) -> str:
    """`text` with this table between its marks."""
    before, _, rest = text.partition(f"<!-- {name} -->\n")
    _, _, after = rest.partition(f"<!-- /{name} -->")
    lines = "\n".join(table)
    return f"{before}<!-- {name} -->\n{lines}\n<!-- /{name} -->{after}"


_HEAD = (
    "| recipe | test set (items) | result [95 % interval] | published "
    "| steps | minutes | trained on | precision | parameters | seed | commit |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def _all(rows: Mapping[tuple[str, int], Row]) -> Iterator[str]:
    for (name, seed), row in sorted(rows.items()):
        cpu = row.get("device", "cpu") == "cpu"
        processor = row.get("processor", "CPU").replace("(R)", "")
        where = f"{processor}, threads: {row.get('threads', 2)}" if cpu else row["device"]
        for test, values in row["tests"].items():
            scores = "; ".join(f"{metric} {_shown(value)}" for metric, value in _metrics(values))
            yield (
                f"| `{name}` | {test} ({values['items']:,}) | {scores} | {row['published']} | {row['steps']:,} "
                f"| {row['train_seconds'] / 60:.0f} | {where} | {row.get('precision', 'bf16')} "
                f"| {row['parameters'] / 1e6:.1f} M | {seed} | {row['commit']} |"
            )


_IDEAS = (
    "| with the idea | without it | test set | metric | without | with | seen at this size |",
    "|---|---|---|---|---|---|---|",
)


def _compared(rows: Mapping[tuple[str, int], Row], bases: Mapping[str, str]) -> Iterator[str]:
    """By the first metric of each test set that both were judged by."""
    for (name, seed), row in sorted(rows.items()):
        without = rows.get((bases.get(name, ""), seed))
        if without is None:
            continue
        for test, values in row["tests"].items():
            metric, found = next(_metrics(values))
            if base := without["tests"].get(test, {}).get(metric):
                yield (
                    f"| `{name}` | `{bases[name]}` | {test} | {metric} | {_shown(base)} | {_shown(found)} "
                    f"| {_effect(base, found)} |"
                )


def _effect(base: Row, found: Row) -> str:
    """Whether the intervals are apart, and which way."""
    (low, high), (least, most) = base["interval"], found["interval"]
    if least <= high and low <= most:
        return "no"
    return "better" if (least > high) == (found["better"] == "higher") else "worse"


def _metrics(values: Row) -> Iterator[tuple[str, Row]]:
    return ((metric, value) for metric, value in values.items() if metric != "items")


def _shown(value: Row) -> str:
    low, high = value["interval"]
    return f"{value['value']:.2f} [{low:.2f}-{high:.2f}]"
