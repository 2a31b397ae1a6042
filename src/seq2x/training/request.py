"""What a user asks `train` for: files, a recipe, settings beside it, and where the run is to stand."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2x.errors import UsageError
from seq2x.settings import Recipe, Settings, canonical, read_recipe, resolve

__all__ = ["Paths", "Request", "plain_settings", "request", "run_name"]

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
    strict_repro: bool
    quiet: bool


def plain_settings(settings: Settings) -> dict[str, Any]:
    """What differs from the defaults, by name."""
    default = Settings()
    named = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Settings)}
    return {name: value for name, value in named.items() if value != getattr(default, name)}


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
    strict_repro: bool,
    quiet: bool,
) -> Request:
    """The arguments of `train` as one request; `paths` may hold a recipe, over which all else wins.

    Of `Settings`, what differs from the defaults wins. Raises `UsageError`, also for a wrong type.
    """
    given = _several(paths, "files")
    files, recipe = _parted(given)
    if "-" in files:
        raise UsageError("train", "standard input", "a file: it is read more than once", "save it to a file first")
    place = out if out is not None else recipe.out
    parent = from_run or recipe.from_run
    return Request(
        paths=files,
        test=_several(test, "test") or recipe.test,
        asked=resolve({**recipe.settings, **_merged(settings, named)}, "settings"),
        folder=_folder(place, "out") if place is not None else _folder(Path("runs") / run_name(given[0]), "out"),
        restart=restart,
        allow_change=tuple(canonical(name, "allow_change") for name in _several(allow_change, "allow_change")),
        from_run=_folder(parent, "from_run") if parent else None,
        strict_repro=strict_repro,
        quiet=quiet,
    )


def _merged(settings: Mapping[str, Any] | Settings | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` and `named` by their canonical names, each at most once, as `--set` wants it. Raises `UsageError`."""
    beside = plain_settings(settings) if isinstance(settings, Settings) else settings
    if beside is not None and not isinstance(beside, Mapping):
        raise UsageError("settings", f"a {type(beside).__name__}", "names and values, or Settings")
    merged: dict[str, Any] = {}
    for part in (beside or {}, named):
        for name, value in part.items():
            plain = canonical(name, "settings", value)
            if plain in merged:
                raise UsageError("settings", f"{plain} is given twice", todo="give it once")
            merged[plain] = value
    return merged


def _folder(place: str | Path, where: str) -> Path:
    """A run's folder, whose name can be written down. Raises `UsageError`."""
    if not isinstance(place, str | os.PathLike):
        raise UsageError(where, f"a {type(place).__name__}", "a folder")
    try:
        os.fspath(place).encode()
    except UnicodeEncodeError:
        raise UsageError(where, f"{place} is not UTF-8", "a folder with a name in UTF-8") from None
    return Path(place)


def run_name(path: str | Path) -> str:
    """What a run on this file is called: `data/pairs.tsv.gz` -> `pairs`."""
    name = Path(path).name
    while Path(name).suffix in _ENDINGS:
        name = Path(name).stem
    return name if name not in ("", "-") else "run"


def _several(paths: Paths, where: str) -> tuple[str, ...]:
    """One path or several (or names of settings), as texts. Raises `UsageError` for anything else."""
    found: list[Any] = [paths]
    if isinstance(paths, Iterable) and not isinstance(paths, str):
        found = list(paths)
    for one in found:
        if not isinstance(one, str | os.PathLike):
            raise UsageError(where, f"a {type(one).__name__}", "a name, or several")
    return tuple(map(str, found))


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
