"""Before a model that copies is trained: what can it copy?"""

from __future__ import annotations

import numpy as np

from seq2x.data.collate import collate
from seq2x.data.store import Store
from seq2x.errors import DataError

__all__ = ["require_copies", "share_copied"]

_LOOKED = 1_000  # pairs that are looked at


def share_copied(store: Store) -> str:
    """How much of the first targets stands in their sources, in words; nothing where nothing is copied."""
    if store.copy_ids is None:
        return ""
    most = f"of the first {_LOOKED:,}, " if len(store) > _LOOKED else ""
    return f"; {most}{_share(store):.0%} of the symbols can be copied"


def require_copies(store: Store) -> None:
    """`DataError` where a model is to copy and nothing stands on both sides."""
    if store.copy_ids is not None and not _share(store):
        looked = f"the first {_LOOKED:,} pairs" if len(store) > _LOOKED else f"all {len(store):,} pairs"
        todo = "leave it out; or units that are alike, and joint_vocab = true?"
        raise DataError("copy", f"no symbol of a target stands in its source, in {looked}", "something to copy", todo)


def _share(store: Store) -> float:
    found = total = 0
    for batch in (collate(store, [row]) for row in range(min(len(store), _LOOKED))):
        if batch.target is not None and batch.copy_ids is not None:
            target = batch.target.values[0, :-1]
            found, total = found + int(np.isin(target, batch.copy_ids[0]).sum()), total + len(target)
    return found / max(total, 1)
