r"""Raw inputs in, raw outputs out, in the order given: what a trained run is for.

run = seq2x.load("runs/pairs")
run("one input")                                   # 'one output'
run(["a", "b"], n_best=3, details=True)            # [Prediction, Prediction]
run(["a", "b"], prefix=["Dear", ""], forbid=["!"]) # the first output begins with "Dear", none has a "!"
run(["a", "b"], require=["two words", None])       # the first output holds "two words"
run("3 May", pattern=r"\d\d-\d\d")                 # an output of this form
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
    from seq2x.tasks.constraining import GuideMaker

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
    exactly one token; what other tokens spell may still be written, and a prefix wins. `allow`: the only tokens that an
    output may hold, named likewise.

    `require`: a phrase that every output holds, or for each text none, one or several; `pattern`: a regular expression
    that the whole output matches (see `seq2x.codecs.pattern`). An output that cannot be so is empty, its `stopped` is
    "unmet" and its `unmet` says why; the others go on. `guide`: a function of the inputs of a batch and the codec of
    the outputs that makes a `seq2x.search.Guide`, for what no finite automaton can say.

    Of a language model a text is how its output begins (`run("Once upon a time")`, `run("")`), and `prefix` is for
    texts that are blank.
    """

    def __init__(
        self,
        task: Task,
        seen: bytes | None = None,
        seen_by_team: Sequence[bytes | None] = (),
        reranker: Task | None = None,
        seen_by_reranker: bytes | None = None,
    ) -> None:
        """`seen`: the run's record of what it was trained on (see `seq2x.tasks.seen`), where there is one;
        `seen_by_team`: those of the further runs of an ensemble. `reranker`: the run that has a say in which of the
        best outputs is chosen (see `seq2x.tasks.rerank`).
        """
        self.task, self.seen, self.seen_by_team = task, seen, tuple(seen_by_team) or (None,) * len(task.team)
        self.reranker, self.seen_by_reranker = reranker, seen_by_reranker

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
        require: str | Iterable[str | Iterable[str] | None] | None = None,
        allow: Iterable[str] | None = None,
        pattern: str | None = None,
        guide: GuideMaker | None = None,
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
        constraint = self.task.constrain(pattern, allow, guide)
        constrained = bool(forbidden) or constraint.says != () or constraint.guide is not None
        if self.reranker is not None:
            _require_a_choice(resolved, constrained)
        waiting, done = _wished(texts, prefix, require), 0
        while block := list(islice(waiting, resolved.window)):
            inputs, prefixes, requires = (list(part) for part in zip(*block, strict=True))
            try:
                if self.reranker is not None:
                    found = self._reranked(self.reranker, inputs, (prefixes, requires), resolved, want)
                else:
                    found = self.task.predict(
                        inputs,
                        resolved,
                        want,
                        prefixes=prefixes,
                        requires=requires,
                        forbidden=forbidden,
                        constraint=constraint,
                    )
            except Seq2xError as error:
                if error.row is None:
                    raise
                raise error.at(f"input {done + error.row + 1:,}", done + error.row) from error
            yield from found
            done += len(block)

    def align(self, text: str, prediction: Prediction) -> list[tuple[int, int]]:
        """(word of `text`, word of its output) pairs, from 0, words being what stands between blanks: for each word of
        the output the one that attention gave most weight to.

            (prediction,) = run.stream([text], want=frozenset({"attention"}))
            run.align(text, prediction)                   # [(0, 0), (2, 1), (1, 2)]

        Raises `UsageError` for a run without attention, and for a prediction that does not hold it.
        """
        return self.task.align(text, prediction)

    def _reranked(
        self,
        other: Task,
        texts: Sequence[str],
        wishes: tuple[Sequence[str], Sequence[Sequence[str]]],
        settings: Settings,
        want: Want,
    ) -> list[Prediction]:
        """`wishes`: prefixes and required phrases, which it refuses."""
        from seq2x.tasks.generate import Generate
        from seq2x.tasks.rerank import rerank

        assert isinstance(self.task, Generate) and isinstance(other, Generate)  # see `load`
        for name, given in zip(("prefix", "require"), wishes, strict=True):
            for row, one in enumerate(given):
                if one:
                    raise UsageError(name, "given to two runs that re-rank", "one run or an ensemble", row=row)
        return rerank(self.task, other, texts, settings, want)

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
        shape = self.task.about.shape
        wide: Literal["length_beam", "beam_size"] = "length_beam" if shape.decoder == "mask_predict" else "beam_size"
        if "n_best" in changes and wide not in changes and isinstance(changes["n_best"], int):
            own[wide] = max(own.get(wide, getattr(Settings(), wide)), changes["n_best"])
        resolved = resolve({**own, **changes, **self.task.about.asked}, "settings")
        for name in ("device", "threads"):
            self._require_there(name, getattr(resolved, name))
        return resolved

    def without_effect(self, **changes: Any) -> list[str]:
        """One sentence for each of `changes` (as `settings` takes them) that changes nothing about a prediction."""
        from seq2x.settings import without_effect

        resolved = self.settings(**changes)
        idle = without_effect(resolved, changes, reranked=self.reranker is not None)
        idle += [*self.task.out_of_reach(resolved), *self.task.unused(changes)]
        if "seed" in changes and not (resolved.sample or (resolved.mbr and resolved.mbr_from == "samples")):
            idle.append("seed has no effect with sample = false")
        if "rerank_weight" in changes and self.reranker is None:
            idle.append("rerank_weight has no effect without --rerank")
        return idle

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


