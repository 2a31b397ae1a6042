"""`train`: a fresh run is prepared, a known one resumed; then both go the same way through the loop."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from seq2x.allocator import keep_memory
from seq2x.data import Notes, sniff
from seq2x.errors import StorageError, UsageError
from seq2x.models import Ngram
from seq2x.plan import estimate_seconds
from seq2x.predict import model_folder
from seq2x.run import Lock, commit, is_run, load
from seq2x.settings import COUNTED, Settings, dump_toml, is_clean, several, tags, without_effect
from seq2x.storage import DISK, replace_file
from seq2x.tasks.device import pick_device, repeatable
from seq2x.training.counted import unlabelled_inputs
from seq2x.training.distributed import World, joined
from seq2x.training.final import TEST_FILE, final, require_readable
from seq2x.training.log import Log, duration
from seq2x.training.prepare import Prepared, fingerprint, fingerprints, named_files, prepare
from seq2x.training.probe import probe
from seq2x.training.request import Paths, Request, plain_settings, request
from seq2x.training.resume import adopt, parent_of, resumed
from seq2x.training.session import about_of, held_out_sum, micro_of, open_session, show
from seq2x.training.signals import Signals
from seq2x.training.state import Progress
from seq2x.types import Result

__all__ = ["RunInfo", "train"]

_OURS = ("last", "best", "data", "splits", "settings.toml", "metrics.jsonl", "log.txt", "report.html", TEST_FILE)
_PREPARED = ("train", "valid")  # in data/; a folder of that name may well hold somebody's own files


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A finished training. `value` is the best value of `metric`, at `step` of `steps`; `test`: by name, the results on
    the test set, if one was given; `warnings`: what was said of the data and the settings that should be looked at;
    `runs`: one per seed, each with a folder of its own; `folder`, `step` and `steps` are then those of the first, and
    `value` is the mean.
    """

    folder: Path
    metric: str
    value: float | None
    step: int
    steps: int
    reason: str
    seconds: float
    test: Mapping[str, Result] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    runs: tuple[RunInfo, ...] = ()


def train(
    paths: Paths,
    *,
    out: str | Path | None = None,
    test: Paths = (),
    settings: Mapping[str, Any] | Settings | None = None,
    restart: bool = False,
    allow_change: Sequence[str] = (),
    from_run: str | Path | None = None,
    strict_repro: bool = False,
    quiet: bool = False,
    **named: Any,
) -> RunInfo:
    """Train on the pairs in `paths` into the run folder `out` (`runs/NAME` of the first file); see `RunInfo`.

    `settings` and `named` are settings by their names (`layers=4`); what is not given is planned from the data.
    A recipe among `paths` (`"recipe.toml"`) is read as on the command line: what is given here wins over what it says.
    If the folder holds the same run, it is resumed to the bit. `restart` begins anew and forgets what is there;
    `allow_change` names harmless settings that a resumed run may change. `from_run` goes on from the weights and
    codecs of another run. `strict_repro`: a run that cannot be resumed to the bit (other threads, torch or
    processor) is not resumed at all (`UsageError`; else a warning). `test`: a test set, evaluated on once at the end
    with the best weights. `quiet`: nothing but warnings on standard error.
    Where the C library is glibc, the process keeps freed memory from here on (see `seq2x.allocator`).
    Raises `UsageError`, `DataError`, `FolderError`, `StorageError`, `DivergedError`, `OutOfMemory`, `DeviceError`,
    `BusyError`, and `Stopped` after a signal (the state is saved).
    """
    with joined() as world:
        asked = request(
            paths,
            out=out,
            test=test,
            settings=settings,
            named=named,
            restart=restart,
            allow_change=allow_change,
            from_run=from_run,
            strict_repro=strict_repro,
            quiet=quiet,
        )
        keep_memory()
        return _train_seeds(asked, world) if asked.asked.seeds > 1 else _train(asked, world)


