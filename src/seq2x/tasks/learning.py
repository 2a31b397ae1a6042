"""What a run learns: its codecs, and what it minimises, from its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2x.codecs.backwards import Backwards
from seq2x.codecs.text import TextCodec
from seq2x.data.store import Store
from seq2x.nn.sampled_softmax import Proposal
from seq2x.objectives import Attended, Likelihood, Rewarded, ScheduledSampling, Watch
from seq2x.settings import Settings
from seq2x.tasks.reward import TextReward
from seq2x.types import Example, Objective

__all__ = ["learned", "objective", "symbol_counts", "written"]

_RECURRENT = ("gru", "lstm", "rnn")
_LEARN = 1_000_000  # lines that a codec is learned on at most; more change nothing but the time
_PORTION = 1 << 22  # symbols counted at a time: a store may be larger than memory


def learned(examples: Callable[[], Iterator[Example]], settings: Settings) -> tuple[TextCodec, TextCodec]:
    """Codecs of all sources and of all targets; or of both together, where there is to be one vocabulary, or no source.
    They are learned on the training side only: what is held out must stay unknown.
    """

    def learn(lines: Iterable[str], units: Any) -> TextCodec:
        return TextCodec.learn(
            islice(lines, _LEARN), units, settings.vocab_size, settings.normalise, settings.lower, settings.unknown
        )

    def targets() -> Iterator[str]:
        return (target for e in examples() for target in e.targets)

    if settings.task == "lm":
        source = target = learn(targets(), settings.target_units)
    elif settings.joint_vocab:
        both = (text for e in examples() for text in (e.source, *e.targets))
        source = target = learn(both, settings.source_units)
    else:
        source = learn((e.source for e in examples()), settings.source_units)
        target = learn(targets(), settings.target_units)
    return source, written(target, settings)


def written(codec: TextCodec, settings: Settings) -> TextCodec:
    """A codec of targets as they are to be written: itself, or turned round."""
    return Backwards(codec.vocabulary) if settings.direction == "right_to_left" else codec


def objective(settings: Settings, codec: TextCodec, store: Store, say: Callable[[str], None]) -> Objective:
    """What training on `store` minimises; `codec` is that of the targets. `say` is told what goes wrong on the way.

    From the inside out: the likelihood of the targets (over all symbols, or a few drawn ones), what attention is to
    learn, inputs of the model's own, rewards of whole outputs. What is off is not there.
    """
    found: Objective = _attended(settings, _likelihood(settings, codec, store))
    if settings.scheduled_sampling != "none":
        found = ScheduledSampling(
            found,
            settings.scheduled_sampling,
            settings.scheduled_rate,
            settings.scheduled_steps or settings.max_steps or 1,
            step_by_step=settings.model in _RECURRENT,
            draws=settings.scheduled_feed == "sample",
        )
    if settings.objective == "likelihood":
        return found
    learned = settings.positions == "learned" and settings.model not in _RECURRENT
    return Rewarded(
        settings.objective,
        TextReward(settings.reward, codec, store),
        found,
        weight=settings.likelihood_weight,
        samples=settings.reward_samples,
        alpha=settings.risk_alpha,
        most=settings.max_target_length + 1 if learned else None,
        watch=Watch(say),
    )


def _likelihood(settings: Settings, codec: TextCodec, store: Store) -> Likelihood:
    if not 0 < settings.sampled_softmax < codec.size:
        return Likelihood(settings.label_smoothing, settings.loss_per)
    counts = symbol_counts(store, codec.size)
    proposal = Proposal(settings.sampled_softmax_proposal, counts, settings.sampled_softmax)
    return Likelihood(0.0, settings.loss_per, proposal)


def _attended(settings: Settings, likelihood: Likelihood) -> Likelihood | Attended:
    attends = settings.model not in _RECURRENT or settings.context == "attention" or settings.copy == "pointer"
    wanted = settings.coverage_loss, settings.guided_attention, settings.alignment_loss
    return Attended(likelihood, *wanted) if attends and any(wanted) else likelihood


def symbol_counts(store: Store, size: int) -> npt.NDArray[np.int64]:
    """How often each of `size` symbols stands in the targets, `[V]`."""
    counts = np.zeros(size, np.int64)
    for low in range(0, len(store.target_ids), _PORTION):
        counts += np.bincount(store.target_ids[low : low + _PORTION], minlength=size)
    return counts
