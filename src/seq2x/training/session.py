"""A run folder opened for training: what the loop holds, made from `last/`, and written back into it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seq2x.data import Columns, read
from seq2x.data.lines import in_one_line
from seq2x.data.store import Store, data_fingerprint, open_store
from seq2x.errors import FolderError, UsageError
from seq2x.evaluate.casing import about_case
from seq2x.run import Saved, commit, is_run, sweep
from seq2x.settings import COUNTED, Settings
from seq2x.tasks import Task, restore
from seq2x.tasks.device import pick_device
from seq2x.tasks.seen import SEEN_FILE
from seq2x.tasks.weights import pack
from seq2x.training.average import Averages
from seq2x.training.counted import Course, count, require_alone
from seq2x.training.distributed import World
from seq2x.training.feed import StoreFeed, store_folder
from seq2x.training.final import TEST_FILE
from seq2x.training.log import Log, cut_back
from seq2x.training.loop import Training, run
from seq2x.training.micro import Micro
from seq2x.training.optim import adamw
from seq2x.training.prepare import stored
from seq2x.training.report import write_report
from seq2x.training.request import Request, plain_settings
from seq2x.training.signals import Signals
from seq2x.training.state import (
    Progress,
    Tally,
    broken_conditions,
    check_finite,
    conditions,
    restore_tensors,
    state_tensors,
)
from seq2x.training.validate import Validation, Validator
from seq2x.types import Example

__all__ = ["Session", "about_of", "held_out_examples", "held_out_sum", "micro_of", "open_session", "show"]


STATE_FILE = "training.safetensors"
_AGAIN = "--restart prepares the run again"


def about_of(
    asked: Settings,
    settings: Settings,
    data: str,
    progress: Progress,
    seconds: float,
    parent: str,
    ranks: int,
    device: torch.device,
    held_out: str = "",
    files: Sequence[str] = (),
) -> dict[str, Any]:
    """The JSON of a training state. All that depends on the clock stands under `time`. `held_out`: the checksum of
    what is validated on (see `held_out_sum`); `files`: the fingerprint of each data file, where they are several; the
    first runs have neither.
    """
    return {
        "asked": plain_settings(asked),
        "settings": plain_settings(settings),
        "data": data,
        "parent": parent,
        **({"held_out": held_out} if held_out else {}),
        **({"files": list(files)} if files else {}),
        "progress": progress.to_json(),
        "conditions": conditions(ranks, settings, device),
        "time": {"seconds": round(seconds, 3)},
    }


def micro_of(store: Store, task: Task, settings: Settings, world: World, log: Log) -> Micro:
    """Batches, objective and model of a prepared run. The model is put into training mode."""
    task.model.requires_grad_(True).train()
    return Micro(
        model=task.model,
        objective=task.objective(settings, store, log.say),
        feed=StoreFeed(store, settings, task.codecs, task.device, task.arrange, task.ENDS),
        precision="bf16" if settings.precision == "bf16" else "fp32",
        world=world,
        seed=settings.seed,
        accum_count=settings.accum_count,
        say=log.say,
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a run of any kind goes on from."""

    task: Task
    progress: Progress
    train: Store
    valid: Store
    examples: list[Example]


def open_session(
    request: Request, saved: Saved, settings: Settings, asked: Settings, world: World, log: Log, signals: Signals
) -> Session:
    """Everything as it stood when `saved` was committed, to the bit, or a warning that says why not (with
    `strict_repro` a `UsageError`). When it returns, all ranks have read what they need.
    """
    if settings.model in COUNTED:
        require_alone(world, settings)
    opened = _open(request, saved, settings, world, log)
    task, progress = opened.task, opened.progress
    files = {name: saved.read(name) for name in (SEEN_FILE,) if name in saved.contents}
    validator = Validator(task, settings, opened.examples, opened.valid, lambda: signals.caught)
    session = Session(request.folder, task, asked, saved.about, files, validator)
    if settings.model in COUNTED:
        course = Course(settings, progress, log, session.judge, session.keep, _seconds(saved.about))
        session.course, session.work = course, lambda: count(course, task, opened.train)
        return session
    micro = micro_of(opened.train, task, settings, world, log)
    optimizer = adamw(task.model, settings.adam_beta1, settings.adam_beta2, settings.weight_decay)
    averages, tally = Averages(task.model, settings.ema, settings.average_last), Tally(task.device)
    if progress.step:
        arrays = saved.tensors(STATE_FILE)
        restore_tensors(arrays, saved.where(STATE_FILE), task.model, optimizer, averages, tally)
    training = Training(
        settings=settings,
        micro=micro,
        optimizer=optimizer,
        averages=averages,
        tally=tally,
        progress=progress,
        log=log,
        signals=signals,
        validate=session.validate,
        save=session.save,
        elapsed=_seconds(saved.about),
    )
    session.course, session.work = training, lambda: run(training)
    return session


