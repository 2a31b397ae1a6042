"""`train`: a fresh run is prepared, a known one resumed; then both go the same way through the loop."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from seq2x.allocator import keep_memory
from seq2x.data import sniff
from seq2x.errors import FolderError, StorageError, UsageError, escape
from seq2x.plan import estimate_seconds
from seq2x.predict import model_folder
from seq2x.run import Lock, commit, load
from seq2x.settings import Settings, differences, dump_toml, is_clean, resolve, several, without_effect
from seq2x.tasks.device import pick_device
from seq2x.training.distributed import World, joined
from seq2x.training.final import TEST_FILE, final, require_readable
from seq2x.training.log import Log, duration
from seq2x.training.loop import run
from seq2x.training.prepare import Prepared, fingerprint, prepare
from seq2x.training.probe import probe
from seq2x.training.request import Paths, Request, request
from seq2x.training.session import about_of, held_out_sum, micro_of, open_session, plain_settings, show
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
    `runs`: one per seed.
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
    quiet: bool = False,
    **named: Any,
) -> RunInfo:
    """Train on the pairs in `paths` into the run folder `out` (`runs/NAME` of the first file); see `RunInfo`.

    `settings` and `named` are settings by their names (`layers=4`); what is not given is planned from the data.
    A recipe among `paths` (`"recipe.toml"`) is read as on the command line: what is given here wins over what it says.
    If the folder holds the same run, it is resumed to the bit. `restart` begins anew and forgets what is there;
    `allow_change` names harmless settings that a resumed run may change. `from_run` goes on from the weights and
    codecs of another run. `test`: a test set, evaluated on once at the end with the best weights. `quiet`: nothing but
    warnings on standard error.
    Where the C library is glibc, the process keeps freed memory from here on (see `seq2x.allocator`).
    Raises `UsageError`, `DataError`, `FolderError`, `StorageError`, `DivergedError`, `OutOfMemory`, `DeviceError`,
    `BusyError`, and `Stopped` after a signal (the state is saved).
    """
    asked = request(
        paths,
        out=out,
        test=test,
        settings=settings,
        named=named,
        restart=restart,
        allow_change=allow_change,
        from_run=from_run,
        quiet=quiet,
    )
    keep_memory()
    return _train_seeds(asked) if asked.asked.seeds > 1 else _train(asked)


def _train_seeds(request: Request) -> RunInfo:
    """The same with seed, seed + 1, ... in folders of their own; says mean and range of the metric."""
    runs = []
    for seed in range(request.asked.seed, request.asked.seed + request.asked.seeds):
        folder = request.folder.with_name(f"{request.folder.name}-seed{seed}")
        runs.append(_train(replace(request, asked=replace(request.asked, seed=seed, seeds=1), folder=folder)))
    values = [info.value for info in runs if info.value is not None]
    if values:
        Log(quiet=request.quiet).say(
            f"{runs[0].metric} of {len(runs)} seeds: mean {statistics.fmean(values):.2f},"
            f" from {min(values):.2f} to {max(values):.2f}"
        )
    _say_tests(request, runs)
    mean = statistics.fmean(values) if values else None
    first, seconds = runs[0], sum(info.seconds for info in runs)
    why = "all seeds done"
    said = tuple(dict.fromkeys(line for info in runs for line in info.warnings))
    of_first = (first.metric, mean, first.step, first.steps, why, seconds)
    return RunInfo(request.folder, *of_first, warnings=said, runs=tuple(runs))


def _say_tests(request: Request, runs: Sequence[RunInfo]) -> None:
    """Mean and range over the seeds of each metric of the test set."""
    for name in runs[0].test:
        values = [info.test[name].value for info in runs]
        spread = f"mean {statistics.fmean(values):.2f}, from {min(values):.2f} to {max(values):.2f}"
        Log(quiet=request.quiet).say(f"test: {name} of {len(runs)} seeds: {spread}")


def _train(request: Request) -> RunInfo:
    """One run; what the disk refuses names the folder where the system did not say which file it was."""
    try:
        return _work(request)
    except OSError as error:
        where, reason = error.filename or request.folder, error.strerror or str(error)
        raise StorageError(str(where), reason.lower(), "", "free some space, or choose another --out") from error


def _work(request: Request) -> RunInfo:
    if request.asked.threads:
        torch.set_num_threads(request.asked.threads)
    pick_device(request.asked.device)  # one that is absent is said before any work
    with joined() as world:
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
            asked, settings = _resumed_settings(saved.about, request, log)
            session = open_session(folder, saved, settings, asked, world, log, signals)
            begun, progress = time.monotonic(), session.training.progress
            before = progress.step
            try:
                reason = run(session.training)
            finally:
                log.close()
            _say_end(request, progress, settings, reason, progress.step == before, log)
            seconds = time.monotonic() - begun
            test = _test(request, settings, log) if world.leader else {}
            return RunInfo(
                folder=folder,
                metric=settings.valid_metric,
                value=progress.best,
                step=progress.best_step,
                steps=progress.step,
                reason=reason,
                seconds=seconds,
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
    if request.test:
        require_readable(request.test, asked)
    with contextlib.suppress(OSError, ValueError):  # a path that cannot be is refused when the folder is made
        if (folder / "last" / "manifest.json").exists() and not request.restart:
            return
    valid = several(asked.valid)
    for paths in (request.paths, valid) if valid else (request.paths,):
        sniff(paths, asked.format, asked.columns, max_line_bytes=asked.max_line_bytes)
    parent = [model_folder(request.from_run)] if request.from_run else []
    for one in parent:
        load(one)
    if request.restart:
        doomed = [path.resolve() for path in _own(folder)]
        needed: list[str | Path] = [*request.paths, *valid, *request.test, *parent]
        for path in needed:
            if any(Path(path).resolve().is_relative_to(one) for one in doomed):
                raise UsageError("restart", f"it would remove {path}, which it needs", "", "choose another --out")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(
            "out", f"{str(folder)[:200]!r} cannot be made: {error}", "a folder", "choose another --out"
        ) from None


def _make_ready(request: Request, world: World, log: Log) -> None:
    """Rank 0: see to it that `last/` holds this run, at whatever step."""
    folder = request.folder
    if request.restart and any((folder / part / "manifest.json").exists() for part in ("last", "best")):
        _forget(folder)
    elif (folder / "last" / "manifest.json").exists():
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
    if (best / "manifest.json").exists() and not strange:
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
    rate = _try_out(request, prepared, world, log)
    weights = sum(weight.numel() for weight in prepared.task.model.parameters())
    seconds, why = estimate_seconds(settings, weights, rate)
    log.say(f"model: {weights:,} weights; training takes {duration(seconds)} at most ({why})")
    (folder / "settings.toml").write_text(_recipe(request, prepared), encoding="utf-8")
    device = prepared.task.device
    parent, held = str(request.from_run or ""), held_out_sum(folder)
    about = about_of(asked, settings, data, Progress(), 0.0, parent, world.size, device, held)
    files = prepared.task.to_files() | prepared.extra
    commit(folder / "last", 0, files, about, keep_generations=2, kind="training")


def _recipe(request: Request, prepared: Prepared) -> str:
    """`settings.toml`: it names the data, so that `seq2x train` of it, from the same folder, is the same run again."""
    named = {"train": request.paths, "test": request.test}
    paths = {name: files if len(files) > 1 else files[0] for name, files in named.items() if files}
    if not all(map(is_clean, (*request.paths, *request.test))):
        paths = {}  # no such recipe could be read
    text = dump_toml(prepared.settings, prepared.reasons, paths)
    began = f"# It began from the weights of another run: --from {escape(str(request.from_run))}\n"
    return began + text if request.from_run else text


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
    micro = micro_of(request.folder, prepared.task, prepared.settings, World(), log)
    found = probe(micro, prepared.settings)
    log.say(f"probe: loss {found.before:.3f} -> {found.after:.3f} on a few lines learned by heart")
    if found.warning:
        log.say(f"warning: {found.warning}")
    return found.tokens_per_second * world.size


def _resumed_settings(about: Mapping[str, Any], request: Request, log: Log) -> tuple[Settings, Settings]:
    """(what was asked for, the settings) of the run in the folder, if it is the one that is asked for; else
    `UsageError`.

    What may differ: a larger `max_steps`, and harmless settings that `allow_change` names. What is asked for just as it
    was planned is no difference: the run's own `settings.toml` asks for the same run.
    """
    folder, where = request.folder, str(request.folder / "last")
    try:
        before, settings = (resolve(dict(about[name]), where) for name in ("asked", "settings"))
        data, parent, step = str(about["data"]), str(about["parent"]), int(about["progress"]["step"])
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise FolderError(
            where, "not the training state of this version of seq2x", "", f"--restart ({error})"
        ) from None
    wrong: list[str] = []
    changed: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    for name, old, new, harmless in differences(before, request.asked):
        if new == getattr(settings, name):
            continue
        longer = name == "max_steps" and new is not None and int(str(new)) > (settings.max_steps or 0)
        if longer or (harmless and name in request.allow_change):
            planned = name == "max_steps" and new is None  # what the plan said, or a longer run since, stays
            log.say(f"{name}: {getattr(settings, name)} -> {'auto' if new is None else new}")
            changed |= {} if planned else {name: new}
            asked[name] = new
        else:
            old, new = ("auto" if value is None else value for value in (old, new))
            wrong.append(f"{name} was {old}, now {new}" + ("" if harmless else " (cannot change in a run)"))
    if data != fingerprint(request.paths, request.asked):
        wrong.append("the data is not the same")
    if parent != str(request.from_run or ""):
        wrong.append(f"it began from {parent or 'scratch'}")
    if wrong:
        todo = "give the same, choose another --out, --restart to begin anew, or --allow-change NAME if it is harmless"
        raise UsageError("out", f"{folder} holds another run: {'; '.join(wrong)}", "the same settings and data", todo)
    if step:
        log.say(f"resumed at step {step:,}")
    return replace(before, **asked), replace(settings, **changed)


def _say_end(request: Request, progress: Progress, settings: Settings, reason: str, idle: bool, log: Log) -> None:
    """Why it is over; `idle`: it was before it began, so also how to go on."""
    done = progress.step >= (settings.max_steps or 0)
    more = "a larger --max-steps" if done else "--early-stopping 0 --allow-change early_stopping"
    log.say(f"already finished: {reason} ({more} goes on)" if idle else f"finished: {reason}")
    if progress.best is not None:
        best = f"{settings.valid_metric} {progress.best:.2f} at step {progress.best_step:,}"
        log.say(f"best: {best} -> {request.folder / 'best'}")
