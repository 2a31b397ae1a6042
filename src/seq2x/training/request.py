"""What a user asks `train` for: files, a recipe, settings beside it, and where the run is to stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2x.errors import UsageError
from seq2x.settings import Recipe, Settings, canonical, read_recipe, resolve
from seq2x.training.session import plain_settings

__all__ = ["Paths", "Request", "request", "run_name"]

Paths = str | Path | Sequence[str | Path]

_ENDINGS = (".gz", ".tsv", ".txt", ".jsonl", ".csv", ".toml", ".src", ".tgt")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, a recipe read in. `test`: the files to evaluate on at the end, none or one set."""

    paths: tuple[str, ...]
    test: tuple[str, ...]
    asked: Settings
    folder: Path
    restart: bool
    allow_change: tuple[str, ...]
    from_run: Path | None
    quiet: bool


def request(
    paths: Paths,
    *,
    out: str | Path | None,
    test: Paths,
    settings: Mapping[str, Any] | Settings | None,
    named: Mapping[str, Any],
    restart: bool,
    allow_change: Sequence[str],
    from_run: str | Path | None,
    quiet: bool,
) -> Request:
    """The arguments of `train` as one request; `paths` may hold a recipe, over which all else wins.

    Of `Settings`, what differs from the defaults wins. Raises `UsageError`.
    """
    given = _several(paths)
    files, recipe = _parted(given)
    if "-" in files:
        raise UsageError("train", "standard input", "a file: it is read more than once", "save it to a file first")
    beside = plain_settings(settings) if isinstance(settings, Settings) else dict(settings or {})
    mine = {canonical(name, "settings", value): value for name, value in {**beside, **named}.items()}
    place = out if out is not None else recipe.out
    return Request(
        paths=files,
        test=_several(test) or recipe.test,
        asked=resolve({**recipe.settings, **mine}, "settings"),
        folder=Path(place) if place is not None else Path("runs") / run_name(given[0]),
        restart=restart,
        allow_change=tuple(allow_change),
        from_run=Path(from_run) if from_run else None,
        quiet=quiet,
    )


def run_name(path: str | Path) -> str:
    """What a run on this file is called: `data/pairs.tsv.gz` -> `pairs`."""
    name = Path(path).name
    while Path(name).suffix in _ENDINGS:
        name = Path(name).stem
    return name if name not in ("", "-") else "run"


def _several(paths: Paths) -> tuple[str, ...]:
    return (str(paths),) if isinstance(paths, str | Path) else tuple(map(str, paths))


def _parted(given: Sequence[str]) -> tuple[tuple[str, ...], Recipe]:
    """(the data files, the recipe): files that are given beside a recipe stand for those that it names."""
    recipes = [name for name in given if name.endswith(".toml")]
    files = tuple(name for name in given if not name.endswith(".toml"))
    if len(recipes) > 1:
        raise UsageError("train", f"{len(recipes)} recipes", "one")
    recipe = read_recipe(recipes[0]) if recipes else Recipe()
    files = files or recipe.train
    if not files and recipes:
        raise UsageError(recipes[0], "it names no data", 'train = "pairs.tsv"', "or give the files after it")
    if not files:
        raise UsageError("files", "none given", "a TSV file, a JSONL file, or a source file and a target file")
    return files, recipe
