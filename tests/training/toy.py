"""A training that fits into milliseconds: a small model over random pairs, no files, no text."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from seq2x.nn.norms import BatchNorm
from seq2x.settings import Settings
from seq2x.training.average import Averages
from seq2x.training.distributed import World
from seq2x.training.log import Log
from seq2x.training.loop import Training
from seq2x.training.micro import Micro
from seq2x.training.optim import adamw
from seq2x.training.signals import Signals
from seq2x.training.state import Progress, Tally
from seq2x.types import Batch, Loss, Padded

SYMBOLS, LENGTH, PAIRS = 11, 5, 24


class Model(nn.Module):
    """Position-wise: an embedding, dropout, a layer; enough to have matrices, vectors and random draws."""

    def __init__(self, dropout=0.1, batch_norm=False):
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(SYMBOLS, 8)
        self.hidden = nn.Linear(8, 8)
        self.norm = BatchNorm(8) if batch_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(8, SYMBOLS)

    def forward(self, source):
        hidden = torch.tanh(self.hidden(self.dropout(self.embedding(source))))
        return self.output(self.norm(hidden.flatten(0, 1)).view_as(hidden))


def objective(model, batch):
    logits = model(batch.source.values)
    weights = (torch.arange(LENGTH) < batch.target.lengths[:, None]).to(logits.dtype)
    losses = functional.cross_entropy(logits.flatten(0, 1), batch.target.values.flatten(), reduction="none")
    return Loss((losses * weights.flatten()).sum(), weights.sum())


class Feed:
    """Random rectangles with unequal target lengths; the order of an epoch is a function of its number."""

    def __init__(self, per_update=8):
        rng = np.random.default_rng(0)
        self.source = torch.from_numpy(rng.integers(3, SYMBOLS, (PAIRS, LENGTH)))
        self.target = torch.from_numpy(rng.integers(3, SYMBOLS, (PAIRS, LENGTH)))
        self.lengths = torch.from_numpy(rng.integers(1, LENGTH + 1, PAIRS))
        self.per_update = per_update

    def epoch(self, number):
        order = np.random.default_rng([7, number]).permutation(PAIRS)
        return [order[i : i + self.per_update] for i in range(0, PAIRS, self.per_update)]

    def split(self, rows, parts):
        return np.array_split(rows, parts)

    def batch(self, rows, seed):
        index = torch.from_numpy(rows)
        lengths = torch.full((len(rows),), LENGTH)
        return Batch(Padded(self.source[index], lengths), Padded(self.target[index], self.lengths[index]), index)

    def tokens(self, rows):
        return int(self.lengths[torch.from_numpy(rows)].sum())


def settings(**changes):
    values = {"seed": 3, "max_steps": 12, "valid_steps": 4, "learning_rate": 0.01, "warmup_steps": 3}
    return Settings(**(values | {"early_stopping": 0, "save_seconds": 1e6} | changes))


def training(settings, *, model=None, feed=None, objective=objective, world=None, validate=None, save=None, log=None):
    torch.manual_seed(settings.seed)
    model = model or Model()
    micro = Micro(
        model=model,
        objective=objective,
        feed=feed or Feed(),
        precision="bf16" if settings.precision == "bf16" else "fp32",
        world=world or World(),
        seed=settings.seed,
        accum_count=settings.accum_count,
        say=lambda text: None,
    )
    return Training(
        settings=settings,
        micro=micro,
        optimizer=adamw(model, settings.adam_beta1, settings.adam_beta2, settings.weight_decay),
        averages=Averages(model, settings.ema, settings.average_last),
        tally=Tally(torch.device("cpu")),
        progress=Progress(),
        log=log or Log(quiet=True),
        signals=Signals("run"),
        validate=validate or (lambda t: None),
        save=save or (lambda t: None),
    )
