"""Raw texts as the symbols that one model, or each model of an ensemble, reads."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from seq2x.codecs.copying import Copied
from seq2x.types import EOS, PAD, Padded

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["Source", "beyond_pointers", "copy_ids", "one_line", "padded", "read"]


class Source(NamedTuple):
    """One text, read. `ids`: for each model the symbols with `</s>`, by its own codec, cut to what it reads;
    `truncated`: at least one of them was cut. `key`: of the text alone, what a draw for it depends on beside the seed.
    `copied`: what copying each symbol means, `</s>` as well, where the models copy; it is one for all of them.
    """

    text: str
    ids: tuple[list[int], ...]
    blank: bool
    truncated: bool
    key: int
    copied: Copied | None = None

    @property
    def length(self) -> int:
        """|X|, `</s>` counted, as the first model reads it."""
        return len(self.ids[0])

    @property
    def extra(self) -> tuple[bytes, ...]:
        """The pieces that only this source has: symbols V, V + 1, ..."""
        return () if self.copied is None else self.copied.extra


def read(members: Sequence[Generate], text: str) -> Source:
    """`text` as each of `members` reads it. Blank is a text of which the first codec leaves nothing, too.

    A language model reads nothing: to it no text is blank, none is cut, and all are as long.
    """
    ids, truncated = [], False
    reads = members[0].about.shape.source
    for member in members if reads else ():
        symbols = member.source_codec.encode(text) if text.strip() else []
        most = member.about.shape.max_source_length
        ids.append([*symbols[:most], EOS])
        truncated = truncated or len(symbols) > most
    key = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "little")
    if not reads:
        return Source(text, ([EOS],) * len(members), False, False, key)
    copies, copied = members[0].copies, None
    if copies is not None:
        own = copies(text, ids[0][:-1])
        copied = own._replace(ids=[*own.ids, EOS])
    return Source(text, tuple(ids), len(ids[0]) == 1, truncated, key, copied)


def beyond_pointers(members: Sequence[Generate], source: Source, target: Sequence[int]) -> str:
    """What of `target`, as text, pointers alone would have to write though `source` does not hold it; else nothing."""
    if source.copied is None or not all(member.about.shape.copy == "pointer" for member in members):
        return ""
    missing = [symbol for symbol in target if symbol not in source.copied.ids]
    return members[0].target_codec.tokens(missing[:1], source.extra)[0] if missing else ""


def copy_ids(sources: Sequence[Source], device: torch.device) -> torch.Tensor | None:
    """What copying each symbol of `sources` means, `[B,S]` on `device`; None where nothing is copied."""
    ids = [source.copied.ids for source in sources if source.copied is not None]
    return padded(ids, device).values if ids else None


def padded(sequences: Sequence[Sequence[int]], device: torch.device) -> Padded:
    """`sequences` of symbols in one rectangle on `device`."""
    lengths = np.array([len(ids) for ids in sequences], np.int64)
    values = np.full((len(sequences), int(lengths.max(initial=0))), PAD, np.int64)
    for row, ids in enumerate(sequences):
        values[row, : len(ids)] = ids
    return Padded(torch.from_numpy(values).to(device), torch.from_numpy(lengths))


def one_line(text: str) -> str:
    """`text` without line ends: what a model says must not become two records. A final CR would be lost, too."""
    return text.replace("\r", " ").replace("\n", " ")