def _train_seeds(request: Request, world: World) -> RunInfo:
    """The same with seed, seed + 1, ... in folders of their own; says mean and range of the metric."""
    runs = []
    for seed in range(request.asked.seed, request.asked.seed + request.asked.seeds):
        folder = request.folder.with_name(f"{request.folder.name}-seed{seed}")
        runs.append(_train(replace(request, asked=replace(request.asked, seed=seed, seeds=1), folder=folder), world))
    log = Log(quiet=request.quiet, silent=not world.leader)
    values = [info.value for info in runs if info.value is not None]
    if values:
        log.say(
            f"{runs[0].metric} of {len(runs)} seeds: mean {statistics.fmean(values):.2f},"
            f" from {min(values):.2f} to {max(values):.2f}"
        )
    _say_tests(runs, log)
    mean = statistics.fmean(values) if values else None
    first, seconds = runs[0], sum(info.seconds for info in runs)
    said = tuple(dict.fromkeys(line for info in runs for line in info.warnings))
    return replace(
        first, value=mean, reason="all seeds done", seconds=seconds, test={}, warnings=said, runs=tuple(runs)
    )


def _say_tests(runs: Sequence[RunInfo], log: Log) -> None:
    """Mean and range over the seeds of each metric of the test set."""
    for name in runs[0].test:
        values = [info.test[name].value for info in runs]
        spread = f"mean {statistics.fmean(values):.2f}, from {min(values):.2f} to {max(values):.2f}"
        log.say(f"test: {name} of {len(runs)} seeds: {spread}")


def _train(request: Request, world: World) -> RunInfo:
    """One run; what the disk refuses names the folder where the system did not say which file it was."""
    try:
        return _work(request, world)
    except OSError as error:
        where, reason = error.filename or request.folder, error.strerror or str(error)
        raise StorageError(str(where), reason.lower(), "", "free some space, or choose another --out") from error


def _work(request: Request, world: World) -> RunInfo:
    if request.asked.threads:
        torch.set_num_threads(request.asked.threads)
    pick_device(request.asked.device)  # one that is absent is said before any work
    folder = request.folder
    if world.leader:
        _look(request)
        _make_folder(folder)
    log = Log(folder if world.leader else None, quiet=request.quiet, silent=not world.leader)
    lock = Lock(folder) if world.leader else contextlib.nullcontext()
    with Signals(str(folder)) as signals, lock:
        if world.leader:
            _make_ready(request, world, log)
        world.wait()
        saved = load(folder / "last", fallback=True)
        found = resumed(saved.about, request, log)
        settings = found.settings
        session = open_session(request, saved, settings, found.asked, world, log, signals)
        if world.leader:
            adopt(folder, saved, found, log)
        begun, progress = time.monotonic(), session.course.progress
        before = progress.step
        try:
            with repeatable(session.device):
                reason = session.work()
        finally:
            log.close()
        _say_end(request, progress, settings, reason, progress.step == before, log)
        signals.caught = world.largest(signals.caught)
        if signals.caught:  # during the last save: there is nothing left to stop but what comes after
            raise signals.stopped(f"stopped by signal {signals.caught}; the training is done and saved")
        test = _test(request, settings, log) if world.leader else {}
        return RunInfo(
            folder=folder,
            metric=settings.valid_metric,
            value=progress.best,
            step=progress.best_step,
            steps=progress.step,
            reason=reason,
            seconds=time.monotonic() - begun,
            test=test,
            warnings=log.warnings,
        )


def _test(request: Request, settings: Settings, log: Log) -> Mapping[str, Result]:
    """The results on the test set that was asked for, if one was; the report then shows them."""
    if not request.test:
        return {}
    results = final(request.folder, request.test, settings, log)
    show(request.folder, log)
    return results


# ------------------------------------------------------------------ fresh or resumed