def _require_a_choice(settings: Settings, constrained: bool) -> None:
    """`UsageError` for what two runs that re-rank cannot do."""
    for name, asked in (("sample", settings.sample), ("mbr", bool(settings.mbr))):
        if asked:
            found = f"{str(getattr(settings, name)).lower()}, with a run that re-ranks"
            raise UsageError(name, found, "a search: draws have no best", "leave one of them out")
    if constrained:
        found = "tokens of one run, or a pattern, with another that re-ranks"
        raise UsageError("constraint", found, "one run or an ensemble")


def _wished(
    texts: Iterable[str],
    prefix: str | Iterable[str | None] | None,
    require: str | Iterable[str | Iterable[str] | None] | None,
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every text with what its output begins with, and the phrases that it holds. Raises `UsageError` for what is no
    text, and for prefixes or phrases of more or fewer texts than there are.
    """
    prefixes, requires = _each(prefix), _each(require)
    for number, text in enumerate(texts, 1):
        begin, phrases = (_of_one(wishes, name) for wishes, name in ((prefixes, "prefix"), (requires, "require")))
        if not isinstance(text, str):
            raise UsageError("input", f"a {type(text).__name__}", "text")
        if not isinstance(begin, str | None):
            raise UsageError("prefix", f"a {type(begin).__name__}", "text")
        held = () if phrases is None else (phrases,) if isinstance(phrases, str) else tuple(phrases)
        for part in held:
            if not isinstance(part, str):
                raise UsageError("require", f"a {type(part).__name__}", "text")
        for part, where in ((text, "input"), (begin or "", "prefix"), *((part, "require") for part in held)):
            _require_utf8(part, f"{where} {number:,}")
        yield text, begin or "", held
    for wishes, name in ((prefixes, "prefix"), (requires, "require")):
        if not isinstance(wishes, repeat) and next(wishes) is not _END:
            raise UsageError(name, "more than there are texts", "one for each, or one text for all")


def _each(wish: Any) -> Iterator[Any]:
    """One for all, or those that there are and then an end."""
    return repeat(wish) if wish is None or isinstance(wish, str) else chain(wish, repeat(_END))


def _of_one(wishes: Iterator[Any], name: str) -> Any:
    """The next; there has to be one."""
    if (wish := next(wishes)) is _END:
        raise UsageError(name, "fewer than there are texts", "one for each, or one text for all")
    return wish


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
    rerank: str | os.PathLike[str] | None = None,
    lm: str | os.PathLike[str] | None = None,
) -> Predictor:
    """The run in `folder` (the run folder, or its `best/` alone), ready to use.

    `ensemble`: a further run, or several, trained with the same target vocabulary, that decide together with it.
    `rerank`: another run, with whatever symbols and direction, that has a say in which of the best outputs of both is
    chosen. `lm`: a language model that has a say in what they predict, by `lm_weight` and as `lm_use` has it.
    `threads`: CPU threads, 1,024 at most; 0 leaves torch's own choice. Raises `FolderError` for a folder that cannot be
    trusted, `DeviceError` for a device that is not there, `UsageError` for an argument that is of the wrong kind.
    """
    from seq2x import run
    from seq2x.settings import resolve

    if not isinstance(device, str):
        raise UsageError("device", f"a {type(device).__name__}", "auto, cpu, cuda or cuda:N")
    threads = resolve({"threads": threads}, "settings").threads
    others = [ensemble] if isinstance(ensemble, str | os.PathLike) else ensemble
    if rerank is not None and lm is not None:
        raise UsageError("lm", "beside a run that re-ranks", "one of them", "leave rerank or lm out")
    paths = [model_folder(path) for path in (folder, *others)]
    extra = next((model_folder(path) for path in (rerank, lm) if path is not None), None)
    beside = None if extra is None else run.load(extra)
    saved = [run.load(path) for path in paths]  # all sums are verified before torch is even imported

    import torch

    from seq2x.tasks import restore
    from seq2x.tasks.device import pick_device
    from seq2x.tasks.generate import Generate
    from seq2x.tasks.seen import SEEN_FILE

    if threads > 0:
        torch.set_num_threads(threads)
    place = pick_device(device)
    first, *team = [restore(one, place) for one in saved]
    for path, other in zip(paths[1:], team, strict=True):
        _require_one_tongue(first, other, path)
    seen, *seen_by_team = [one.contents.get(SEEN_FILE) for one in saved]
    task = first.with_team(team)
    if beside is None or extra is None:
        return Predictor(task, seen, seen_by_team)
    another = restore(beside, place)
    if not isinstance(task, Generate) or not isinstance(another, Generate):
        name = "lm" if rerank is None else "rerank"
        raise UsageError(name, "a run that labels tokens", "runs that write", "leave it out")
    if lm is not None:
        if another.about.shape.source:
            raise FolderError(str(extra), "a run that reads a source", "a language model", "train one on texts alone")
        return Predictor(task.helped(another), seen, seen_by_team)
    if another.about.shape.source != first.about.shape.source:
        found, todo = "a language model beside a run that reads a source, or the other way round", "--lm takes one"
        raise FolderError(str(extra), found, "runs of one kind to re-rank", todo)
    return Predictor(task, seen, seen_by_team, another, beside.contents.get(SEEN_FILE))


def _require_one_tongue(first: Task, other: Task, path: Path) -> None:
    """`FolderError` for the run at `path` if it cannot decide with the first about the same symbol."""
    if other.about.task != first.about.task:
        raise FolderError(str(path), f"a {other.about.task} task", f"one of {first.about.task}, as the first run")
    if other.about.shape.source != first.about.shape.source:
        raise FolderError(str(path), "a language model beside one that reads a source", "runs of one kind")
    if other.target_codec.to_bytes() != first.target_codec.to_bytes():
        found = "other target symbols than the first run's"
        raise FolderError(str(path), found, "runs of one ensemble to share them", "train them on the same data")
    if problem := first.copies_otherwise(other):
        raise FolderError(str(path), problem, "runs of one ensemble to copy the same symbols")
    if other.about.direction != first.about.direction:
        found, todo = f"it writes {other.about.direction}, the first run does not", "--rerank takes another direction"
        raise FolderError(str(path), found, "runs of one ensemble to write in one direction", todo)


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
