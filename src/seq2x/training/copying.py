"""Before a model that copies is trained: is there anything to copy, and how much?"""

from __future__ import annotations

import numpy as np

from seq2x.codecs import TextCodec
from seq2x.codecs.copying import Copies
from seq2x.data.collate import collate
from seq2x.data.store import Store
from seq2x.errors import DataError
from seq2x.settings import Settings

__all__ = ["copies_of", "share_copied"]

_LOOKED = 1_000  # pairs that are looked at


def copies_of(codecs: tuple[TextCodec, TextCodec], settings: Settings) -> Copies | None:
    """What can be copied, for a model that does. `DataError` where that is nothing at all."""
    if settings.copy == "none":
        return None
    copies = Copies(*codecs)
    if not copies.shared and not copies.extends:
        sides = f"source ({codecs[0].describe()}) and target ({codecs[1].describe()})"
        todo = "joint_vocab = true, or leave copy out"
        raise DataError("copy", f"no symbol stands for the same text in {sides}", "something to copy", todo)
    return copies


def share_copied(store: Store) -> str:
    """How much of the first targets stands in their sources, for models that copy."""
    if store.copy_ids is None:
        return ""
    found = total = 0
    for batch in (collate(store, [row]) for row in range(min(len(store), _LOOKED))):
        if batch.target is not None and batch.copy_ids is not None:
            target = batch.target.values[0, :-1]
            found, total = found + int(np.isin(target, batch.copy_ids[0]).sum()), total + len(target)
    most = f"of the first {_LOOKED:,}, " if len(store) > _LOOKED else ""
    return f"; {most}{found / max(total, 1):.0%} of the symbols can be copied"
