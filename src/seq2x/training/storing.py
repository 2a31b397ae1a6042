"""Prepared pairs: tokenised once into the run folder, or found there, and what is to be said about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from seq2x.codecs import Unknowns
from seq2x.codecs.copying import Copies
from seq2x.data import Notes
from seq2x.data.notes import LOST
from seq2x.data.store import Store, open_store, store_key
from seq2x.data.store_writer import write_store
from seq2x.errors import FolderError
from seq2x.settings import Settings
from seq2x.tasks.about import MOST_RATIO
from seq2x.tasks.task import Codecs
from seq2x.training.copying import require_copies, share_copied
from seq2x.training.feed import store_folder
from seq2x.types import Example

__all__ = ["key_of", "length_ratio", "tell", "write_stores"]


def write_stores(
    folder: Path,
    train: Callable[[], Iterator[Example]],
    valid: Sequence[Example],
    codecs: Codecs,
    limits: tuple[int, int],
    settings: Settings,
    data: str,
    say: Callable[[str], None],
    alignment: str,
) -> tuple[Store, Store]:
    """Tokenise, unless just this was tokenised before: the (training, validation) pairs. `alignment`: see
    `write_store`; validation needs none.
    """
    key = key_of(data, codecs, limits, settings)
    copies, only = None if settings.copy == "none" else Copies(*codecs), settings.copy == "pointer"
    stores: dict[str, Store] = {}

    def held_out() -> Iterator[Example]:
        return iter(valid)

    for part, examples in (("valid", held_out), ("train", train)):
        notes, place = Notes(), store_folder(folder, part)
        unknowns = [Unknowns(codec) for codec in codecs]
        watched = _watched(examples(), *unknowns)
        try:
            store = open_store(place, key)
            deque(watched, 0)  # of what was prepared before it is to be known, too
            store.note_set_aside(notes, part, limits[0])
        except FolderError:
            given = alignment if part == "train" else ""
            store = write_store(
                place,
                watched,
                *codecs,
                *limits,
                key=key,
                notes=notes,
                name=part,
                alignment=given,
                copies=copies,
                only_copies=only,
                frames=_frames(settings),
            )
        lines = [
            line
            for side, one in zip(("source", "target"), unknowns, strict=True)
            if side == "target" or settings.task != "lm"
            for line in one.lines(side, always=True)
        ]
        tell(notes, part, say, len(store) + store.set_aside)
        for line in lines:
            say(f"{part}: {line}")
        tokens = int(np.sum(store.target_lengths, dtype=np.int64))
        what = "texts" if settings.task == "lm" else "pairs"
        say(f"{part}: {len(store):,} {what}, {tokens:,} target tokens" + share_copied(store))
        stores[part] = store
    require_copies(stores["train"])
    return stores["train"], stores["valid"]


def tell(notes: Notes, part: str, say: Callable[[str], None], pairs: int | None = None) -> None:
    """What was noticed on the way; as a warning, how many pairs (of `pairs`) are not used, and why."""
    for line in notes.lines(without=LOST):
        say(f"{part}: {line}")
    if lost := notes.lost(pairs):
        say(f"{part}: warning: {lost}")


def _watched(examples: Iterable[Example], source: Unknowns, target: Unknowns) -> Iterator[Example]:
    """`examples`, what their codecs did not learn counted on the way."""
    for example in examples:
        source.add(example.source)
        for text in example.targets:
            target.add(text)
        yield example


def key_of(data: str, codecs: Codecs, limits: tuple[int, int], settings: Settings) -> str:
    """What prepared pairs depend on: the files by their fingerprint, the codecs, and how all is read and split."""
    told = [settings.format, settings.columns, settings.references, settings.on_bad_utf8, settings.max_line_bytes]
    more = ["aligned"] if settings.alignment_loss else []
    more += [] if settings.copy == "none" else [settings.copy]
    more += [settings.direction] if settings.direction != "left_to_right" else []
    more += [str(_frames(settings))] if _frames(settings) else []
    return store_key(data, *codecs, *limits, *told, settings.seed, settings.valid_size, *more)


def _frames(settings: Settings) -> int:
    """Places for a symbol that each source symbol gives; 0 where targets need none."""
    return settings.ctc_upsample if settings.decoder == "ctc" else 0


def length_ratio(store: Store) -> float:
    """Target symbols per source symbol that 999 of 1,000 training pairs keep to; at least 2. The source of a text that
    stands alone is `</s>`, so that there it is how long nearly all texts are.
    """
    ratios = np.asarray(store.target_lengths, np.float64) / np.maximum(store.source_lengths, 1)
    return float(min(max(2.0, np.ceil(10.0 * np.quantile(ratios, 0.999)) / 10.0), MOST_RATIO))
