"""What shows only when all pairs are seen: repetition, lengths, scripts, order. One function, one stable code.

`Corpus` holds 62 bytes for each pair, never its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.data.alignment import Slip, find_shift, find_unrelated, pair_cost, signature
from seq2x.data.characters import SCRIPTS, Counts, Kind
from seq2x.data.line_rules import Pairs
from seq2x.data.overlap import fingerprint
from seq2x.data.report import WORST, Severity

__all__ = ["CORPUS_RULES", "TEXT_RULES", "Corpus", "Draft"]

_Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A finding before its places are looked up: `worst` are numbers of pairs."""

    code: str
    severity: Severity
    count: int
    text: str
    todo: str
    worst: Sequence[int]


_CJK = {Kind.KANA: Kind.HAN}  # one language mixes them
_OFTEN = 5  # times that a text occurs before its share says anything: each of four pairs is a quarter of them
_MANY_SCRIPTS = 5  # no language is written in so many, and no accident brings in so many, each of them often


class Corpus:
    """Arrays `[pairs]`: `file`, `line`, hashes, lengths in characters, word signatures, the script of most letters
    (0: none) and a bit for each that occurs."""

    _FIELDS = (
        "file", "line", "source", "target", "source_length", "target_length",
        "source_bits", "target_bits", "source_script", "target_script", "source_scripts", "target_scripts",
    )  # fmt: skip

    def __init__(self) -> None:
        self._chunks: dict[str, list[_Array]] = {name: [] for name in self._FIELDS}
        self.joined: dict[str, _Array] = {}

    def add(self, file: int, lines: Sequence[int], pairs: Pairs) -> None:
        n = len(pairs)
        values: dict[str, _Array] = {
            "file": np.full(n, file, np.int32),
            "line": np.asarray(lines, np.int64),
            "source": np.fromiter(map(fingerprint, pairs.sources), np.uint64, n),
            "target": np.fromiter(map(fingerprint, pairs.targets), np.uint64, n),
            "source_length": pairs.source_kinds.sum(1, dtype=np.int32),
            "target_length": pairs.target_kinds.sum(1, dtype=np.int32),
            "source_bits": np.fromiter(map(signature, pairs.sources), np.uint64, n),
            "target_bits": np.fromiter(map(signature, pairs.targets), np.uint64, n),
            "source_script": _main_script(pairs.source_kinds),
            "target_script": _main_script(pairs.target_kinds),
            "source_scripts": _all_scripts(pairs.source_kinds),
            "target_scripts": _all_scripts(pairs.target_kinds),
        }
        for name, value in values.items():
            self._chunks[name].append(value)

    def close(self) -> None:
        """Joins the chunks; afterwards the arrays can be asked for by name."""
        for name in self._FIELDS:
            self.joined[name] = np.concatenate(self._chunks.pop(name) or [np.zeros(0, np.int64)])

    def __getitem__(self, name: str) -> _Array:
        return self.joined[name]

    def __len__(self) -> int:
        return len(self.joined["line"])


def _main_script(kinds: Counts) -> _Array:
    letters = kinds[:, SCRIPTS].copy()
    for part, whole in _CJK.items():
        letters[:, SCRIPTS.index(whole)] += letters[:, SCRIPTS.index(part)]
        letters[:, SCRIPTS.index(part)] = 0
    script = np.asarray(SCRIPTS, np.uint8)[letters.argmax(1)]
    return np.where(letters.sum(1) >= 2, script, 0).astype(np.uint8)


def _all_scripts(kinds: Counts) -> _Array:
    """One bit for each script that occurs."""
    bits = np.left_shift(1, np.asarray(SCRIPTS, np.int32))
    return np.asarray(((kinds[:, SCRIPTS] > 0) * bits).sum(1), np.int32)


# ------------------------------------------------------------------ repetition


def _duplicates(corpus: Corpus) -> Iterator[Draft]:
    """The same pair again."""
    both = corpus["source"] * np.uint64(0x9E3779B97F4A7C15) ^ corpus["target"]
    _, first, group, counts = np.unique(both, return_index=True, return_inverse=True, return_counts=True)
    repeated = len(both) - len(counts)
    if repeated:
        again = np.flatnonzero(first[group] != np.arange(len(both)))
        severity: Severity = "warning" if repeated > 0.1 * len(both) else "note"
        yield Draft(
            "duplicate",
            severity,
            repeated,
            "that repeat an earlier one",
            "--fix drops them where they are few",
            _worst(counts[group[again]], again),
        )


def _several_targets(corpus: Corpus) -> Iterator[Draft]:
    """One source, several different targets: conflicting, or several right answers."""
    order = np.lexsort((corpus["line"], corpus["file"], corpus["target"], corpus["source"]))
    source, target = corpus["source"][order], corpus["target"][order]
    new_source = np.concatenate(([True], source[1:] != source[:-1]))
    new_pair = new_source | np.concatenate(([True], target[1:] != target[:-1]))
    group = np.cumsum(new_source) - 1
    different = np.bincount(group[new_pair])
    among = np.empty(len(order), np.int64)
    among[order] = different[group]
    found = np.flatnonzero(among > 1)
    if len(found):
        text = f"whose source has several different targets ({int((different > 1).sum()):,} sources)"
        todo = 'references = "merge" takes them as several right answers'
        yield Draft("several_targets", "note", len(found), text, todo, _worst(among[found], found))


def _one_target(corpus: Corpus) -> Iterator[Draft]:
    yield from _one_value(corpus, "target")


def _one_source(corpus: Corpus) -> Iterator[Draft]:
    yield from _one_value(corpus, "source")


