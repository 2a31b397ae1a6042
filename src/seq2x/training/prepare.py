"""From the user's files to a run folder that is ready to train: read, check, plan, split, learn codecs, tokenise.

All of it happens once. What comes out is committed as step 0 of `last/`, and from there a fresh run is a resumed one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice
from pathlib import Path
from typing import Literal

import torch

from seq2x.codecs import TextCodec
from seq2x.data import Columns, Notes, merge, read, sniff
from seq2x.data.check import check
from seq2x.data.held_out import hold_out, write_examples
from seq2x.data.pairing import require_fitting
from seq2x.data.store import Store, data_fingerprint, open_store
from seq2x.errors import DataError, FolderError, UsageError
from seq2x.plan import plan, profile, task_of
from seq2x.predict import model_folder
from seq2x.run import load
from seq2x.settings import COUNTED, Settings, broken_rule, several, tags
from seq2x.tasks import TASKS, Task, restore
from seq2x.tasks.about import About
from seq2x.tasks.learning import written
from seq2x.tasks.seen import SEEN_FILE, Seen
from seq2x.tasks.task import TARGET_FILE
from seq2x.training.feed import store_folder
from seq2x.training.finetune import Parent, inherit, with_codec
from seq2x.training.micro import seed_of
from seq2x.training.storing import key_of, length_ratio, tell, write_stores
from seq2x.types import Example

__all__ = ["Prepared", "fingerprint", "fingerprints", "named_files", "prepare", "stored"]

_TOLD = ("bad_utf8", "empty_source", "empty_target", "too_long")  # of the check: said with all that is not used


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task with its first weights, its training and its held-out pairs, the settings without a gap and their reasons;
    `extra` files for `best/`.
    """

    task: Task
    store: Store
    held_out: Store
    settings: Settings
    reasons: dict[str, str]
    extra: dict[str, bytes]


def named_files(settings: Settings) -> list[str]:
    """The files that settings name, beside those that are trained on."""
    return [*several(settings.valid), *several(settings.unlabelled)]


def fingerprint(paths: Sequence[str], settings: Settings) -> str:
    """What the run's data is, to the byte: compared when a run is resumed."""
    return data_fingerprint([*paths, *named_files(settings)])


def fingerprints(paths: Sequence[str], settings: Settings) -> list[str]:
    """That of each file, where they are several: which one has changed is to be said."""
    files = [*paths, *named_files(settings)]
    return [data_fingerprint([file]) for file in files] if len(files) > 1 else []


def prepare(
    paths: Sequence[str],
    settings: Settings,
    folder: Path,
    say: Callable[[str], None],
    from_run: Path | None = None,
    key: str = "",
) -> Prepared:
    """Do all of it; writes `splits/` and `data/` into `folder`. Raises `DataError` and its kin, with file and line."""
    data = _Source(paths, settings, say)
    parent = _parent(from_run) if from_run else None
    name = parent.task.about.task if parent else task_of(settings)[0]
    name = name if data.columns.source else "lm"
    _check(data, name, say)
    looked = profile(islice(data.examples(), 20_000), data.count, name)
    if parent:
        settings = inherit(settings, parent)
    borrowed = _borrowed(settings)
    if borrowed:
        settings = with_codec(settings, borrowed)
        if parent:
            parent.require(borrowed, settings)
    device = "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"
    chosen = plan(looked, settings, device=device)
    settings, reasons = chosen.settings, dict(chosen.reasons)
    alignment = data.alignment()
    kind = TASKS["generate" if name == "lm" else name]
    kind.shape(settings, 50, 50, joint=bool(settings.joint_vocab))  # what cannot be is said before all is read
    if parent:
        settings, reasons = parent.calm(settings, reasons)
    train, valid = _split(data, settings)
    require_fitting(name, valid)
    _keep(folder, valid, alone=not data.columns.source)
    if parent:
        codecs = parent.task.codecs
    elif borrowed:
        codecs = borrowed, written(borrowed, settings)
    else:
        codecs = kind.learn(train, settings)
    settings = _settle(settings, reasons)
    _say_plan(settings, reasons, *codecs, say)
    store, held_out = write_stores(folder, train, valid, codecs, kind.limits(settings), settings, key, say, alignment)
    torch.manual_seed(seed_of(settings.seed, 0, 0, "init"))
    model, shape = parent.begin(settings) if parent else kind.begin(settings, codecs, store)
    fitting = "perplexity" if looked.alone else looked.fit.metrics[0]
    about = About.of(settings, shape, fitting, length_ratio(store))
    seen = Seen.of(train(), codecs)
    if settings.valid:
        _say_overlap(seen, valid, paths, several(settings.valid), say)
    task = kind(*codecs, model, about)
    return Prepared(task, store, held_out, settings, reasons, {SEEN_FILE: seen.to_bytes()})


