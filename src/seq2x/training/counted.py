"""Training without gradients: a model that is counted, in whole passes over the data, each of them validated and saved.

The files, the run folder and what is said are those of any other training; a pass stands where an update stands there.
What one pass is, is the model's affair: `Counted.fit` makes it of what the passes before left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, cast

import numpy as np

from seq2x.data.collate import collate, pad
from seq2x.data.inputs import Input, input_format, read_inputs, source_keys
from seq2x.data.notes import Notes
from seq2x.data.store import Store
from seq2x.errors import DataError, UsageError
from seq2x.settings import Settings
from seq2x.tasks import Task
from seq2x.training.distributed import World
from seq2x.training.log import Log
from seq2x.training.state import Progress
from seq2x.types import EOS, Batch

__all__ = ["Counted", "Course", "count", "require_alone", "unlabelled_inputs"]

_ROWS = 256  # read together


class Counted(Protocol):
    """A model that is counted."""

    def fit(
        self,
        number: int,
        pairs: Callable[[], Iterable[Batch]],
        unlabelled: Callable[[], Iterable[Batch]] | None = None,
    ) -> float | None:
        """Pass `number`, from 1 on, over batches (numpy) as the task arranges them; what it maximises, if known."""
        ...


@dataclass(slots=True)
class Course:
    """What is counted by, and how far it is: what `seq2x.training.loop.Training` is for updates.

    `judge` validates and keeps `best/`, `keep` commits `last/`; `elapsed` are the seconds of earlier sittings.
    """

    settings: Settings
    progress: Progress
    log: Log
    judge: Callable[[Course], None]
    keep: Callable[[Course], None]
    elapsed: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Seconds of counting, earlier sittings included."""
        return self.elapsed + time.monotonic() - self.started


def count(course: Course, task: Task, store: Store) -> str:
    """Make the passes that are left; returns why it ended. A signal ends it at once: the last pass is saved."""
    p, passes, model = course.progress, task.passes(course.settings), cast(Counted, task.model)

    def pairs() -> Iterator[Batch]:
        for begin in range(0, len(store), _ROWS):
            yield task.arrange(collate(store, np.arange(begin, min(begin + _ROWS, len(store)))))

    def unlabelled() -> Iterator[Batch]:
        notes = Notes()
        yield from _sources(task, course.settings, notes)
        if p.step == 1:  # all further passes note the same
            for line in notes.lines():
                course.log.say(f"unlabelled: {line}")

    while p.step < passes:
        begun = time.monotonic()
        maximised = model.fit(p.step + 1, pairs, unlabelled if course.settings.unlabelled else None)
        p.step, p.tokens = p.step + 1, p.tokens + int(store.target_lengths.sum(dtype="i8"))
        clock = {"seconds": round(course.seconds(), 3), "pass_seconds": round(time.monotonic() - begun, 3)}
        course.log.record("train", p.step, {"tokens": p.tokens, "log_posterior": maximised}, clock)
        if maximised is not None:
            course.log.say(f"pass {p.step:,} began from log p {maximised:,.1f} of the unlabelled text and its prior")
        course.judge(course)
        p.validated = p.step
        course.log.sync()
        course.keep(course)
    return "everything is counted" if passes == 1 else f"all {passes:,} passes done"


def unlabelled_inputs(settings: Settings, notes: Notes) -> Iterator[Input]:
    """The sources in the file `unlabelled`, read as `predict` reads inputs. `DataError` also for a line with a TAB,
    which is none: it has further columns.
    """
    path = settings.unlabelled or "-"
    how = input_format(path, settings.format)
    keys = source_keys("auto", settings.columns) if how == "jsonl" else ()
    limit, bad = settings.max_line_bytes, settings.on_bad_utf8
    for one in read_inputs(path, notes, format=how, source=keys, max_line_bytes=limit, on_bad_utf8=bad):
        if how == "lines" and "\t" in one.text:
            raise DataError(f"{path}:{one.line}", "a TAB", "a source alone", f"cut -f1 {path} gives the first column")
        yield one


def _sources(task: Task, settings: Settings, notes: Notes) -> Iterator[Batch]:
    """The sources in the file `unlabelled` that are not blank, nor longer than `max_source_length`."""
    most = task.limits(settings)[0]

    def whole() -> Iterator[list[int]]:
        for one in unlabelled_inputs(settings, notes):
            ids = task.source_codec.encode(one.text)
            if len(ids) > most:
                notes.add("source_too_long", settings.unlabelled or "", one.line)
            elif ids:
                yield [*ids, EOS]

    found = whole()
    while some := list(islice(found, _ROWS)):
        yield task.arrange(Batch(pad(some), None, np.arange(len(some))))


def require_alone(world: World, settings: Settings) -> None:
    """`UsageError` where several processes would count the same."""
    if world.size > 1:
        found = f'model = "{settings.model}" in {world.size} processes'
        raise UsageError("ranks", found, "one: counting is not shared out", "start it without torchrun")