def _one_value(corpus: Corpus, side: str) -> Iterator[Draft]:
    """All targets, or a large share of them, are one string; of a handful of pairs only all say something."""
    values, counts = np.unique(corpus[side], return_counts=True)
    most = int(counts.max())
    share = most / len(corpus)
    alike = len(values) == 1 and most > 1
    if alike or (share > 0.2 and most >= _OFTEN):
        severity: Severity = "error" if alike else "warning"
        places = np.flatnonzero(corpus[side] == values[counts.argmax()])[:WORST]
        yield Draft(
            f"one_{side}",
            severity,
            most,
            f"({share:.0%}) have the same {side}",
            "is it the right column?",
            places.tolist(),
        )


# ------------------------------------------------------------------ lengths and order


def _ratio(corpus: Corpus) -> Iterator[Draft]:
    """Length ratios far from the others': eight robust standard deviations, and at least a factor of three."""
    if len(corpus) < 10:
        return
    cost = pair_cost(corpus["source_length"], corpus["target_length"])
    limit = max(8 * 1.4826 * float(np.median(cost)), np.log(3))
    enough = np.maximum(corpus["source_length"], corpus["target_length"]) >= 15
    found = np.flatnonzero((cost > limit) & enough)
    if len(found):
        yield Draft(
            "ratio",
            "warning",
            len(found),
            "whose lengths do not fit each other",
            "look at them",
            _worst(cost[found], found),
        )


def _order(corpus: Corpus) -> Iterator[Draft]:
    """From some line on, source and target are no pair; unless each target is a neighbour's source, and all is well."""
    sides = [corpus[name] for name in ("source_length", "target_length", "source_bits", "target_bits")]
    slip = find_shift(*sides)
    if slip and (links := _links(corpus, slip)):
        text = f"whose target is a source {_lines(-slip.offset)}: a chain, as in dialogue or next-line data"
        yield Draft("chain", "note", links, text, "", [])
    elif slip:
        yield _shifted(corpus, slip)
    elif slip := find_unrelated(*sides):
        first, last = (int(corpus["line"][i]) for i in (slip.start, slip.end - 1))
        text = f"look unrelated, about from line {first:,} to {last:,}"
        yield Draft("unrelated", "warning", slip.end - slip.start, text, "compare the two sides there", [slip.start])


def _links(corpus: Corpus, slip: Slip) -> int:
    """How many pairs share a text with the neighbour at the offset of `slip`, if most do and no sound pairs say
    otherwise: where a target is mostly its own source (corrections), a shift makes it that of a neighbour."""
    source, target = corpus["source"], corpus["target"]
    low, high = max(0, -slip.offset), min(len(source), len(source) - slip.offset)
    links = int((source[low:high] == target[low + slip.offset : high + slip.offset]).sum())
    same = source == target
    outside = np.concatenate((same[: slip.start], same[slip.end :]))
    return links if links > len(source) / 2 and outside.sum() <= len(outside) / 2 else 0


def _shifted(corpus: Corpus, slip: Slip) -> Draft:
    """An error, but where the whole file is so: then nothing shows that its pairs could be any better."""
    count, place = slip.end - slip.start, [slip.start]
    if not slip.sound:
        text = f"look shifted, in the whole file: the source fits the target {_lines(slip.offset)} better than its own"
        return Draft("shifted", "warning", count, text, "is a line missing on one side, near the first?", place)
    to = "" if slip.end >= len(corpus) - 5 else f" to line {int(corpus['line'][slip.end - 1]):,}"
    where = f"from line {int(corpus['line'][slip.start]):,}{to}"
    text = f"look shifted {where}: the source fits the target {_lines(slip.offset)}"
    return Draft("shifted", "error", count, text, "a line is missing on one side just before", place)


def _lines(offset: int) -> str:
    return f"{abs(offset)} line{'s' * (abs(offset) > 1)} {'below' if offset > 0 else 'above'}"


# ------------------------------------------------------------------ scripts


def _script(corpus: Corpus) -> Iterator[Draft]:
    """Lines without a letter of the scripts that are usual on their side."""
    found: list[int] = []
    for side in ("source", "target"):
        scripts = corpus[f"{side}_script"]
        mask = sum(1 << kind for kind in _usual(scripts))
        found += np.flatnonzero((scripts > 0) & (corpus[f"{side}_scripts"] & mask == 0)).tolist()
    if found:
        places = sorted(set(found))
        yield Draft(
            "script",
            "warning",
            len(places),
            "in another script than the rest of their side",
            "are they in the right language?",
            places[:WORST],
        )


def _usual(scripts: _Array) -> list[Kind]:
    """Scripts that one in twenty lines is written in; in a file of many languages, where five scripts or more have one
    line in a hundred each, those.
    """
    counts = np.bincount(scripts, minlength=len(Kind))
    counts[0] = 0  # lines without a letter
    lines = max(1, int(counts.sum()))
    many = np.flatnonzero(counts >= 0.01 * lines)
    found = many if len(many) >= _MANY_SCRIPTS else np.flatnonzero(counts >= 0.05 * lines)
    usual = [Kind(int(number)) for number in found]
    return usual + [part for part, whole in _CJK.items() if whole in usual]


def _worst(badness: _Array, numbers: _Array) -> list[int]:
    """The ten pairs with the largest badness, the earlier first among equals."""
    order = np.lexsort((numbers, -badness.astype(np.float64)))[:WORST]
    return [int(number) for number in numbers[order]]


CORPUS_RULES: tuple[Callable[[Corpus], Iterator[Draft]], ...] = (
    _duplicates,
    _several_targets,
    _one_target,
    _one_source,
    _ratio,
    _order,
    _script,
)
TEXT_RULES: tuple[Callable[[Corpus], Iterator[Draft]], ...] = (_duplicates, _one_target, _script)
"""Those that say something of texts that stand alone."""
