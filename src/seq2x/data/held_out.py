"""A validation set out of the training file, where the user gave none.

Lines with the same source never stand on both sides, else validation would praise memory. What is held out depends on
the texts and the seed alone, not on the order of the file.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.data.columns import header_roles, is_language_pair
from seq2x.errors import DataError
from seq2x.storage import DISK, storage_error
from seq2x.types import Example

__all__ = ["fits_tsv", "hold_out", "valid_size", "write_examples"]

_Mask: TypeAlias = npt.NDArray[np.bool_]
_MOST = 500  # a few hundred lines tell two models apart; more would cost time at every validation


def valid_size(examples: int) -> int:
    """How many of `examples` to hold out: a tenth, at most 500; none of fewer than two."""
    return 0 if examples < 2 else min(_MOST, max(1, examples // 10))


def hold_out(sources: Iterable[str], size: int | None = None, seed: int = 1, where: str = "validation set") -> _Mask:
    """`[n]`, true for the lines held out: about `size` of them (none: `valid_size`), whole groups of equal sources.

    Groups are taken in the order of a keyed hash of their source (NFC, case and blanks aside). A group larger than a
    quarter of `size` stays in training. Reads `sources` once, eight bytes a line. Raises DataError, saying `where`, if
    all lines have the same source, or too few are left to train on.
    """
    key = hashlib.blake2b(f"hold out {seed}".encode(), digest_size=16).digest()
    hashes = np.fromiter((_hash(source, key) for source in sources), np.uint64)
    wanted = valid_size(len(hashes)) if size is None else size
    _, group, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    if len(counts) < 2 or wanted >= len(hashes):
        found = f"{_plural(len(hashes), 'example')} with {_plural(len(counts), 'different source')}"
        raise DataError(where, found, f"enough to hold out {max(wanted, 1):,}", "give one with --valid FILE")
    largest = max(1, wanted // 4)
    sizes = np.where(counts <= max(largest, counts.min()), counts, 0)
    taken = (sizes > 0) & (np.cumsum(sizes) <= max(wanted, counts.min()))
    if taken.all():
        taken[-1] = False
    return np.asarray(taken[group])


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _hash(source: str, key: bytes) -> int:
    plain = " ".join(unicodedata.normalize("NFC", source).casefold().split())
    return int.from_bytes(
        hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest(), "little"
    )


def write_examples(path: Path, examples: Iterable[Example], alone: bool = False) -> Path:
    """Writes examples so that `read` gives them back: TSV, or JSON lines and the suffix .jsonl where one does not fit a
    TSV. Texts that stand `alone`, without a source, are one a line, with the suffix .txt. Returns the path. Atomic and
    durable; memory is flat. Raises StorageError.
    """
    waiting = path.with_name(f".{path.name}.waiting")
    other = path.with_name(f".{path.name}.waiting.jsonl")
    plain = True
    try:
        with waiting.open("w", encoding="utf-8", newline="\n") as tsv, other.open("w", encoding="utf-8") as jsonl:
            for number, e in enumerate(examples):
                plain = plain and (not _breaks_line(e.targets[0]) if alone else fits_tsv(e, first=number == 0))
                if plain:
                    tsv.write(f"{e.targets[0]}\n" if alone else f"{e.source}\t{e.targets[0]}\n")
                jsonl.write(json.dumps(_record(e), ensure_ascii=False) + "\n")
            chosen = tsv if plain else jsonl
            chosen.flush()
            DISK.fsync(chosen.fileno())
        final = path.with_suffix((".txt" if alone else ".tsv") if plain else ".jsonl")
        DISK.replace(waiting if plain else other, final)
        DISK.sync_folder(final.parent)
    except OSError as error:
        raise storage_error(error, path.parent, 0, DISK) from error
    finally:
        waiting.unlink(missing_ok=True)
        other.unlink(missing_ok=True)
    return final


def fits_tsv(example: Example, first: bool) -> bool:
    """Whether it can stand in a TSV: one target, no TAB, line end or carriage return in a text; and, where it is the
    `first`, nothing that could be taken for a header."""
    if len(example.targets) != 1 or _breaks(example.source) or _breaks(example.targets[0]):
        return False
    return not (first and _like_header([example.source, example.targets[0]]))


def _record(example: Example) -> dict[str, str | list[str]]:
    targets = example.targets[0] if len(example.targets) == 1 else list(example.targets)
    return {"source": example.source, "target": targets}


def _like_header(cells: list[str]) -> bool:
    return header_roles(cells) is not None or is_language_pair(cells)


def _breaks(text: str) -> bool:
    return "\t" in text or _breaks_line(text)


def _breaks_line(text: str) -> bool:
    return any(mark in text for mark in "\n\r") or text.startswith("\ufeff")
