"""Whether a target fits into its source, for models that write at the places of the source (decoder = "ctc")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from seq2x.errors import DataError

__all__ = ["Frames", "needed"]

_MOST = 64  # frames for each source symbol that a setting may ask for


def needed(target: Sequence[int]) -> int:
    """How many frames a target of these symbols needs, `</s>` not among them: one each, and a blank between equals."""
    return len(target) + sum(a == b for a, b in pairwise(target))


@dataclass(slots=True)
class Frames:
    """`each`: frames that a source symbol gives, `</s>` too; 0: targets need none. Counts what it is asked."""

    each: int = 0
    asked: int = 0
    lacking: Counter[int] = field(default_factory=Counter)  # pairs by how many frames each symbol would have to give
    first: tuple[str, int] | None = None

    def lack(self, source: Sequence[int], target: Sequence[int], file: str, line: int) -> bool:
        """Whether `target` does not fit into `source`, both without `</s>`."""
        if not self.each:
            return False
        self.asked += 1
        short = -(-needed(target) // (len(source) + 1))
        if short <= self.each:
            return False
        self.lacking[short] += 1
        self.first = self.first or (file, line)
        return True

    def require_most(self) -> None:
        """`DataError` where most targets do not fit, with the number of frames for which nearly all would."""
        count = self.lacking.total()
        if self.first is None or 2 * count <= self.asked:
            return
        enough = self.each
        while enough < _MOST and 100 * sum(n for k, n in self.lacking.items() if k > enough) > self.asked:
            enough += 1
        found = f"{count:,} of {self.asked:,} targets do not fit into their sources with ctc_upsample = {self.each}"
        wide = f"ctc_upsample = {enough}, with which nearly all do"
        todo = 'decoder = "standard", or "mask_predict"' if enough == _MOST else f'{wide}; or decoder = "standard"'
        expected = "a frame for each target symbol, and one more between equals"
        raise DataError(f"{self.first[0]}:{self.first[1]}", found, expected, todo)
