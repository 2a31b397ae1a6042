"""The gradient of one update, of every kind of model, in fp64 and without dropout, for whatever ranks there are."""

import numpy as np
import torch
from tests.contracts.cases import batch_of, model_of, rows_of
from tests.contracts.shapes import name_of, sample
from tests.training.toy import settings, training

from seq2x.objectives import Likelihood
from seq2x.training.micro import gradients

SOURCES, TARGETS = (5, 1, 7, 3, 6, 2, 4, 7, 3, 5, 1, 2), (4, 6, 1, 3, 2, 5, 7, 1, 6, 4, 3, 2)


class Feed:
    """Twelve pairs, in exact rectangles."""

    def __init__(self, shape):
        self.whole = batch_of(shape, SOURCES, TARGETS)

    def epoch(self, number):
        return [np.arange(len(SOURCES))]

    def split(self, rows, parts):
        return np.array_split(rows, parts)

    def batch(self, rows, seed):
        return rows_of(self.whole, rows.tolist())

    def tokens(self, rows):
        return sum(TARGETS[row] for row in rows)


def summed(world, micro_batches):
    """By the name of each shape: loss, count, and the gradient by all weights, summed over micro-batches and ranks.

    Every pair of options of every kind; not batch norm, which measures the micro-batch it is given, nor masks, which
    are drawn for each. Updated weights say less: a gradient that is zero but for rounding (of a bias of keys, say) is
    normalised by AdamW.
    """
    found = {}
    for shape in sample():
        if shape.norm == "batch" or shape.decoder == "mask_predict":
            continue
        t = training(
            settings(accum_count=micro_batches // world.size),
            model=model_of(shape).train(),
            feed=Feed(shape),
            objective=Likelihood(0.1),
            world=world,
        )
        sums = gradients(t.micro, t.micro.feed.epoch(0)[0], 1)
        weights = [weight.grad.flatten() for weight in t.micro.model.parameters()]
        found[name_of(shape)] = torch.cat([torch.stack(sums), *weights]).numpy()
    return found
