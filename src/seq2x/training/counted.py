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
from seq2x.data.inputs import read_inputs
from seq2x.data.store import Store
from seq2x.errors import UsageError
from seq2x.settings import Settings
from seq2x.tasks import Task
from seq2x.training.distributed import World
from seq2x.training.log import Log
from seq2x.training.state import Progress
from seq2x.types import EOS, Batch

__all__ = ["Counted", "Course", "count", "require_alone"]

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
        return _sources(task, course.settings)

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


def _sources(task: Task, settings: Settings) -> Iterator[Batch]:
    """The sources in the file `unlabelled`, those that are not blank."""
    inputs = read_inputs(
        settings.unlabelled or "-", max_line_bytes=settings.max_line_bytes, on_bad_utf8=settings.on_bad_utf8
    )
    most = task.limits(settings)[0]
    coded = (task.source_codec.encode(one.text)[:most] for one in inputs)
    whole = filter(None, coded)
    while some := list(islice(whole, _ROWS)):
        yield task.arrange(Batch(pad([[*ids, EOS] for ids in some]), None, np.arange(len(some))))


def require_alone(world: World, settings: Settings) -> None:
    """`UsageError` where several processes would count the same."""
    if world.size > 1:
        found = f'model = "{settings.model}" in {world.size} processes'
        raise UsageError("ranks", found, "one: counting is not shared out", "start it without torchrun")
