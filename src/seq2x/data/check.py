"""What is wrong with my data, before any training.

    report = check("pairs.tsv", test="test.tsv", fix="clean.tsv")
    for line in report.lines(): print(line)

The texts are read once and forgotten (62 bytes stay for each pair, 78 with `test`), and a second time up to the
last line that is quoted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

import numpy as np

from seq2x.data.columns import Columns
from seq2x.data.corpus_rules import CORPUS_RULES, TEXT_RULES, Corpus, Draft
from seq2x.data.fix import fix as write_clean
from seq2x.data.fix import targets
from seq2x.data.line_rules import Pairs, Tally, rules_of
from seq2x.data.lines import MAX_LINE_BYTES, BadUtf8, PathLike, display, iter_lines
from seq2x.data.notes import Notes
from seq2x.data.overlap import Fingerprints
from seq2x.data.portions import portions
from seq2x.data.read_error import ReadError
from seq2x.data.readers import groups, read
from seq2x.data.report import WORST, Finding, Place, Report, Severity, Worst, sort_findings
from seq2x.data.sniff import sniff
from seq2x.errors import UsageError, nearest
from seq2x.settings import ALLOWABLE, several
from seq2x.types import Example

__all__ = ["check"]


def check(
    paths: PathLike | Sequence[PathLike],
    *,
    format: Literal["auto", "tsv", "lines", "jsonl"] = "auto",
    columns: str = "auto",
    task: str = "auto",
    test: PathLike | Sequence[PathLike] = (),
    fix: PathLike | None = None,
    max_source_length: int = 512,
    max_target_length: int = 512,
    on_bad_utf8: BadUtf8 = "error",
    max_line_bytes: int = MAX_LINE_BYTES,
    allow: str | Sequence[str] | None = None,
) -> Report:
    """Everything worth knowing about the pairs in `paths` (one file, or several).

    `task` adds what its pairs must be (tag: a label for each token), and leaves out what is no trouble to it.
    `test` is a second set, one file or several: which of its sources occur in `paths`, whatever their Unicode form and
    the blanks at their ends? `fix` writes a clean copy there,
    and what was done to `FIX.log` (see `seq2x.data.fix`); what came of it is `Report.fixed`. `allow`: codes of errors
    that judge data which can be read (`seq2x.settings.ALLOWABLE`); those are warnings then.

    What cannot be read is a finding, not an exception, and is not fixed. Raises UsageError for columns, formats or a
    clean copy that cannot be, DataError if nothing is left in it, StorageError.
    """
    paths, tests = ([given] if isinstance(given, str | os.PathLike) else given for given in (paths, test))
    allowed = _codes(allow)
    files = tuple(display(path) for path in paths)
    places = targets(fix, [*paths, *tests]) if fix is not None else None
    try:
        found = sniff(paths, format, columns, task=task, max_line_bytes=max_line_bytes)
    except ReadError as error:
        return Report(files, findings=(_unreadable(error),))
    prints = Fingerprints() if tests else None
    survey = _Survey(task, found, on_bad_utf8, max_line_bytes, (max_source_length, max_target_length), prints)
    survey.read(paths)
    findings = [*_judged(survey.findings(paths), allowed)]
    if prints is not None:
        findings += _overlap(prints, tests, format, columns, found, max_line_bytes)
    fixed = None
    if places is not None and not found.source:
        raise UsageError("fix", "texts without a source", "pairs", "a clean copy is made of pairs alone")
    if places is not None:
        fixed = write_clean(paths, *places, format=format, columns=columns, max_line_bytes=max_line_bytes)
    return Report(files, found.reasons, survey.facts(), sort_findings(findings), fixed)


def _codes(allow: str | Sequence[str] | None) -> tuple[str, ...]:
    """The codes in `allow`, each once. Raises UsageError for one that no setting can allow."""
    codes = tuple(dict.fromkeys(several(allow if allow is None or isinstance(allow, str) else tuple(allow))))
    for code in codes:
        if code not in ALLOWABLE:
            raise UsageError("allow", f'"{code}"', f"one of {', '.join(ALLOWABLE)}", nearest(code, ALLOWABLE))
    return codes


def _judged(findings: Iterable[Finding], allowed: Sequence[str]) -> Iterator[Finding]:
    """Errors that are allowed become warnings, those that could be say how, and what is allowed in vain is noted."""
    unused = dict.fromkeys(allowed)
    for finding in findings:
        if finding.severity == "error" and finding.code in allowed:
            unused.pop(finding.code, None)
            finding = replace(finding, severity="warning", text=f"{finding.text} (allowed)")
        elif finding.severity == "error" and finding.code in ALLOWABLE:
            finding = replace(finding, todo=f"{finding.todo}; if the data is meant so: --allow {finding.code}")
        yield finding
    if unused:
        yield Finding("allow", "note", 0, f"allow = {', '.join(unused)} has no effect: there is no such error")


def _unreadable(error: ReadError) -> Finding:
    places = (Place(error.file, error.line),) if error.line else ()
    return Finding(error.code, "error", 1, str(error), places=places)


class _Survey:
    """One pass over the pairs."""

    def __init__(
        self,
        task: str,
        columns: Columns,
        on_bad_utf8: BadUtf8,
        max_line_bytes: int,
        limits: tuple[int, int],
        prints: Fingerprints | None,
    ) -> None:
        self.prints = prints
        self.rules, self.idle = rules_of(task)
        self.columns, self.on_bad_utf8, self.max_line_bytes, self.limits = columns, on_bad_utf8, max_line_bytes, limits
        self.corpus, self.notes = Corpus(), Notes()
        self.worst = [Worst() for _ in self.rules]
        self.failures: dict[str, list[ReadError]] = {}  # by code, the first of each
        self.failed: Counter[str] = Counter()
        self.characters = [0, 0]
        self.symbols: set[str] = set()  # of the targets, until there are two

    def read(self, paths: Sequence[PathLike]) -> None:
        for number, group in enumerate(groups(paths, self.columns)):
            for some in portions(self._examples(group)):
                self._add(number, some)
        self.corpus.close()

    def _examples(self, group: Sequence[PathLike]) -> Iterator[Example]:
        """All that can be read, up to where nothing can any more."""
        try:
            yield from read(
                group, self.columns, self.notes,
                max_line_bytes=self.max_line_bytes, on_bad_utf8="skip", problem=self._problem,
            )  # fmt: skip
        except ReadError as error:
            self._problem(error)

    def _problem(self, error: ReadError) -> None:
        self.failed[error.code] += 1
        first = self.failures.setdefault(error.code, [])
        if len(first) < WORST:
            first.append(error)

    def _add(self, file: int, examples: list[Example]) -> None:
        if self.prints is not None:
            self.prints.add(examples)
        rows = [(e.source, target, e.line) for e in examples for target in dict.fromkeys(e.targets)]
        pairs = Pairs([source for source, _, _ in rows], [target for _, target, _ in rows], *self.limits)
        numbers = [line for _, _, line in rows]
        self.corpus.add(file, numbers, pairs)
        for i, kinds in enumerate((pairs.source_kinds, pairs.target_kinds)):
            self.characters[i] += int(kinds.sum())
        for target in pairs.targets:
            if len(self.symbols) > 1:
                break
            self.symbols.update(target)
        for rule, worst in zip(self.rules, self.worst, strict=True):
            badness = rule.find(pairs)
            for row in np.flatnonzero(badness):
                worst.add(float(badness[row]), file, numbers[row])

    def facts(self) -> dict[str, int]:
        sources, targets = (len(np.unique(self.corpus[side])) for side in ("source", "target"))
        if not self.columns.source:
            return {"texts": len(self.corpus), "different texts": targets, "characters": self.characters[1]}
        facts = {"pairs": len(self.corpus), "different sources": sources, "different targets": targets}
        return facts | {"characters of source": self.characters[0], "characters of target": self.characters[1]}

    def findings(self, paths: Sequence[PathLike]) -> Iterator[Finding]:
        names = [display(group[0]) for group in groups(paths, self.columns)]
        yield from self._failures()
        yield from _noted(self.notes, self.on_bad_utf8)
        if not len(self.corpus):
            yield Finding(
                "no_examples", "error", 0, f"no examples in {', '.join(map(display, paths))}: {self.notes.summary()}"
            )
            return
        rules = CORPUS_RULES if self.columns.source else TEXT_RULES
        drafts = [(draft, self._places(draft.worst)) for rule in rules for draft in rule(self.corpus)]
        drafts = [both for both in drafts if both[0].code not in self.idle]
        for rule, worst in zip(self.rules, self.worst, strict=True):
            if worst.count:
                severity = rule.grade(Tally(worst.count, len(self.corpus)))
                drafts.append((Draft(rule.code, severity, worst.count, rule.text, rule.todo, ()), worst.places()))
        if len(self.symbols) == 1:
            text = "have targets made of one symbol"
            drafts.append((Draft("one_symbol", "error", len(self.corpus), text, "is it the right column?", ()), []))
        quotes = _quotes(paths, self.columns, {place for _, places in drafts for place in places})
        for draft, places in drafts:
            told = tuple(Place(names[file], line, quotes.get((file, line), "")) for file, line in places)
            text = f"{draft.count:,} {self.columns.item}{'s' * (draft.count != 1)} {draft.text}"
            yield Finding(draft.code, draft.severity, draft.count, text, draft.todo, told)

    def _failures(self) -> Iterator[Finding]:
        """Records that cannot be read, together by kind."""
        for code, errors in self.failures.items():
            count, error = self.failed[code], errors[0]
            first = error.found + (f"; expected {error.expected}" if error.expected else "")
            text = f"{count:,} record{'s' * (count != 1)} that cannot be read, first: {first}"
            yield Finding(code, "error", count, text, places=tuple(Place(e.file, e.line) for e in errors))

    def _places(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """(file, line) of pairs."""
        return [(int(self.corpus["file"][i]), int(self.corpus["line"][i])) for i in numbers]


_NOTED: tuple[tuple[str, Severity, str, str], ...] = (
    ("bad_utf8", "error", "lines that are not UTF-8", "convert the file, or set on_bad_utf8=skip"),
    ("empty_source", "warning", "pairs with an empty source, left out in training", ""),
    ("empty_target", "warning", "pairs with an empty target, left out in training", ""),
    ("blank", "note", "blank lines, left out in training", ""),
    ("bom", "note", "byte order mark at the start, dropped", ""),
    ("carriage_return", "warning", "lines with a carriage return inside, read as a blank", ""),
    ("line_end", "warning", "records with a line end inside a text, read as a blank", ""),
    ("header", "note", "header row, not read as data", ""),
)  # fmt: skip

_SAID = " is not UTF-8"  # of the first, where it is said of all


def _noted(notes: Notes, on_bad_utf8: BadUtf8) -> Iterator[Finding]:
    """What the reader noticed."""
    for kind, severity, text, todo in _NOTED:
        if count := notes.counts.get(kind, 0):
            places = tuple(Place(file, line) for file, line in notes.places[kind])
            if kind in notes.errors:
                first = notes.errors[kind]
                text, todo = f"{text}, first: {first.where}: {first.found.removesuffix(_SAID)}", first.todo or todo
            lenient = kind == "bad_utf8" and on_bad_utf8 == "skip"
            yield Finding(kind, "warning" if lenient else severity, count, f"{count:,} {text}", todo, places)


def _quotes(paths: Sequence[PathLike], columns: Columns, wanted: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """The raw text of the wanted lines (file, line): a second pass, up to the last of them."""
    quotes: dict[tuple[int, int], str] = {}
    for file, group in enumerate(groups(paths, columns)):
        lines = {line for number, line in wanted if number == file}
        if not lines or "-" in map(str, group):
            continue
        for path in group:
            for line, text in islice(iter_lines(path, on_bad_utf8="skip", max_line_bytes=1 << 31), max(lines)):
                if line in lines and text is not None:
                    known = quotes.get((file, line))
                    quotes[file, line] = text[:500] if known is None else f"{known}\t{text[:500]}"
    return quotes


def _overlap(
    known: Fingerprints,
    against: Sequence[PathLike],
    format: Literal["auto", "tsv", "lines", "jsonl"],
    columns: str,
    like: Columns,
    limit: int,
) -> Iterator[Finding]:
    """Sources of a second set that occur in the first."""
    try:
        found = sniff(against, format, columns, task="generate" if like.source else "lm", max_line_bytes=limit)
        places: list[Place] = []
        count = same = total = 0
        for group in groups(against, found):
            for example in read(group, found, max_line_bytes=limit):
                total += 1
                source, pair = known.holds(example)
                same += pair
                if not source:
                    continue
                count += 1
                if len(places) < WORST:
                    places.append(Place(display(group[0]), example.line, example.source[:500]))
    except ReadError as error:
        yield replace(_unreadable(error), text=f"the set to compare with: {error}")
        return
    if count:
        names = ", ".join(map(display, against))
        text = f"{count:,} of {total:,} {'sources' if like.source else 'texts'} of {names} occur in the data"
        text += f" ({same:,} with the same target)" if like.source else ""
        yield Finding("overlap", "warning", count, text, "scores on them measure memory", tuple(places))
