"""Every setting: the table of them, what may stand in it, and its form in a file.

`table` is the list; `check` turns what a user wrote into `Settings` or into one clear line; `rules` holds what
contradicts what and `idle` what has no effect beside what; `habits` knows what other toolkits call things; `recipes`
reads and writes TOML.
"""

from seq2x.settings.check import canonical, differences, parse_flag, resolve
from seq2x.settings.idle import without_effect
from seq2x.settings.recipes import Recipe, dump_toml, read_recipe
from seq2x.settings.rules import broken_rule, is_clean
from seq2x.settings.table import ALLOWABLE, AT_ONCE, COUNTED, READING, Allowable, Settings, several, tags

__all__ = [
    "ALLOWABLE",
    "AT_ONCE",
    "COUNTED",
    "READING",
    "Allowable",
    "Recipe",
    "Settings",
    "broken_rule",
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
