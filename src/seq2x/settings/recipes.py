"""Recipes: settings and the names of data files in TOML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seq2x.settings.table import Settings

__all__ = ["Recipe", "dump_toml", "read_recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe says."""

    settings: Mapping[str, object]
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    out: str | None = None


def read_recipe(path: str | Path) -> Recipe:
    raise NotImplementedError


def dump_toml(settings: Settings, reasons: Mapping[str, str]) -> str:
    raise NotImplementedError(dataclasses.fields(settings), reasons)
