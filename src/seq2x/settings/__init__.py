"""Every setting: the table of them, what may stand in it, and its form in a file.

`table` is the list; `check` turns what a user wrote into `Settings` or into one clear line; `rules` holds what one
setting says about another; `habits` knows what other toolkits call things; `recipes` reads and writes TOML.
"""

from seq2x.settings.check import canonical, differences, parse_flag, resolve
from seq2x.settings.recipes import Recipe, dump_toml, read_recipe
from seq2x.settings.rules import is_clean, tags, without_effect
from seq2x.settings.table import ALLOWABLE, COUNTED, Allowable, Settings, several

__all__ = [
    "ALLOWABLE",
    "COUNTED",
    "Allowable",
    "Recipe",
    "Settings",
    "canonical",
    "differences",
    "dump_toml",
    "is_clean",
    "parse_flag",
    "read_recipe",
    "resolve",
    "several",
    "tags",
    "without_effect",
]