def stored(
    paths: Sequence[str],
    settings: Settings,
    folder: Path,
    task: Task,
    data: str,
    held_out: Sequence[Example],
    say: Callable[[str], None],
) -> tuple[Store, Store]:
    """The (training, validation) pairs of a prepared run. Where they are damaged or gone they are written again, from
    files that have the fingerprint `data`: with the same codecs and settings come the same rows.

    Raises `FolderError` if the files would now be split into others than the `held_out` ones, `DataError` and its kin.
    """
    codecs, limits = task.codecs, task.limits(settings)
    key = key_of(data, codecs, limits, settings)
    try:
        return open_store(store_folder(folder, "train"), key), open_store(store_folder(folder, "valid"), key)
    except FolderError as error:
        say(f"warning: {error.where}: {error.found}; it is prepared again from {', '.join(paths)}")
    source = _Source(paths, settings, lambda text: None)
    train, valid = _split(source, settings)
    if [(e.source, e.targets) for e in valid] != [(e.source, e.targets) for e in held_out]:
        todo = "--restart begins anew"
        raise FolderError(str(folder / "data"), "gone, and the data would be split in another way now", "", todo)
    return write_stores(folder, train, valid, codecs, limits, settings, data, say, source.alignment())


def _check(data: _Source, task: str, say: Callable[[str], None]) -> None:
    """What `seq2x check` finds: warnings are said, an error (the result would be meaningless) ends here."""
    settings = data.settings
    report = check(
        data.paths,
        task=task,
        format=settings.format,
        columns=settings.columns,
        max_source_length=settings.max_source_length,
        max_target_length=settings.max_target_length,
        on_bad_utf8=settings.on_bad_utf8,
        max_line_bytes=settings.max_line_bytes,
        allow=several(settings.allow),
    )
    for finding in report.findings:
        if finding.severity == "error":
            place = finding.places[0] if finding.places else None
            where = f"{place.file}:{place.line}" if place else str(data.paths[0])
            raise DataError(where, finding.text, "", finding.todo)
        if finding.code == "allow":
            say(f"data: {finding.text}")
    warned = [finding for finding in report.findings if finding.severity == "warning" and finding.code not in _TOLD]
    for finding in warned:
        say(f"data: warning [{finding.code}] {finding.text}")
    if warned:
        say(f'data: "seq2x check {data.paths[0]}" shows the lines')


def _say_overlap(
    seen: Seen, valid: Sequence[Example], paths: Sequence[str], named: Sequence[str], say: Callable[[str], None]
) -> None:
    """A warning if validation would praise memory: how many of the sources in the files `named` are trained on."""
    sources, pairs = seen.count(valid)
    if sources:
        alone = not any(example.source for example in valid)
        found = (
            f"{sources:,} of {len(valid):,} {'texts' if alone else 'sources'} of {', '.join(named)} occur in the data"
        )
        same = "" if alone else f" ({pairs:,} with the same target)"
        say(f"valid: warning: {found}{same}: scores on them measure memory")
        tests = " ".join(f"--test {name}" for name in named)
        say(f'valid: "seq2x check {" ".join(paths)} {tests}" shows the lines')


class _Source:
    """The training file as often as it is asked for, in flat memory (merged references are held)."""

    def __init__(self, paths: Sequence[str], settings: Settings, say: Callable[[str], None]) -> None:
        self.paths, self.settings, self._say = paths, settings, say
        task = "tag" if tags(settings) else settings.task
        self.columns = self._look(paths, task)
        task = "lm" if not self.columns.source else "tag" if tags(settings) else "generate"
        if problem := broken_rule(replace(settings, task=task)):
            raise UsageError(str(paths[0]), problem)
        for reason in self.columns.reasons:
            say(f"data: {reason}")
        self._merged: list[Example] | None = None
        notes = Notes()
        if settings.references == "merge":
            self._merged = merge(self._read(paths, self.columns, notes))
            self.count = len(self._merged)
        else:
            self.count = sum(1 for _ in self._read(paths, self.columns, notes))
        tell(notes, "data", say)
        if not self.count:
            raise DataError(str(paths[0]), "no examples", self._expected, notes.summary())

    @property
    def _expected(self) -> str:
        return "pairs of a source and a target" if self.columns.source else "texts, one a line"

    def examples(self) -> Iterator[Example]:
        """All of them, in order."""
        if self._merged is not None:
            return iter(self._merged)
        return self._read(self.paths, self.columns, Notes())

    def alignment(self) -> str:
        """Which extra of an example holds the alignment that is learned from, if one is. DataError if it is missing."""
        if self.columns.alignment and not self.settings.alignment_loss:
            self._say("data: the given alignments are not learned from (alignment_loss is 0)")
        if not self.settings.alignment_loss:
            return ""
        if not self.columns.alignment:
            found = f"no alignments where columns = {self.settings.columns} says"
            raise DataError(str(self.paths[0]), found, "a column (of two files side by side: a third) with links i-j")
        return self.columns.alignment

    def other(self, paths: Sequence[str]) -> list[Example]:
        """The examples of other files of the same kind: of a validation file, or of its two sides."""
        columns = self._look(paths, "generate" if self.columns.source else "lm")
        notes = Notes()
        found = list(self._read(paths, columns, notes))
        tell(notes, "valid", self._say)
        if not found:
            raise DataError(paths[0], "no examples", self._expected, notes.summary())
        return merge(found) if self._merged is not None else found

    def _look(self, paths: Sequence[str], task: str) -> Columns:
        """What the columns of `paths` are taken for."""
        settings = self.settings
        limit = settings.max_line_bytes
        return sniff(paths, settings.format, settings.columns, task=task, max_line_bytes=limit)

    def _read(self, paths: Sequence[str], columns: Columns, notes: Notes) -> Iterator[Example]:
        settings = self.settings
        return read(paths, columns, notes, max_line_bytes=settings.max_line_bytes, on_bad_utf8=settings.on_bad_utf8)


