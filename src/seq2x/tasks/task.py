"""What every task is: two codecs, a model, and the way they are used and trained, bound into one.

Training, `predict`, `evaluate`, `score` and the run folder know a task by this class alone. A new one is a file with a
subclass that fills in what is abstract, and a row of `seq2x.tasks.TASKS`; beside it, where it has such, a rule for its
pairs (`seq2x.data.pairing`), the metrics that fit it (`seq2x.metrics.fit`) and how it is planned (`seq2x.plan`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, ClassVar, Protocol, Self, TypeAlias, cast

import torch
from torch import nn

from seq2x.codecs.text import TextCodec
from seq2x.data.store import Store
from seq2x.errors import FolderError, UsageError
from seq2x.models.shape import Shape
from seq2x.saved import Saved
from seq2x.settings import Settings
from seq2x.tasks.about import MODEL_FILE, TASK_FILE, About
from seq2x.tasks.alignments import Links, require_attention
from seq2x.tasks.constraining import FREE, Constraint, GuideMaker
from seq2x.tasks.scoring import TargetScore
from seq2x.tasks.weights import fill, own_tensors, pack, verify
from seq2x.tasks.wishes import forbidden_symbols
from seq2x.types import NOTHING, Batch, Example, Objective, Prediction, Scored, Want

__all__ = ["TARGET_FILE", "WEIGHTS_FILE", "Codecs", "Task", "evaluating"]

WEIGHTS_FILE = "weights.safetensors"
SOURCE_FILE = "source.json"
TARGET_FILE = "target.json"

Codecs: TypeAlias = tuple[TextCodec, TextCodec]
"""Of the source and of the target."""


class _Scores(Protocol):
    def log_prob(self, batch: Batch) -> Scored: ...


class Task(ABC):
    """One trained (or training) model with all it needs to turn raw texts into raw texts.

    `team`: further models over the same target symbols that decide together with it, where a task has such a way.
    """

    NAME: ClassVar[str]
    """What it is called in settings and in a run folder."""
    SOURCE: ClassVar[type[TextCodec]] = TextCodec
    TARGET: ClassVar[type[TextCodec]] = TextCodec
    """What reads its codecs from a run folder."""
    ENDS: ClassVar[bool] = True
    """Whether its targets end with `</s>`, which is then predicted, counted and scored like any other symbol."""
    TRUNCATED: ClassVar[str] = "input longer than the model reads; its end was not seen"
    """What is said of inputs whose prediction, or score, is `truncated`."""

    def __init__(
        self,
        source_codec: TextCodec,
        target_codec: TextCodec,
        model: nn.Module,
        about: About,
        team: Sequence[Self] = (),
    ) -> None:
        self.source_codec, self.target_codec = source_codec, target_codec
        self.model, self.about, self.team = model, about, tuple(team)

    @property
    def device(self) -> torch.device:
        """Where the numbers of the model are."""
        return next(chain(self.model.parameters(), self.model.buffers())).device

    @property
    def codecs(self) -> Codecs:
        """Both of them."""
        return self.source_codec, self.target_codec

    @property
    def members(self) -> tuple[Self, ...]:
        """This model and its team."""
        return (self, *self.team)

    def with_team(self, others: Sequence[Self]) -> Self:
        """This model and `others` as an ensemble. Raises `UsageError` where the task has none."""
        return type(self)(self.source_codec, self.target_codec, self.model, self.about, others)

    # -------------------------------------------------------------- use

    @abstractmethod
    def predict(
        self,
        texts: Sequence[str],
        settings: Settings,
        want: Want = NOTHING,
        *,
        prefixes: Sequence[str] = (),
        requires: Sequence[Sequence[str]] = (),
        forbidden: tuple[int, ...] = (),
        constraint: Constraint = FREE,
    ) -> list[Prediction]:
        """One Prediction per text, in order; a blank text has a blank output.

        `prefixes`: what each output begins with; `requires`: phrases that it holds; `forbidden` symbols are not chosen
        (see `forbid`); every output obeys `constraint` (see `constrain`). Errors that one of the texts is to blame for
        have its number in `row`.
        """

    @abstractmethod
    def score(
        self, sources: Sequence[str], targets: Sequence[str | Sequence[int]], batch_size: int = 64
    ) -> list[TargetScore]:
        """log p of given targets: raw texts, or symbols as in `Prediction.ids`, `</s>` behind those that ended.

        Raises `DataError` for a target that cannot be one of its source; its `row` is the number of the pair.
        """

    def log_prob(self, batch: Batch) -> Scored:
        """log p of the targets of a batch from `arrange`, on the model's device."""
        return cast(_Scores, self.model).log_prob(batch)

    def symbols(self, source: str, target: str) -> tuple[list[int], int]:
        """(the symbols of `target` as an output for `source`; how many symbols such outputs have to choose from)."""
        return self.target_codec.encode(target), self.target_codec.size

    def forbid(self, tokens: Iterable[str]) -> tuple[int, ...]:
        """The symbols that `tokens` name, for `predict`; `UsageError` for one that names none."""
        return forbidden_symbols(self.target_codec, tokens)

    def constrain(
        self, pattern: str | None = None, allow: Iterable[str] | None = None, guide: GuideMaker | None = None
    ) -> Constraint:
        """What every output has to be, for `predict`. Raises `UsageError` where the task knows no such thing."""
        if (pattern, allow, guide) != (None, None, None):
            raise UsageError("constraint", f"a run with task = {self.about.task}", "a run that writes", "leave it out")
        return FREE

    def require(self, phrases: Iterable[str]) -> None:
        """`UsageError` for a phrase that no output can hold."""
        for _ in phrases:
            raise UsageError("require", f"a run with task = {self.about.task}", "a run that writes", "leave it out")

    def align(self, text: str, prediction: Prediction) -> Links:
        """(word of `text`, word of the output) pairs; `UsageError` where no attention tells them."""
        require_attention(self.members)
        return []

    def unused(self, given: Iterable[str]) -> list[str]:
        """One sentence for each setting in `given` that is for what does not stand beside this run."""
        return []

    def copies_otherwise(self, other: Task) -> str:
        """Why `other` cannot decide together with this model, though its target symbols are the same."""
        return ""

    def out_of_reach(self, settings: Settings) -> list[str]:
        """One sentence for each of `settings` that this model, or its team, cannot obey."""
        return []

    # -------------------------------------------------------------- training

    @classmethod
    @abstractmethod
    def learn(cls, examples: Callable[[], Iterator[Example]], settings: Settings) -> Codecs:
        """Codecs learned on `examples`, which can be had as often as asked."""

    @classmethod
    @abstractmethod
    def shape(cls, settings: Settings, sources: int, targets: int, joint: bool) -> Shape:
        """The shape that `settings` ask for over so many symbols (`joint`: one vocabulary). Raises `UsageError`."""

    @classmethod
    @abstractmethod
    def holds(cls, shape: Shape) -> bool:
        """Whether a model of this shape can be of this task: asked of what a folder says."""

    @classmethod
    @abstractmethod
    def build(cls, shape: Any) -> nn.Module:
        """A fresh model of a shape that `shape` gave."""

    @classmethod
    def begin(cls, settings: Settings, codecs: Codecs, store: Store) -> tuple[nn.Module, Shape]:
        """The model that training on `store` begins with, its weights drawn from torch's generator, and its shape."""
        source, target = codecs
        shape = cls.shape(settings, source.size, target.size, source.vocabulary is target.vocabulary)
        return cls.build(shape), shape

    @abstractmethod
    def objective(self, settings: Settings, store: Store, say: Callable[[str], None]) -> Objective:
        """What training on `store` minimises; `say` is told what goes wrong on the way."""

    @classmethod
    def passes(cls, settings: Settings) -> int:
        """How many passes over the data it takes to count the model; 0: it is trained by gradients."""
        return 0

    @classmethod
    def limits(cls, settings: Settings) -> tuple[int, int]:
        """Symbols of a source and of a target, `</s>` not counted, above which a pair is set aside."""
        return settings.max_source_length, settings.max_target_length

    @staticmethod
    def arrange(batch: Batch) -> Batch:
        """A batch of stored symbols (numpy arrays) as the model takes it."""
        return batch

    # -------------------------------------------------------------- storage

    def to_files(self, weights: Mapping[str, torch.Tensor] | None = None) -> dict[str, bytes]:
        """Everything a reader needs, by file name; `weights` (an average, say) instead of the model's own."""
        own = own_tensors(self.model)
        chosen = own if weights is None else {name: weights[name] for name in own}
        return self.about.to_files() | {
            WEIGHTS_FILE: pack(chosen),
            SOURCE_FILE: self.source_codec.to_bytes(),
            TARGET_FILE: self.target_codec.to_bytes(),
        }

    @classmethod
    def from_saved(cls, saved: Saved, device: str | torch.device = "cpu") -> Self:
        """The task that `to_files` stored, on `device`, ready to predict.

        Codecs, sizes, names, shapes and values are checked before a weight is used; `FolderError` otherwise.
        """
        where = str(saved.path)
        about = About.from_files(saved.read(MODEL_FILE), saved.read(TASK_FILE), where)
        if about.task != cls.NAME:
            raise FolderError(f"{where}/{TASK_FILE}", f'task "{about.task:.80}"', f"a {cls.NAME} task")
        if not cls.holds(about.shape):
            raise FolderError(
                f"{where}/{MODEL_FILE}", f"not a model of a {cls.NAME} task", todo="copy the run folder anew"
            )
        source = cls.SOURCE.from_bytes(saved.read(SOURCE_FILE), saved.where(SOURCE_FILE))
        target = cls.TARGET.from_bytes(saved.read(TARGET_FILE), saved.where(TARGET_FILE))
        for side, codec, size in (
            ("source", source, about.shape.source_size),
            ("target", target, about.shape.target_size),
        ):
            if codec.size != size:
                raise FolderError(where, f"the {side} codec has {codec.size} symbols", f"{size}, as {MODEL_FILE} says")
        arrays = saved.tensors(WEIGHTS_FILE)
        layers = about.shape.layers
        if layers > len(arrays):  # said at once: building thousands of layers takes a while even without memory
            raise FolderError(saved.where(WEIGHTS_FILE), f"{len(arrays)} tensors for {layers} layers", "more")
        with torch.device("meta"):  # shapes without memory: what a damaged file claims is not allocated
            model = cls.build(about.shape)
        verify(arrays, model, saved.where(WEIGHTS_FILE))
        fill(model, arrays)
        model.to(device).eval().requires_grad_(False)
        return cls(source, about.written_by(target), model, about)


@contextmanager
def evaluating(members: Sequence[Task]) -> Iterator[None]:
    """No dropout and no gradients inside; each model goes back to what it was doing."""
    training = [member.model.training for member in members]
    for member in members:
        member.model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for member, mode in zip(members, training, strict=True):
            member.model.train(mode)
