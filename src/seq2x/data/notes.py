"""What a reader noticed on its way and did not make an error of: counted, with the first places."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from seq2x.data.read_error import ReadError

__all__ = ["FIRST", "LOST", "Notes"]

FIRST = 10  # places kept of each kind: enough to look at, never a flood

_TEXTS = {
    "bom": "byte order mark at the start of the file, dropped",
    "carriage_return": "carriage return inside a line, read as a blank",
    "line_end": "record with a line end inside a text, read as a blank",
    "line_separator": "U+2028, U+2029, U+0085, VT or FF inside a line, kept as content",
    "bad_utf8": "line that is not UTF-8, skipped",
    "empty_source": "pair with an empty source, left out",
    "empty_target": "pair with an empty target, left out",
    "blank": "blank line, left out",
    "header": "header row, not read as data",
    "source_too_long": "source above max_source_length, set aside",
    "target_too_long": "target above max_target_length, set aside",
    "cannot_copy": "target with a symbol that its source does not hold, which a pointer cannot write, set aside",
    "target_without_room": "target that does not fit into its source (decoder = ctc, see ctc_upsample), set aside",
}

LOST = (
    "bad_utf8",
    "empty_source",
    "empty_target",
    "source_too_long",
    "target_too_long",
    "cannot_copy",
    "target_without_room",
)
"""Kinds of which each is a pair that is not used; a blank line is none."""


@dataclass(slots=True)
class Notes:
    """Counts by kind and the first places (file, line) of each. `read` is how many records were seen; `first` how
    many places are kept; `errors`: of kinds that are errors elsewhere, the first."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    read: int = 0
    first: int = FIRST
    errors: dict[str, ReadError] = field(default_factory=dict)

    def add(self, kind: str, file: str, line: int, count: int = 1) -> None:
        """Count `kind` once more (or `count` times), at line `line` of `file`."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        places = self.places.setdefault(kind, [])
        if len(places) < self.first:
            places.append((file, line))

    def lines(self, without: Collection[str] = ()) -> Iterator[str]:
        """One readable line for each kind that is not in `without`: how many, of what, and where first."""
        for kind, count in self.counts.items():
            if kind in without:
                continue
            where = ", ".join(f"{file}:{line}" for file, line in self.places[kind])
            where += ", ..." if count > len(self.places[kind]) else ""
            yield f"{count:,} x {_TEXTS.get(kind, kind)} ({where})"

    def lost(self, pairs: int | None = None) -> str:
        """How many of `pairs` (none given: of those that were read) are not used, what share, and why, each reason
        with its first places; empty if all are used."""
        count = sum(self.counts.get(kind, 0) for kind in LOST)
        if not count:
            return ""
        whole = self.read - self.counts.get("blank", 0) + self.counts.get("bad_utf8", 0) if pairs is None else pairs
        share = count / max(count, whole)
        shown = f"{share:.2%}" if share >= 0.0001 else "less than 0.01%"
        why = "; ".join(self.lines(without=self.counts.keys() - set(LOST)))
        return f"{count:,} of {max(count, whole):,} pairs ({shown}) {'is' if count == 1 else 'are'} not used: {why}"

    def summary(self) -> str:
        """All counts in one line, for the error that nothing is left."""
        counts = ", ".join(f"{count:,} x {_TEXTS.get(kind, kind)}" for kind, count in self.counts.items())
        return f"{self.read:,} records read" + (f": {counts}" if counts else "")
