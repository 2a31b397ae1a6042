"""Raw inputs in, raw outputs out, in the order given: what a trained run is for.

run = seq2x.load("runs/pairs")
run("one input")                                   # 'one output'
run(["a", "b"], n_best=3, details=True)            # [Prediction, Prediction]
run(["a", "b"], prefix=["Dear", ""], forbid=["!"]) # the first output begins with "Dear", none has a "!"
for prediction in run.stream(lines): ...           # any number of them, in flat memory
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from seq2x.errors import DataError, FolderError, Seq2xError, UsageError
from seq2x.settings import Settings
from seq2x.types import NOTHING, Prediction, Want

if TYPE_CHECKING:
    from seq2x.tasks import Task

__all__ = ["Predictor", "load", "model_folder"]

_END = object()
_ROOMS = ("search", "machine")  # of the settings that a prediction obeys; and the seed, where it draws


class Predictor:
    """A loaded run. Call it with one text or with many; any setting of search and machine may stand beside, but for
    `device` and `threads`, which `load` takes.

    Without `details` a text gives a text and an iterable of texts a list of texts; with them a `Prediction` or a
    list of them. Inputs of any number of characters; the blank ones have blank outputs.

    `prefix`: what every output begins with, or one for each text (empty or None: nothing). It is cut into symbols by
    itself, so that a prefix of whole words, without a blank at its end, suits the model best; the automatic length
    limit grows with it. `forbid`: tokens that no output may hold, as `Prediction.tokens` shows them or as text that is
    exactly one token; what other tokens spell may still be written, and a prefix wins.
    """

    def __init__(self, task: Task, seen: bytes | None = None, seen_by_team: Sequence[bytes | None] = ()) -> None:
        """`seen`: the run's record of what it was trained on (see `seq2x.tasks.seen`), where there is one;
        `seen_by_team`: those of the further runs of an ensemble.
        """
        self.task, self.seen, self.seen_by_team = task, seen, tuple(seen_by_team) or (None,) * len(task.team)

    @overload
    def __call__(self, texts: str, *, details: Literal[False] = False, **settings: Any) -> str: ...
    @overload
    def __call__(self, texts: str, *, details: Literal[True], **settings: Any) -> Prediction: ...
    @overload
    def __call__(self, texts: Iterable[str], *, details: Literal[False] = False, **settings: Any) -> list[str]: ...
    @overload
    def __call__(self, texts: Iterable[str], *, details: Literal[True], **settings: Any) -> list[Prediction]: ...

    def __call__(
        self, texts: str | Iterable[str], *, details: bool = False, **settings: Any
    ) -> str | Prediction | list[str] | list[Prediction]:
        """The best output, or with `details` all that is known. Raises `UsageError` for an unknown setting."""
        if not details and settings.get("n_best", 1) != 1:
            raise UsageError("n_best", f"{settings['n_best']} without details", todo="ask for details=True")
        single = isinstance(texts, str)
        found = list(self.stream([texts] if isinstance(texts, str) else texts, **settings))
        if single:
            return found[0] if details else found[0].value
        return found if details else [prediction.value for prediction in found]

    def stream(
        self,
        texts: Iterable[str],
        *,
        want: Want = NOTHING,
        prefix: str | Iterable[str | None] | None = "",
        forbid: Iterable[str] = (),
        **settings: Any,
    ) -> Iterator[Prediction]:
        """One Prediction per text, as they come. At most `window` texts are read ahead, so memory stays flat.

        `row` of an error counts the texts from 0. Raises `UsageError` for what is no text, `DataError` for a text that
        no file could hold.
        """
        if not isinstance(texts, Iterable):
            raise UsageError("input", f"a {type(texts).__name__}", "a text, or several")
        resolved = self.settings(**settings)
        forbidden = self.task.forbid(forbid)
        waiting, done = _with_prefixes(texts, prefix), 0
        while block := list(islice(waiting, resolved.window)):
            inputs, prefixes = [text for text, _ in block], [begin for _, begin in block]
            try:
                found = self.task.predict(inputs, resolved, want, prefixes=prefixes, forbidden=forbidden)
            except Seq2xError as error:
                if error.row is None:
                    raise
                raise error.at(f"input {done + error.row + 1:,}", done + error.row) from error
            yield from found
            done += len(block)

    def settings(self, **changes: Any) -> Settings:
        """The settings of a prediction: the run's own, with `changes`.

        `UsageError` for what does not belong here, and for another `device` or number of `threads` than the run was
        loaded with.
        """
        from seq2x.settings import canonical, resolve

        changes = {canonical(name, "settings", value): value for name, value in changes.items()}
        rooms = {field.name: field.metadata["room"] for field in dataclasses.fields(Settings)} | {"seed": "search"}
        for name in changes:
            if rooms[name] not in _ROOMS:
                raise UsageError(name, f"it belongs to {rooms[name]}", "a setting of search or machine", "leave it out")
        own = {name: value for name, value in self.task.about.search.items() if rooms[name] in _ROOMS}
        if "n_best" in changes and "beam_size" not in changes and isinstance(changes["n_best"], int):
            own["beam_size"] = max(own.get("beam_size", Settings().beam_size), changes["n_best"])
        resolved = resolve({"task": self.task.about.task, **own, **changes}, "settings")
        for name in ("device", "threads"):
            self._require_there(name, getattr(resolved, name))
        return resolved

    def _require_there(self, name: str, asked: str | int) -> None:
        """`UsageError` unless a setting that only loading can obey is `asked` as it is already."""
        if asked in ("auto", 0):
            return
        if name == "device":
            there = str(self.task.device)
        else:
            import torch

            there = str(torch.get_num_threads())
        if str(asked) not in (there, there.removesuffix(":0")):
            todo = f"give it where the run is loaded: seq2x.load(run, {name}={asked!r})"
            raise UsageError(name, f"{asked}, but the run was loaded with {there}", there, todo)


def _with_prefixes(texts: Iterable[str], prefix: str | Iterable[str | None] | None) -> Iterator[tuple[str, str]]:
    """Every text with what its output begins with. Raises `UsageError` for what is no text, and for prefixes that are
    more or fewer than the texts.
    """
    one = prefix is None or isinstance(prefix, str)
    prefixes = repeat(prefix) if one else chain(prefix or (), repeat(_END))
    for number, text in enumerate(texts, 1):
        begin = next(prefixes)
        if not isinstance(text, str):
            raise UsageError("input", f"a {type(text).__name__}", "text")
        if begin is _END:
            raise UsageError("prefix", "fewer than there are texts", "one for each, or one text for all")
        if not isinstance(begin, str | None):
            raise UsageError("prefix", f"a {type(begin).__name__}", "text")
        _require_utf8(text, f"input {number:,}")
        _require_utf8(begin or "", f"prefix {number:,}")
        yield text, begin or ""
    if not one and next(prefixes) is not _END:
        raise UsageError("prefix", "more than there are texts", "one for each, or one text for all")


def _require_utf8(text: str, where: str) -> None:
    """`DataError` for half of a surrogate pair: what a byte that is not UTF-8 becomes in an argument of a program."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(where, f"not UTF-8 (character {error.start + 1:,}: {text[error.start]})", "text") from None