def _look(request: Request) -> None:
    """A fresh run whose data or parent is not there leaves no folder behind, and a restart nothing removed."""
    asked, folder = request.asked, request.folder
    if asked.objective != "likelihood" and not asked.likelihood_weight and not request.from_run:
        raise UsageError(
            "objective",
            f'"{asked.objective}" from random weights: all that they write is equally bad, so rewards teach nothing',
            "a run to begin from",
            "train one by likelihood and give --from RUN; or a likelihood_weight above 0",
        )
    if request.test:
        require_readable(request.test, asked, _task(request))
    with contextlib.suppress(OSError, ValueError):  # a path that cannot be is refused when the folder is made
        if is_run(folder / "last") and not request.restart:
            return
    task, valid = _task(request), several(asked.valid)
    if valid:
        sniff(valid, asked.format, asked.columns, task=task, max_line_bytes=asked.max_line_bytes)
    if asked.unlabelled:
        deque(unlabelled_inputs(asked, Notes()), 0)
    parent = [model_folder(run) for run in (request.from_run, asked.vocab_from) if run]
    for one in parent:
        load(one)
    if request.restart:
        doomed = [path.resolve() for path in _own(folder)]
        needed: list[str | Path] = [*request.paths, *named_files(asked), *request.test, *parent]
        for path in needed:
            if any(Path(path).resolve().is_relative_to(one) for one in doomed):
                raise UsageError("restart", f"it would remove {path}, which it needs", "", "choose another --out")


def _task(request: Request) -> str:
    """What the data is for; all other files of the run are to be of that kind. Raises `DataError`."""
    asked = request.asked
    limit = asked.max_line_bytes
    told = "tag" if tags(asked) else asked.task
    found = sniff(request.paths, asked.format, asked.columns, task=told, max_line_bytes=limit)
    return "generate" if found.source else "lm"


