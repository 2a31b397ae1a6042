"""A run that is there already: whether it is the one asked for, and what of it changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seq2x.errors import FolderError, UsageError
from seq2x.run import Saved, commit, is_run, load
from seq2x.settings import Settings, differences, dump_toml, resolve
from seq2x.storage import DISK, replace_file
from seq2x.tasks.about import MODEL_FILE, TASK_FILE, About
from seq2x.training.final import TEST_FILE
from seq2x.training.log import Log
from seq2x.training.loop import rate_of
from seq2x.training.prepare import fingerprint, fingerprints, named_files
from seq2x.training.request import Request, plain_settings

__all__ = ["Resumed", "adopt", "parent_of", "resumed"]


@dataclass(frozen=True, slots=True)
class Resumed:
    """`asked`: what was asked for; `settings`: those of the run; `former`: of what changes, the values that were."""

    asked: Settings
    settings: Settings
    former: Mapping[str, object]


def parent_of(request: Request) -> str:
    """The run that a run begins from, wherever one stands when it is asked for again; "" if there is none."""
    return str(request.from_run.resolve()) if request.from_run else ""


def resumed(about: Mapping[str, Any], request: Request, log: Log) -> Resumed:
    """The run in the folder, if it is the one that is asked for; else `UsageError`.

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
            old, new = ("auto" if value is None else _shown(value) for value in (old, new))
            wrong.append(f"{name} was {old}, now {new}" + ("" if harmless else " (cannot change in a run)"))
    if data != fingerprint(request.paths, request.asked):
        wrong.append(f"the data is not the same{_which(about.get('files'), request)}")
    if not _same_folder(parent, parent_of(request)):
        wrong.append(f"it began from {parent or 'scratch'}")
    if wrong:
        todo = "give the same, choose another --out, --restart to begin anew, or --allow-change NAME if it is harmless"
        raise UsageError("out", f"{folder} holds another run: {'; '.join(wrong)}", "the same settings and data", todo)
    if step:
        log.say(f"resumed at step {step:,}")
    former = {name: getattr(settings, name) for name in asked}
    found = Resumed(replace(before, **asked), replace(settings, **changed), former)
    if step and "max_steps" in changed:
        _warn_of_jump(settings, found.settings, step, log)
    return found


def _same_folder(a: str, b: str) -> bool:
    """Whether two names, as they were typed, mean one folder; "" is none."""
    return a == b or (bool(a and b) and Path(a).resolve() == Path(b).resolve())


def _warn_of_jump(before: Settings, after: Settings, step: int, log: Log) -> None:
    """A cosine has its end in it: with another end, the rate of every update is another one."""
    old, new = rate_of(before, step), rate_of(after, step + 1)
    if after.lr_scheduler == "cosine" and new > old:
        log.say(
            f"warning: the cosine now ends at step {after.max_steps or 0:,}: the learning rate goes up again,"
            f" from {old:.2g} to {new:.2g}"
        )


def _shown(value: object) -> object:
    return " and ".join(map(str, value)) if isinstance(value, tuple) else value


def _which(before: object, request: Request) -> str:
    """Which of the files `before` are the fingerprints of has changed, as far as that is known."""
    files = [*request.paths, *named_files(request.asked)]
    if len(files) == 1:
        return f" ({files[0]} has changed)"
    if not isinstance(before, list) or len(before) != len(files):
        return f" (it is {' and '.join(files)} now)"
    now = fingerprints(request.paths, request.asked)
    changed = [file for file, old, new in zip(files, before, now, strict=True) if old != new]
    return f" ({' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed)"


def adopt(folder: Path, saved: Saved, found: Resumed, log: Log) -> None:
    """For rank 0, when all ranks have read `saved`: what changed is written down at once, for a run that is finished is
    not saved again; and what a fallback found becomes the newest generation, before which no damaged one stands.

    `best/` is searched as `last/` is from then on. `last/` comes last: killed before it, the same call does all again.
    """
    if not found.former and not saved.warning:
        return
    if is_run(folder / "best"):
        _search_anew(folder, found.settings, log)
    _write_down(folder / "settings.toml", found)
    about = dict(saved.about) | {"asked": plain_settings(found.asked), "settings": plain_settings(found.settings)}
    files = _files(saved, found.settings)
    commit(folder / "last", saved.step, files, about, keep_generations=2, kind="training")


def _search_anew(folder: Path, settings: Settings, log: Log) -> None:
    """`best/` with the search of `settings`. What was measured on the test set was by the former search."""
    try:
        best = load(folder / "best")
        files = _files(best, settings)
    except FolderError as error:
        log.say(f"warning: {error}")
        return
    if files != dict(best.contents):
        (folder / TEST_FILE).unlink(missing_ok=True)
        about = dict(best.about) | {"settings": plain_settings(settings)}
        commit(folder / "best", best.step, files, about)


def _files(saved: Saved, settings: Settings) -> dict[str, bytes]:
    """The files of `saved`, used with the search of `settings`."""
    about = About.from_files(saved.read(MODEL_FILE), saved.read(TASK_FILE), str(saved.path))
    return dict(saved.contents) | about.with_search(settings).to_files()


def _write_down(path: Path, found: Resumed) -> None:
    """The new values in `settings.toml`, where that still is a file of ours: it is for people, and theirs to change."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    fresh = dict(line.partition(" = ")[::2] for line in dump_toml(found.settings, {}).splitlines())
    for name in found.former:
        line = f"# (changed when the run was resumed)\n{name} = {fresh[name]}"
        text = re.sub(rf"(# \(changed when the run was resumed\)\n)?^{name} *=.*$", lambda _: line, text, flags=re.M)  # noqa: B023
    replace_file(DISK, path, text.encode())
