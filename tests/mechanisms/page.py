"""docs/mechanisms.md: every idea beside every kind of model, what each cell holds, and what the idea brought.

The cells come from the table and the rules of the settings, figures from recipes/results.jsonl alone, costs from
benchmarks/mechanisms.jsonl alone.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .table import LETTERS, MECHANISMS, Mechanism, reason

__all__ = ["PAGE", "letters", "page", "recipes"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mechanisms.md"
_HEAD = """# Every idea beside every kind of model

Made by `python -m tests.mechanisms` from the rules of the settings and from `recipes/results.jsonl`; do not edit it.
What a cell says is tried by `tests/mechanisms`: a tiny model of that kind with that idea {letters}. Where a letter or a
whole cell is missing, a number leads to the reason, below. What only decides how outputs are searched for trains
nothing, so it has no T and no R.

The attention of Transformers and convolutions is scaled dot-product attention in every layer; the parts of which
recurrent attention is put together are settings of recurrent models alone.

Figures are of the recipe with the idea, then of the same recipe without it, on the same test set, with 95 % bootstrap
intervals; one seed. Where the intervals overlap widely, an effect was not seen at that size. How long each was
trained, and on what: [recipes](../recipes/README.md).

Costs say how many times as long an update takes, and greedy decoding, with the idea as without it, all else equal
(`python -m benchmarks.mechanisms`, paired rounds, with the 95 % interval of their median).
"""


def recipes() -> Any:
    """The module recipes/run.py."""
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        spec = importlib.util.spec_from_file_location("recipes_run", ROOT / "recipes" / "run.py")
        assert spec is not None and spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def letters(mechanism: Mechanism, kind: str) -> tuple[str, list[str]]:
    """What a cell promises, and why the letters that are missing are."""
    reasons = {letter: reason(mechanism, kind, letter) for letter in LETTERS}
    trains = bool(mechanism.training)
    if (trains and reasons["T"]) or reasons["N"]:
        return "", [reasons["T"] or reasons["N"]]
    wanted = LETTERS if trains else [letter for letter in LETTERS if letter not in "TR"]
    missing = [reasons[letter] for letter in wanted if reasons[letter]]
    return "".join(letter for letter in wanted if not reasons[letter]), list(dict.fromkeys(missing))


def _differences() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every recipe that has a base: its name, that of its base, and what it sets otherwise."""
    found = recipes().RECIPES
    for name, recipe in found.items():
        if recipe.base:
            own, base = (_settings(one) for one in (name, recipe.base))
            changed = {key: value for key, value in own.items() if base.get(key) != value}
            changed |= {option.removeprefix("--"): True for option in recipe.beside}
            changed |= {"lm": True} if any(test.helps for test in recipe.tests) else {}
            changed |= {"require": "a"} if any(test.phrases for test in recipe.tests) else {}
            yield name, recipe.base, changed


def _settings(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "recipes" / f"{name}.toml").read_text(encoding="utf-8"))


def _results() -> dict[str, dict[str, Any]]:
    """The last result of each recipe."""
    lines = (ROOT / "recipes" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["recipe"]: row for row in map(json.loads, lines)}


def _costs() -> dict[str, str]:
    """The last measured cost of each idea."""
    file = ROOT / "benchmarks" / "mechanisms.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    return {
        row["idea"]: ", ".join(
            f"{name} {found['median']:.2f} [{found['low']:.2f}-{found['high']:.2f}]"
            for name in ("update", "decoding")
            if (found := row.get(name))
        )
        for row in rows
    }


def _figures(mechanism: Mechanism, results: dict[str, dict[str, Any]]) -> str:
    """With and without, in each recipe that uses the idea."""
    found = [(name, base) for name, base, changed in _differences() if mechanism.is_in(name, changed)]
    return "<br>".join(line for name, base in found for line in _compared(name, base, results))


def _compared(name: str, base: str, results: dict[str, dict[str, Any]]) -> Iterator[str]:
    if name not in results or base not in results:
        yield f"`{name}`: not run to its end"
        return
    with_, without = results[name]["tests"], results[base]["tests"]
    for test in with_:
        metric = next(metric for metric in with_[test] if metric != "items")
        one, other = (_shown(found[test].get(metric)) for found in (with_, without))
        yield f"`{name}`, {test}: {metric} {one}; `{base}`: {other}"


def _shown(result: dict[str, Any] | None) -> str:
    if result is None:
        return "another metric"
    low, high = result["interval"]
    return f"{result['value']:.2f} [{low:.2f}-{high:.2f}]"


def _cell(mechanism: Mechanism, kind: str | None, reasons: dict[str, int]) -> str:
    if kind is None:
        return ""
    held, missing = letters(mechanism, kind)
    numbers = [str(reasons.setdefault(why, len(reasons) + 1)) for why in missing]
    return (" ".join(held) or "–") + (f" ({', '.join(numbers)})" if numbers else "")


def page() -> str:
    """The whole page."""
    legend = "; ".join(f"**{letter}** {text}" for letter, text in LETTERS.items())
    lines, reasons = [_HEAD.format(letters=legend)], dict[str, int]()
    results, costs = _results(), _costs()
    groups: dict[str, list[Mechanism]] = {}
    for mechanism in MECHANISMS.values():
        groups.setdefault(mechanism.group, []).append(mechanism)
    for group, mechanisms in groups.items():
        kinds = {kind: None for mechanism in mechanisms for kind in mechanism.kinds}
        lines += [f"## {group}", "", f"| idea | command | {' | '.join(kinds)} | with, and without | cost |"]
        lines.append("|---|---|" + "---|" * len(kinds) + "---|---|")
        for mechanism in mechanisms:
            cells = [_cell(mechanism, mechanism.kinds.get(kind), reasons) for kind in kinds]
            told = f"{_figures(mechanism, results)} | {costs.get(mechanism.name, '')}"
            lines.append(f"| `{mechanism.name}` | `{mechanism.command}` | {' | '.join(cells)} | {told} |")
        lines.append("")
    lines += ["## Reasons", "", *(f"{number}. {why}" for why, number in reasons.items())]
    return "\n".join(line.replace(" |  |", " | |") for line in lines) + "\n"