def _make_folder(folder: Path) -> None:
    """A new one is for its owner alone: it holds all of the training text."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            DISK.mkdir(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(
            "out", f"{str(folder)[:200]!r} cannot be made: {error}", "a folder", "choose another --out"
        ) from None


def _make_ready(request: Request, world: World, log: Log) -> None:
    """Rank 0: see to it that `last/` holds this run, at whatever step."""
    folder = request.folder
    if request.restart and any(is_run(folder / part) for part in ("last", "best")):
        _forget(folder)
    elif is_run(folder / "last"):
        return
    else:
        _require_new(folder)
    for name in ("metrics.jsonl", "log.txt"):  # of a start that did not get as far as step 0
        (folder / name).unlink(missing_ok=True)
    log.lines = 0
    _begin(request, world, log)


def _require_new(folder: Path) -> None:
    """`UsageError` if there is more in a folder than a start leaves that did not get as far as step 0."""
    strange = sorted(path.name for path in folder.iterdir() if path.name not in _OURS and path.name[0] != ".")
    data = folder / "data"
    if data.is_dir():
        strange += sorted(f"data/{path.name}" for path in data.iterdir() if path.name not in _PREPARED)
    best, todo = folder / "best", "choose another --out"
    if is_run(best) and not strange:
        found, todo = "a model without its training state", f"{todo}, or --restart to begin anew"
    elif best.exists() and not strange:
        found = "a folder best/ that is not a run's (no manifest.json in it)"
    else:
        found = f"other files ({', '.join(strange[:3])})"
    if strange or best.exists():
        raise UsageError("out", f"{folder} holds {found}", "a new folder, or a run to resume", todo)


def _own(folder: Path) -> list[Path]:
    """What a run in `folder` consists of, the state first."""
    named = [folder / name for name in _OURS if name != "data"]
    return [*named, *(folder / "data" / part for part in _PREPARED)]


def _forget(folder: Path) -> None:
    """`--restart`: remove what a run consists of, and nothing else."""
    for path in _own(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _begin(request: Request, world: World, log: Log) -> None:
    """Prepare a fresh run, try it out, and commit its step 0."""
    asked, folder = request.asked, request.folder
    data = fingerprint(request.paths, asked)
    prepared = prepare(request.paths, asked, folder, log.say, request.from_run, data)
    settings = prepared.settings
    for idle in _without_effect(asked, settings):
        log.say(f"warning: {idle}")
    if settings.model in COUNTED:
        log.say(f"model: {_counted(prepared)}")
    else:
        _say_size(request, prepared, world, log)
    replace_file(DISK, folder / "settings.toml", _recipe(request, prepared).encode())
    device = prepared.task.device
    told = (held_out_sum(folder), fingerprints(request.paths, asked))
    about = about_of(asked, settings, data, Progress(), 0.0, parent_of(request), world.size, device, *told)
    files = prepared.task.to_files() | prepared.extra
    commit(folder / "last", 0, files, about, keep_generations=2, kind="training")


def _counted(prepared: Prepared) -> str:
    """What is said of a model that is counted."""
    if isinstance(model := prepared.task.model, Ngram):
        return f"{sum(model.shape.grams):,} n-grams of 2 to {model.shape.order} symbols"
    return f"counted in {prepared.task.passes(prepared.settings):,} passes over the data"


def _say_size(request: Request, prepared: Prepared, world: World, log: Log) -> None:
    """How many weights there are, and how long their training may take, tried out."""
    rate = _try_out(request, prepared, world, log)
    weights = sum(weight.numel() for weight in prepared.task.model.parameters())
    tokens = (int(store.target_lengths.sum(dtype="i8")) for store in (prepared.store, prepared.held_out))
    seconds, why = estimate_seconds(prepared.settings, weights, rate, epoch=next(tokens), held_out=next(tokens))
    log.say(f"model: {weights:,} weights; training takes {duration(seconds)} at most ({why})")


def _recipe(request: Request, prepared: Prepared) -> str:
    """`settings.toml`: it names the data, so that `seq2x train` of it, from the same folder, is the same run again."""
    named = {"train": request.paths, "test": request.test, "from": (str(request.from_run),) if request.from_run else ()}
    paths = {name: files if len(files) > 1 else files[0] for name, files in named.items() if files}
    if not all(is_clean(path) for files in named.values() for path in files):
        paths = {}  # no such recipe could be read
    return dump_toml(prepared.settings, prepared.reasons, paths)


def _without_effect(asked: Settings, settings: Settings) -> list[str]:
    """What was asked for and changes nothing, beside what was asked for or has been planned."""
    sides = ("source_units", "target_units", "encoder_layers", "decoder_layers")  # planned from the one for both
    return without_effect(replace(settings, **{name: getattr(asked, name) for name in sides}), plain_settings(asked))


def _try_out(request: Request, prepared: Prepared, world: World, log: Log) -> float | None:
    """The probe, on fresh runs; target tokens per second, if it ran."""
    if not prepared.settings.probe or request.from_run:
        return None
    device = pick_device(prepared.settings.device)
    prepared.task.model.to(device)
    micro = micro_of(prepared.store, prepared.task, prepared.settings, World(), log)
    found = probe(micro, prepared.settings)
    log.say(f"probe: loss {found.before:.3f} -> {found.after:.3f} on a few lines learned by heart")
    if found.warning:
        log.say(f"warning: {found.warning}")
    return found.tokens_per_second * world.size


def _say_end(request: Request, progress: Progress, settings: Settings, reason: str, idle: bool, log: Log) -> None:
    """Why it is over; `idle`: it was before it began, so also how to go on."""
    done = progress.step >= (settings.max_steps or 0)
    more = "a larger --max-steps" if done else "--early-stopping 0 --allow-change early_stopping"
    on = "" if settings.model in COUNTED else f" ({more} goes on)"
    log.say(f"already finished: {reason}{on}" if idle else f"finished: {reason}")
    if progress.best is not None:
        best = f"{settings.valid_metric} {progress.best:.2f} at step {progress.best_step:,}"
        log.say(f"best: {best} -> {request.folder / 'best'}")