def load(
    folder: str | os.PathLike[str],
    device: str = "auto",
    *,
    threads: int = 0,
    ensemble: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> Predictor:
    """The run in `folder` (the run folder, or its `best/` alone), ready to use.

    `ensemble`: a further run, or several, trained with the same target vocabulary, that decide together with it.
    `threads`: CPU threads, 1,024 at most; 0 leaves torch's own choice. Raises `FolderError` for a folder that cannot be
    trusted, `DeviceError` for a device that is not there, `UsageError` for an argument that is of the wrong kind.
    """
    from seq2x import run
    from seq2x.settings import resolve

    if not isinstance(device, str):
        raise UsageError("device", f"a {type(device).__name__}", "auto, cpu, cuda or cuda:N")
    threads = resolve({"threads": threads}, "settings").threads
    others = [ensemble] if isinstance(ensemble, str | os.PathLike) else ensemble
    paths = [model_folder(path) for path in (folder, *others)]
    saved = [run.load(path) for path in paths]  # all sums are verified before torch is even imported

    import torch

    from seq2x.tasks import restore
    from seq2x.tasks.device import pick_device
    from seq2x.tasks.seen import SEEN_FILE

    if threads > 0:
        torch.set_num_threads(threads)
    place = pick_device(device)
    first, *team = [restore(one, place) for one in saved]
    for path, other in zip(paths[1:], team, strict=True):
        if other.about.task != first.about.task:
            raise FolderError(str(path), f"a {other.about.task} task", f"one of {first.about.task}, as the first run")
        if other.target_codec.to_bytes() != first.target_codec.to_bytes():
            found = "other target symbols than the first run's"
            raise FolderError(str(path), found, "runs of one ensemble to share them", "train them on the same data")
    seen, *seen_by_team = [one.contents.get(SEEN_FILE) for one in saved]
    return Predictor(first.with_team(team), seen, seen_by_team)


def model_folder(folder: str | os.PathLike[str]) -> Path:
    """Where the model of a run is: `folder/best`, or `folder` itself where somebody gave away `best/` alone.

    Raises `FolderError` where there is no run, `UsageError` for a path that cannot be one.
    """
    if not isinstance(folder, str | os.PathLike):
        raise UsageError("run", f"a {type(folder).__name__}", "a run folder")
    path = Path(folder)
    best = path / "best"
    try:
        if not path.exists():
            raise FolderError(str(folder), "no such folder", "a run folder", _near(path))
        if not path.is_dir():
            raise FolderError(str(folder), "it is not a folder", "a run folder, as train makes it")
        if best.is_symlink():
            raise FolderError(str(best), "a link", "a folder", "copy it with cp -rL")
        if best.is_dir():
            return best
        if (path / "last").is_dir():
            todo = "wait for the first validation, or train on"
            raise FolderError(str(folder), "no best/ yet: training has not validated once", todo=todo)
    except (OSError, ValueError) as error:
        raise UsageError(str(folder)[:200], f"it cannot be a path ({error})", "a run folder") from error
    return path


def _near(path: Path) -> str:
    """A hint for a mistyped run folder."""
    import difflib

    try:
        names = [sibling.name for sibling in path.parent.iterdir() if sibling.is_dir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"did you mean {path.with_name(close[0])}?" if close else ""
