"""What objectives have in common: how they go with the updates, and how they ask a model as it is in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from seq2x.types import Objective, Varying

__all__ = ["Switching", "at", "in_use"]


def at(objective: Any, step: int, seed: int) -> Objective:
    """What update `step` minimises: see `seq2x.types.Varying`. An objective that does not vary is itself."""
    found: Objective = objective.at(step, seed) if isinstance(objective, Varying) else objective
    return found


class Switching(Protocol):
    """What an `nn.Module` knows of training and use."""

    training: bool

    def train(self, mode: bool = True) -> object: ...


@contextmanager
def in_use(model: Switching) -> Iterator[None]:
    """No dropout inside, and batch norm neither measures nor changes anything; the model then goes back to what it did.

    So no draw of the training is used up, and what is said is what the model would say to a user.
    """
    training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(training)