def _open(request: Request, saved: Saved, settings: Settings, world: World, log: Log) -> _Opened:
    """The task of `saved` on its device, its pairs and what was held out; what differs from before is said."""
    folder, name = request.folder, settings.device
    if name == "auto" and torch.cuda.is_available():
        name = f"cuda:{world.local % torch.cuda.device_count()}"
    device = pick_device("cpu" if settings.model in COUNTED else name)
    progress = Progress.from_json(saved.about.get("progress"), str(saved.path))
    if world.leader:
        _compare(saved, progress, conditions(world.size, settings, device), request.strict_repro, log)
        _tidy(folder, saved, progress, log)
    task = restore(saved, device)
    task.about = task.about.with_search(settings)
    examples = held_out_examples(folder, str(saved.about.get("held_out", "")))
    train, valid = _stores(request, saved, settings, task, examples, world, log)
    for line in about_case(task.target_codec, (e.targets for e in examples)) if not progress.step else ():
        log.say(f"valid: {line}")
    return _Opened(task, progress, train, valid, examples)


def _stores(
    request: Request,
    saved: Saved,
    settings: Settings,
    task: Task,
    held_out: Sequence[Example],
    world: World,
    log: Log,
) -> tuple[Store, Store]:
    """The prepared pairs (training, validation), which rank 0 writes again where they are damaged or gone."""
    folder = request.folder
    if world.leader:
        data = str(saved.about["data"])
        found = stored(request.paths, settings, folder, task, data, held_out, log.say)
    world.wait()
    if world.leader:
        return found
    return open_store(store_folder(folder, "train")), open_store(store_folder(folder, "valid"))


def show(folder: Path, log: Log) -> None:
    """Bring `report.html` up to date; a disk that refuses it stops nothing."""
    try:
        write_report(folder)
    except OSError as error:  # all that matters is saved
        log.say(f"warning: report.html is not up to date: {error}")


class Session:
    """The loop's way to the folder: `validate` keeps `best/`, `save` keeps `last/`; `judge` and `keep` do so of a model
    that is counted. `work` does all that is left to do, and says why it ended.
    """

    course: Course | Training
    work: Callable[[], str]

    def __init__(
        self,
        folder: Path,
        task: Task,
        asked: Settings,
        about: Mapping[str, Any],
        files: Mapping[str, bytes],
        validator: Validator,
    ) -> None:
        self._folder, self._task, self._asked = folder, task, asked
        self._about, self._files, self._validator = about, dict(files), validator

    @property
    def device(self) -> torch.device:
        """Where the model is trained."""
        return self._task.device

    def save(self, t: Training) -> None:
        """Commit `last/`. Raises `DivergedError` (and keeps the former save) if a tensor is not finite."""
        tensors = state_tensors(t.micro.model, t.optimizer, t.averages, t.tally)
        check_finite(tensors | dict(t.micro.model.named_parameters()), t.progress.step)
        self._commit_last(t, t.micro.world.size, {STATE_FILE: pack(tensors)})

    def keep(self, t: Course) -> None:
        """Commit `last/`: the model is all its state."""
        self._commit_last(t, 1, {})

    def validate(self, t: Training) -> None:
        """Validate the averaged weights; the best so far become `best/`."""
        begun = time.monotonic()
        with t.averages.applied():
            found, better = self._found(t)
        self._tell(t, found, better, time.monotonic() - begun)

    def judge(self, t: Course) -> None:
        """Validate; the best so far becomes `best/`."""
        begun = time.monotonic()
        found, better = self._found(t)
        self._tell(t, found, better, time.monotonic() - begun)

    def _found(self, t: Course | Training) -> tuple[Validation, bool]:
        """(what the validation found, whether that is the best so far, and then in `best/`)."""
        p = t.progress
        found = self._validator(p.history, p.step, p.loss)
        better = found.beats(p.best, p.best_loss)
        if better:
            self._commit_best(t, found)
            p.best, p.best_loss, p.best_step, p.stale = found.value, found.loss, p.step, 0
        else:
            p.stale += 1
        p.history.append([p.step, p.loss, found.loss, found.value])
        return found, better

    def _commit_last(self, t: Course | Training, ranks: int, state: Mapping[str, bytes]) -> None:
        t.progress.lines = t.log.lines
        about = about_of(
            self._asked,
            t.settings,
            str(self._about["data"]),
            t.progress,
            t.seconds(),
            str(self._about["parent"]),
            ranks,
            self.device,
            str(self._about.get("held_out", "")),
            tuple(map(str, self._about.get("files") or ())),
        )
        files = self._task.to_files() | self._files | dict(state)
        commit(self._folder / "last", t.progress.step, files, about, keep_generations=2, kind="training")
        show(self._folder, t.log)

    def _commit_best(self, t: Course | Training, found: Validation) -> None:
        about = {
            "metric": found.metric,
            "value": found.value,
            "loss": found.loss,
            "settings": plain_settings(t.settings),
            "data": str(self._about["data"]),
            "parent": Path(str(self._about["parent"])).name,  # it may be given away, with no path of this machine
        }
        (self._folder / TEST_FILE).unlink(missing_ok=True)  # it was of the former best
        commit(self._folder / "best", t.progress.step, self._task.to_files() | self._files, about)

    def _tell(self, t: Course | Training, found: Validation, better: bool, seconds: float) -> None:
        """The line for machines, and for people five examples and the judgement."""
        examples = self._validator.shown
        lines = [
            {"source": e.source, "output": output, "reference": e.targets[0]}
            for e, output in zip(examples, found.outputs, strict=True)
        ]
        values = {
            "metric": found.metric,
            "value": found.value,
            "loss": found.loss,
            "best": t.progress.best,
            "best_step": t.progress.best_step,
            "judgement": found.judgement,
            "judged": found.judged,
            "examples": lines,
        }
        clock = {"seconds": round(t.seconds(), 3), "validation_seconds": round(seconds, 3)}
        t.log.record("valid", t.progress.step, values, clock)
        mark = "the best so far" if better else f"best {t.progress.best:.2f} at step {t.progress.best_step:,}"
        loss = f"held-out loss {found.loss:.3f}"
        if found.alone:
            loss = f"perplexity {math.exp(min(found.loss, 700.0)):,.1f} per symbol"
        t.log.say(f"step {t.progress.step:,}: {found.metric} {found.value:.2f} ({mark}), {loss}")
        for line in lines:
            t.log.say(
                f"    {_short(line['source'])} -> {_short(line['output'])}   (right: {_short(line['reference'])})"
            )
        if found.judgement:
            t.log.say(f"    {found.judgement}")


