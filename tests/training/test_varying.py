"""Objectives that vary with the update: however it is split among micro-batches, its gradient is the same."""

import numpy as np
import pytest
import torch
from tests.contracts.cases import model_of
from tests.training.families import Feed
from tests.training.toy import settings, training

from seq2x.models import ModelShape
from seq2x.nn.sampled_softmax import Proposal
from seq2x.objectives import Attended, Likelihood, Rewarded, ScheduledSampling
from seq2x.training.micro import gradients


def shortness(rows, outputs):
    return np.array([[1.0 / len(output) for output in some] for some in outputs])


SAMPLED = Likelihood(0.0, proposal=Proposal("log_uniform", np.arange(11), 4))
OBJECTIVES = {
    "sampled": SAMPLED,
    "attended": Attended(SAMPLED, 0.5),
    "steps": ScheduledSampling(Likelihood(0.1), "linear", 0.6, 1, step_by_step=True, draws=True),
    "two passes": ScheduledSampling(SAMPLED, "exponential", 1.0, 3, step_by_step=False),
    "reinforce": Rewarded("reinforce", shortness, SAMPLED, 0.5, 3),
    "self_critical": Rewarded("self_critical", shortness, Likelihood(0.1), 0.0, 2),
    "minimum_risk": Rewarded(
        "minimum_risk", shortness, ScheduledSampling(SAMPLED, "linear", 1.0, 1, step_by_step=True), 0.5, 3, 0.5
    ),
}


def shape(kind):
    return ModelShape(kind=kind, source_size=11, target_size=11, encoder_layers=1, decoder_layers=1, width=8,
                      embedding_width=8, heads=2, feedforward=12, dropout=0.0)  # fmt: skip


def found(objective, kind, accum_count, step):
    """(loss, count, the gradient) of update `step`."""
    made = shape(kind)
    t = training(settings(accum_count=accum_count), model=model_of(made).train(), feed=Feed(made), objective=objective)
    sums = gradients(t.micro, t.micro.feed.epoch(0)[0], step)
    return torch.cat([torch.stack(sums), *(w.grad.flatten() for w in t.micro.model.parameters())])


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_change_nothing_and_the_next_update_is_another(name, kind):
    whole, split = (found(OBJECTIVES[name], kind, count, 2) for count in (1, 3))
    torch.testing.assert_close(split, whole, rtol=1e-11, atol=1e-11)
    assert not torch.equal(found(OBJECTIVES[name], kind, 1, 3), whole)
