"""What lower-casing runs are told apart by: their outputs have no capitals, the references may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seq2x.codecs.text import TextCodec

__all__ = ["about_case"]


def about_case(target: TextCodec, references: Iterable[Sequence[str]], whose: str = "") -> list[str]:
    """A warning if a run that lower-cases (`target`: the codec of its outputs) is judged by references that are not
    all lower-case. `whose`: " of a", say.

    Metrics keep case, as sacreBLEU's default does, in validation and evaluation alike: lower-casing the references in
    silence would flatter a run beside all others. Of several right outputs one in lower case is enough.
    """
    if not target.vocabulary.lower:
        return []
    every = list(references)
    cased = sum(all(text != text.lower() for text in of_one) for of_one in every)
    if not cased:
        return []
    count = f"{cased:,} of {len(every):,} references hold capitals"
    why = f"outputs{whose} are lower-case (lower = true) and {count}: no output equals those"
    return [f"warning: {why}; lower-case the references to judge without case"]
