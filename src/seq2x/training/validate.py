"""Validation: raw strings in, raw strings out, by the same code as `predict` and `evaluate`, and a line of judgement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from seq2x.data.store import Store
from seq2x.metrics import METRICS, evaluate_pairs
from seq2x.settings import Settings
from seq2x.tasks import Generate
from seq2x.training.feed import StoreFeed
from seq2x.training.judge import judge
from seq2x.training.loop import Interrupted
from seq2x.types import Example

__all__ = ["EXAMPLES", "Validation", "Validator"]

EXAMPLES = 5  # shown at each validation, always the same


@dataclass(frozen=True, slots=True)
class Validation:
    """What one validation found. `loss` is per target token, without smoothing or dropout."""

    metric: str
    value: float
    better: str
    loss: float
    outputs: tuple[str, ...]
    judgement: str

    def beats(self, best: float | None) -> bool:
        """Whether `value` is better than `best` (always, if there is none)."""
        return best is None or (self.value > best if self.better == "higher" else self.value < best)


class Validator:
    """Decodes `examples` with a task's present weights and scores them. `stop` says whether a signal came."""

    def __init__(
        self, task: Generate, settings: Settings, examples: Sequence[Example], store: Store, stop: Callable[[], int]
    ) -> None:
        self._task, self._examples, self._stop = task, examples, stop
        self._metric = settings.valid_metric
        self._settings = replace(settings, beam_size=settings.valid_beam_size, n_best=1, sample=False)
        plain = replace(settings, subword_dropout=0.0, batch_tokens=4096)
        self._feed = StoreFeed(store, plain, (task.source_codec, task.target_codec), task.device)

    @property
    def shown(self) -> list[Example]:
        """The examples that every validation shows: spread over the held-out data."""
        every = max(len(self._examples) // EXAMPLES, 1)
        return list(self._examples[::every][:EXAMPLES])

    def __call__(self, history: Sequence[Sequence[float]], step: int, train_loss: float) -> Validation:
        """Validate the weights of `step`. Raises `Interrupted` between two batches if a signal came."""
        loss = self._loss()
        name, value, better, outputs = "loss", loss, "lower", list[str]()
        if self._metric != "loss":
            outputs = self._decode([e.source for e in self._examples])
            metric = METRICS[self._metric]
            result = evaluate_pairs(metric(), outputs, [list(e.targets) for e in self._examples])
            name, value, better = result.metric, result.value, result.better
        else:
            outputs = self._decode([e.source for e in self.shown])
        judged = self._examples if self._metric != "loss" else self.shown
        line = judge(
            [e.source for e in judged],
            outputs,
            [e.targets for e in judged],
            [*history, [step, train_loss, loss, value]],
        )
        every = max(len(outputs) // EXAMPLES, 1)
        return Validation(name, value, better, loss, tuple(outputs[::every][:EXAMPLES]), line)

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
                    total -= model.log_prob(self._feed.batch(rows, 0)).total.double().sum()
                    count += self._feed.tokens(rows)
        finally:
            model.train(mode)
        return float(total) / max(count, 1)
