"""What `seq2x check` found: findings with stable codes, places and advice; for people and for machines."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from seq2x.data.fix import Fixed

__all__ = ["WORST", "Finding", "Place", "Report", "Severity", "Worst", "shorten", "sort_findings"]

Severity: TypeAlias = Literal["error", "warning", "note"]
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}

WORST = 10  # places kept of each finding
_WIDTH = 100  # characters of a line shown


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, with its beginning."""

    file: str
    line: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trouble. `code` never changes; `count` lines have it, the ten worst are in `places`.

    error: the result of training would mean nothing, or the file cannot be read. warning: better looked at. note:
    good to know.
    """

    code: str
    severity: Severity
    count: int
    text: str
    todo: str = ""
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, the gravest first. `facts` are counts: pairs, sources, targets, characters. `fixed`: what came of
    the clean copy, where one was asked for and could be made.
    """

    files: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    facts: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    fixed: Fixed | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def exit_code(self) -> int:
        """3 if there is an error, else 0: for CI."""
        return 3 if self.errors else 0

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(finding.code for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, ready for `json.dumps`."""
        findings = [
            {"code": f.code, "severity": f.severity, "count": f.count, "text": f.text, "todo": f.todo}
            | {"places": [{"file": p.file, "line": p.line, "text": p.text} for p in f.places]}
            for f in self.findings
        ]
        report = {"files": list(self.files), "reasons": list(self.reasons), "facts": self.facts, "findings": findings}
        return report if self.fixed is None else report | {"fixed": _plain(self.fixed)}

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from self.reasons
        if self.facts:
            yield ", ".join(f"{count:,} {name}" for name, count in self.facts.items())
        for finding in self.findings:
            yield f"{finding.severity} [{finding.code}] {finding.text}" + (f"; {finding.todo}" if finding.todo else "")
            for place in finding.places:
                yield f"    {place.file}:{place.line}" + (f"  {shorten(place.text)}" if place.text else "")
        count = {severity: sum(f.severity == severity for f in self.findings) for severity in _ORDER}
        yield ", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in count.items())


def _plain(fixed: Fixed) -> dict[str, Any]:
    done = {"kept": fixed.kept, "repaired": dict(fixed.changed), "left_out": dict(fixed.dropped)}
    form = {
        "form": fixed.form,
        "bare": fixed.bare,
        "fields": list(fixed.fields),
        "replaced": list(map(str, fixed.replaced)),
    }
    return {"out": str(fixed.out), "log": f"{fixed.out}.log", **form, **done}


def sort_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """The gravest first, the most frequent first among equals."""
    return tuple(sorted(findings, key=lambda f: (_ORDER[f.severity], -f.count, f.code)))


def shorten(text: str) -> str:
    """One line of at most a hundred characters, its control and invisible characters made visible."""
    seen = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text[: _WIDTH + 1]
    )
    return seen if len(seen) <= _WIDTH else seen[: _WIDTH - 3] + "..."


class Worst:
    """The ten worst of many places, the earlier first among equals, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._heap: list[tuple[float, int, int]] = []

    def add(self, badness: float, file: int, line: int) -> None:
        self.count += 1
        entry = (badness, -file, -line)
        if len(self._heap) < WORST:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def places(self) -> list[tuple[int, int]]:
        """(file, line), worst first."""
        return [(-file, -line) for _, file, line in sorted(self._heap, reverse=True)]