def _split(data: _Source, settings: Settings) -> tuple[Callable[[], Iterator[Example]], list[Example]]:
    """(the training examples, as often as asked; the held-out ones)."""
    if settings.valid:
        train: Callable[[], Iterator[Example]] = data.examples
        valid = data.other(several(settings.valid))
    else:
        grouped = (e.source or e.targets[0] for e in data.examples())  # what is read, or the text that stands alone
        held = hold_out(grouped, settings.valid_size, settings.seed, str(data.paths[0]))

        def train() -> Iterator[Example]:
            return compress(data.examples(), ~held)

        valid = list(compress(data.examples(), held))
    return train, valid


def _keep(folder: Path, valid: Sequence[Example], alone: bool) -> None:
    """Write what is held out into `splits/`."""
    (folder / "splits").mkdir(exist_ok=True)
    written = write_examples(folder / "splits" / "valid.tsv", valid, alone)
    for path in set((folder / "splits").glob("valid.*")) - {written}:  # of a start that did not get as far as step 0
        path.unlink()


def _settle(settings: Settings, reasons: dict[str, str]) -> Settings:
    """What is decided only now: the precision of matrix work."""
    if settings.precision != "auto":
        return settings
    if settings.model in COUNTED:
        return replace(settings, precision="fp32")
    wide = (settings.width or 0) >= 192 and settings.model == "transformer"
    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if settings.device == "cpu" or not torch.cuda.is_available():
        able = _has_bf16_units() and _has_bf16_products()
    choice: Literal["bf16", "fp32"] = "bf16" if able and wide else "fp32"
    why = "the processor multiplies bf16 matrices faster" if able else "the processor is not faster in bf16"
    reasons["precision"] = why if wide or not able else "matrices are too small for bf16 to pay"
    return replace(settings, precision=choice)


def _has_bf16_products() -> bool:
    """Whether this build of torch multiplies bf16 matrices on the processor; one without oneDNN cannot be asked."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False


def _has_bf16_units() -> bool:
    """Emulated bf16 is slower than fp32."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and any(
        word in cpuinfo.read_text(errors="replace") for word in ("avx512_bf16", "amx_bf16")
    )


def _say_plan(
    settings: Settings, reasons: dict[str, str], source: TextCodec, target: TextCodec, say: Callable[[str], None]
) -> None:
    for name, reason in reasons.items():
        say(f"{name} = {getattr(settings, name)}  ({reason})")
    if settings.task == "lm":
        say(f"symbols: {target.size:,}")
        if settings.label_smoothing and settings.model not in COUNTED:
            say(f"label_smoothing = {settings.label_smoothing} costs perplexity: 0 is usual for a language model")
        return
    say(f"symbols: {source.size:,} source, {target.size:,} target" + (" (one vocabulary)" if source is target else ""))
    if settings.sampled_softmax >= target.size:
        few = f"there are {target.size:,} target symbols, and all of them are learned from"
        say(f"warning: sampled_softmax = {settings.sampled_softmax:,} has no effect: {few}")


def _borrowed(settings: Settings) -> TextCodec | None:
    """The target codec of the run that `vocab_from` names."""
    if not settings.vocab_from:
        return None
    saved = load(model_folder(settings.vocab_from))
    return TextCodec.from_bytes(saved.read(TARGET_FILE), saved.where(TARGET_FILE))


def _parent(run: Path) -> Parent:
    return Parent(restore(load(model_folder(run))), run)
