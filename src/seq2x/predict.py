"""Raw inputs in, raw outputs out, in the order given: what a trained run is for.

run = seq2x.load("runs/pairs")
run("one input")                                   # 'one output'
run(["a", "b"], n_best=3, details=True)            # [Prediction, Prediction]
for prediction in run.stream(lines): ...           # any number of them, in flat memory
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from seq2x.errors import FolderError, UsageError
from seq2x.settings import Settings
from seq2x.types import NOTHING, Prediction, Want

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["Predictor", "load", "model_folder"]

_ROOMS = ("search", "machine")  # of the settings that a prediction obeys; and the seed, where it draws


class Predictor:
    """A loaded run. Call it with one text or with many; any setting of search and machine may stand beside, but for
    `device` and `threads`, which `load` takes.

    Without `details` a text gives a text and an iterable of texts a list of texts; with them a `Prediction` or a
    list of them. Inputs of any number of characters; the blank ones have blank outputs.
    """

    def __init__(self, task: Generate, seen: bytes | None = None, seen_by_team: Sequence[bytes | None] = ()) -> None:
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

    def stream(self, texts: Iterable[str], *, want: Want = NOTHING, **settings: Any) -> Iterator[Prediction]:
        """One Prediction per text, as they come. At most `window` texts are read ahead, so memory stays flat."""
        resolved = self.settings(**settings)
        waiting = iter(texts)
        while block := list(islice(waiting, resolved.window)):
            for text in block:
                if not isinstance(text, str):
                    raise UsageError("input", f"a {type(text).__name__}", "text")
            yield from self.task.predict(block, resolved, want)

    def settings(self, **changes: Any) -> Settings:
        """The settings of a prediction: the run's own, with `changes`.

        `UsageError` for what does not belong here, and for another `device` or number of `threads` than the run was
        loaded with.
        """
        from seq2x.settings import resolve

        rooms = {field.name: field.metadata["room"] for field in dataclasses.fields(Settings)} | {"seed": "search"}
        for name in changes:
            if rooms.get(name, "search") not in _ROOMS:
                raise UsageError(name, f"it belongs to {rooms[name]}", "a setting of search or machine", "leave it out")
        own = {name: value for name, value in self.task.about.search.items() if rooms[name] in _ROOMS}
        if "n_best" in changes and "beam_size" not in changes and isinstance(changes["n_best"], int):
            own["beam_size"] = max(own.get("beam_size", Settings().beam_size), changes["n_best"])
        resolved = resolve(own | changes, "settings")
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


def load(
    folder: str | os.PathLike[str],
    device: str = "auto",
    *,
    threads: int = 0,
    ensemble: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> Predictor:
    """The run in `folder` (the run folder, or its `best/` alone), ready to use.

    `ensemble`: a further run, or several, trained with the same target vocabulary, that decide together with it.
    `threads`: CPU threads; 0 leaves torch's own choice. Raises `FolderError` for a folder that cannot be trusted,
    `DeviceError` for a device that is not there.
    """
    from seq2x import run

    others = [ensemble] if isinstance(ensemble, str | os.PathLike) else ensemble
    paths = [model_folder(path) for path in (folder, *others)]
    saved = [run.load(path) for path in paths]  # all sums are verified before torch is even imported

    import torch

    from seq2x.tasks.device import pick_device
    from seq2x.tasks.generate import Generate
    from seq2x.tasks.seen import SEEN_FILE

    if threads > 0:
        torch.set_num_threads(threads)
    place = pick_device(device)
    first, *team = [Generate.from_saved(one, place) for one in saved]
    for path, other in zip(paths[1:], team, strict=True):
        if other.target_codec.to_bytes() != first.target_codec.to_bytes():
            found = "other target symbols than the first run's"
            raise FolderError(str(path), found, "runs of one ensemble to share them", "train them on the same data")
    seen, *seen_by_team = [one.contents.get(SEEN_FILE) for one in saved]
    return Predictor(first.with_team(team), seen, seen_by_team)


def model_folder(folder: str | os.PathLike[str]) -> Path:
    """Where the model of a run is: `folder/best`, or `folder` itself where somebody gave away `best/` alone.

    Raises `FolderError` where there is no run, `UsageError` for a path that cannot be one.
    """
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