def _compare(saved: Saved, progress: Progress, now: Mapping[str, str], strict: bool, log: Log) -> None:
    """Say what is not as it was when the state was saved; `UsageError` if the bits are to be the same (`strict`)."""
    if saved.warning:
        log.say(f"warning: {saved.warning}")
    before = saved.about.get("conditions")
    warning = broken_conditions(before, now) if progress.step and isinstance(before, dict) else ""
    if warning and strict:
        raise UsageError("strict_repro", warning, "the same as before", "without --strict-repro it goes on")
    if warning:
        log.say(f"warning: {warning}")


def _tidy(folder: Path, saved: Saved, progress: Progress, log: Log) -> None:
    """Remove what a killed process left, cut `metrics.jsonl` back to the restored step, see if `best/` is there."""
    for part in ("last", "best"):
        if (folder / part).is_dir():
            sweep(folder / part)
    for path in [*folder.glob(".*.new"), *(folder / "splits").glob(".*.waiting*")]:
        path.unlink(missing_ok=True)
    log.lines = cut_back(folder, progress.lines)
    if progress.best is not None and not is_run(folder / "best"):
        log.say(
            f"warning: best/ is gone, and the weights of step {progress.best_step:,}; the next validation makes one"
        )
        progress.best = None


def held_out_sum(folder: Path) -> str:
    """The checksum of the held-out examples in `splits/`: they choose the best weights, so they must not change."""
    return data_fingerprint([_held_out_file(folder)])


def _held_out_file(folder: Path) -> Path:
    found = sorted((folder / "splits").glob("valid.*"))
    if not found:
        raise FolderError(str(folder / "splits"), "no held-out examples", "valid.tsv", _AGAIN)
    return found[0]


def held_out_examples(folder: Path, expected: str = "") -> list[Example]:
    """What was held out, raw, if its checksum is the `expected` one (none is known of the first runs)."""
    path = _held_out_file(folder)
    if expected and held_out_sum(folder) != expected:
        raise FolderError(str(path), "damaged or changed (its sha256 differs)", "what was held out", _AGAIN)
    tsv = Columns("tsv", (1,), (2,), width=2)  # as it was written: a first line like "source TAB target" is no header
    lines = Columns("lines", (), (1,), width=1)
    columns = {".tsv": tsv, ".txt": lines}.get(path.suffix, Columns("jsonl", ("source",), ("target",)))
    return list(read([path], columns, max_line_bytes=sys.maxsize))


def _seconds(about: Mapping[str, Any]) -> float:
    clock = about.get("time")
    value = clock.get("seconds") if isinstance(clock, dict) else None
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else 0.0


def _short(text: str) -> str:
    text = in_one_line(text)
    return text if len(text) <= 70 else text[:67] + "..."
