"""Validation: raw strings in, raw strings out, by the code of `predict` and `evaluate`, and a line of judgement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from seq2x.data.store import Store
from seq2x.evaluate import judge as measure
from seq2x.settings import Settings
from seq2x.tasks import Task
from seq2x.training.feed import StoreFeed
from seq2x.training.judge import judge
from seq2x.training.loop import Interrupted
from seq2x.types import Example

__all__ = ["EXAMPLES", "Validation", "Validator"]

EXAMPLES = 5  # shown at each validation, always the same


@dataclass(frozen=True, slots=True)
class Validation:
    """What one validation found. `loss` is per target token, without smoothing or dropout; `judged` outputs were
    looked at for the `judgement` (fewer than `seq2x.training.judge.FEW` say nothing of shares). `alone`: of texts
    without a source.
    """

    metric: str
    value: float
    better: str
    loss: float
    outputs: tuple[str, ...]
    judgement: str
    judged: int
    alone: bool = False

    def beats(self, best: float | None, best_loss: float) -> bool:
        """Whether this is better than `best` (always, if there is none); of equal values the lower loss wins.

        Without the loss, a metric that stays at its worst for a while (exact match does) would stop a run that learns.
        """
        if best is None or self.value == best:
            return best is None or self.loss < best_loss
        return self.value > best if self.better == "higher" else self.value < best


class Validator:
    """Decodes `examples` with a task's present weights and scores them. `stop` says whether a signal came.

    `shown` are the few examples that every validation shows.
    """

    def __init__(
        self, task: Task, settings: Settings, examples: Sequence[Example], store: Store, stop: Callable[[], int]
    ) -> None:
        self._task, self._examples, self._stop = task, examples, stop
        self._metric = settings.valid_metric
        self._likelihood = settings.objective == "likelihood"  # rewards may well rise while the likelihood falls
        self._settings = replace(
            settings, beam_size=settings.valid_beam_size, n_best=1, sample=False, mbr=None, diversity_groups=1
        )
        plain = replace(settings, subword_dropout=0.0, batch_tokens=4096)
        self._rows = _spread(examples)
        self.shown = [examples[row] for row in self._rows]
        if not task.about.shape.source:  # a language model is shown how a text begins, if that is where it begins
            begins = _beginning if task.about.direction == "left_to_right" else lambda text: ""
            self.shown = [replace(example, source=begins(example.targets[0])) for example in self.shown]
        self._feed = StoreFeed(store, plain, task.codecs, task.device, task.arrange, task.ENDS)

    def __call__(self, history: Sequence[Sequence[float]], step: int, train_loss: float) -> Validation:
        """Validate the weights of `step`. Raises `Interrupted` between two batches if a signal came."""
        loss = self._loss()
        name, value, better, outputs = "loss", loss, "lower", list[str]()
        if self._metric != "loss":
            outputs = self._decode([e.source for e in self._examples])
            references = [list(e.targets) for e in self._examples]
            result = measure(outputs, references, [self._metric])[self._metric]
            name, value, better = result.metric, result.value, result.better
        else:
            outputs = self._decode([e.source for e in self.shown])
        judged = self._examples if self._metric != "loss" else self.shown
        line = judge(
            [e.source for e in judged],
            outputs,
            [e.targets for e in judged],
            [*history, [step, train_loss, loss, value]] if self._likelihood else (),
        )
        shown = outputs if self._metric == "loss" else [outputs[row] for row in self._rows]
        alone = not self._task.about.shape.source
        return Validation(name, value, better, loss, tuple(shown), line, len(judged), alone)

    def _decode(self, sources: Sequence[str]) -> list[str]:
        """In portions, so that a signal is noticed soon; sorted by length, so that little is padding."""
        order = sorted(range(len(sources)), key=lambda row: -len(sources[row]))
        outputs = [""] * len(sources)
        size = self._settings.batch_size
        for begin in range(0, len(order), size):
            if self._stop():
                raise Interrupted
            rows = order[begin : begin + size]
            found = self._task.predict([sources[row] for row in rows], self._settings)
            for row, prediction in zip(rows, found, strict=True):
                outputs[row] = prediction.value
        return outputs

    def _loss(self) -> float:
        """Negative log-likelihood per target token."""
        model = self._task.model
        mode = model.training
        model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self._task.device)
        count = 0
        try:
            with torch.no_grad():
                for rows in self._feed.epoch(0):
                    if self._stop():
                        raise Interrupted
                    total -= self._task.log_prob(self._feed.batch(rows, 0)).total.double().sum()
                    count += self._feed.tokens(rows)
        finally:
            model.train(mode)
        return float(total) / max(count, 1)


def _spread(examples: Sequence[Example]) -> list[int]:
    """Rows of a few different sources, spread over all."""
    first = {e.source or e.targets[0]: row for row, e in reversed(list(enumerate(examples)))}
    rows = sorted(first.values())
    every = max(len(rows) // EXAMPLES, 1)
    return rows[::every][:EXAMPLES]


def _beginning(text: str) -> str:
    """The first third of a text, of whole words where there are blanks."""
    head = text[: max(len(text) // 3, 1)]
    return head.rpartition(" ")[0] or head
