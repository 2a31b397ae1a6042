"""One update: its sums, what cancels it, what splits it; and the loop around it."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from tests.training.toy import Feed, Model, objective, settings, training

from seq2x.errors import DivergedError, OutOfMemory
from seq2x.training.diagnosis import first_bad_layer
from seq2x.training.log import Log, read_metrics
from seq2x.training.loop import run, update
from seq2x.training.micro import gradients, seed_of
from seq2x.training.state import state_tensors
from seq2x.types import Loss


def digest(t):
    tensors = state_tensors(t.micro.model, t.optimizer, t.averages, t.tally) | dict(t.micro.model.state_dict())
    tensors.pop("tally")
    return hashlib.sha256(b"".join(tensors[n].numpy().tobytes() for n in sorted(tensors))).hexdigest()


def double(**changes):
    return training(settings(**changes), model=Model(dropout=0.0).double())


def weights(t):
    return torch.cat([p.detach().flatten() for p in t.micro.model.parameters()])


def test_accumulated_micro_batches_are_one_batch():
    whole, parts = double(), double(accum_count=3)
    for t in (whole, parts):
        run(t)
    assert torch.allclose(weights(whole), weights(parts), rtol=1e-12, atol=1e-12)
    assert not torch.equal(weights(whole), weights(double()))


def test_more_micro_batches_than_rows():
    t = training(settings(accum_count=20), model=Model(dropout=0.0).double())
    run(t)
    whole = double()
    run(whole)
    assert torch.allclose(weights(whole), weights(t), rtol=1e-12, atol=1e-12)


def test_loss_is_divided_once_by_the_summed_count():
    t = double(max_grad_norm=0.0)
    rows = np.arange(8)
    loss, count = gradients(t.micro, rows, 1)
    batch = t.micro.feed.batch(rows, 0)
    expected = objective(t.micro.model, batch)
    assert loss == pytest.approx(float(expected.total.detach()), rel=1e-12)
    assert count == float(batch.target.lengths.sum())


def test_clipping_bounds_the_norm():
    t = double(max_grad_norm=1e-3, weight_decay=0.0)
    rows = np.arange(8)
    update(t, rows)
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in t.micro.model.parameters()]))
    assert norm == pytest.approx(1e-3, rel=1e-6)
    assert t.tally.read()["norm"] > 1e-2  # the norm before clipping is what is logged


def test_seeds_differ_in_every_argument():
    seeds = {seed_of(*key) for key in itertools.product(range(5), range(9), range(4), ["dropout", "segment"])}
    assert len(seeds) == 5 * 9 * 4 * 2
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_update_depends_on_seed_and_step_alone():
    a, b = training(settings()), training(settings())
    torch.manual_seed(999)
    torch.rand(17)
    run(a)
    torch.rand(5)
    run(b)
    assert digest(a) == digest(b)
    c = training(settings(seed=4), model=Model())
    c.micro.model.load_state_dict(training(settings()).micro.model.state_dict())
    run(c)
    assert digest(c) != digest(a)


# ------------------------------------------------------------------ R12: nothing that is not finite


def poisoned(at, place, bad):
    """A training whose micro-batches at the steps `at` meet `bad` at `place`."""
    t = training(settings(max_steps=30, valid_steps=30, accum_count=2, ema=0.9), model=Model(batch_norm=True))

    def spoil(gradient):
        return gradient * bad if t.progress.step + 1 in at else gradient

    def hook(module, inputs, output):
        return output * bad if t.progress.step + 1 in at else output

    def bad_objective(model, batch):
        loss = objective(model, batch)
        if place == "loss" and t.progress.step + 1 in at:
            loss.total = loss.total * bad
        return loss

    if place == "gradient":
        t.micro.model.hidden.weight.register_hook(spoil)
    if place == "activation":
        t.micro.model.hidden.register_forward_hook(hook)
    object.__setattr__(t.micro, "objective", bad_objective)
    return t


@pytest.mark.parametrize("place", ["loss", "activation", "gradient"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_no_update_with_a_value_that_is_not_finite(place, bad):
    steps = [int(s) for s in np.random.default_rng(5).choice(np.arange(1, 26), 9, replace=False)]
    t = poisoned({s for s in steps if s % 3}, place, bad)  # never three in a row
    rows = itertools.cycle(t.micro.feed.epoch(0))
    for step in range(1, 27):
        before = digest(t)
        update(t, next(rows))
        assert (digest(t) == before) == (step in {s for s in steps if s % 3}), step
        assert all(torch.isfinite(x).all() for x in t.micro.model.state_dict().values())
    assert t.tally.read()["cancelled"] == len([s for s in steps if s % 3])


@pytest.mark.parametrize("place", ["loss", "activation", "gradient"])
def test_three_in_a_row_end_the_run_and_name_the_place(place):
    t = poisoned({7, 8, 9}, place, float("nan"))
    with pytest.raises(DivergedError, match="3 updates in a row") as caught:
        run(t)
    assert caught.value.exit_code == 6
    assert "step 9" in str(caught.value)
    assert all(torch.isfinite(x).all() for x in t.micro.model.state_dict().values())


@pytest.mark.parametrize("steps", [7, 9, 10])
def test_none_but_bad_updates_do_not_pass_for_a_training(steps):
    """Also where the end comes before a log line is due: nothing is validated, let alone called the best."""
    seen = []
    t = training(settings(max_steps=steps, valid_steps=1000), objective=lambda *both: _times(objective(*both), "nan"))
    t.validate = seen.append
    with pytest.raises(DivergedError, match=f"{steps} updates in a row"):
        run(t)
    assert not seen and t.progress.validated < 0


def test_what_happened_since_the_last_log_line_is_written_before_a_validation(tmp_path):
    log = Log(tmp_path, quiet=True)
    run(training(settings(max_steps=25, valid_steps=25), log=log))
    steps = [record["step"] for record in read_metrics(tmp_path)]
    assert steps == [*range(2, 25, 2), 25]


def test_a_cancelled_update_is_named_with_its_rows_and_layer(tmp_path):
    """Also where it was made in the epoch before, whose rows are others: an epoch has three updates."""
    log = Log(tmp_path, quiet=True)
    t = training(settings(max_steps=10, valid_steps=100), model=Model(batch_norm=True), log=log)

    def spoil(module, inputs, output):
        return output * float("nan") if t.progress.step + 1 == 6 or t.progress.step == 10 else output

    t.micro.model.hidden.register_forward_hook(spoil)
    run(t)
    record = read_metrics(tmp_path)[-1]
    assert record["step"] == 10 and record["cancelled"] == 1
    assert record["bad_step"] == 6 and record["bad_layer"] == "hidden"
    assert record["bad_rows"] == t.micro.feed.epoch(1)[2].tolist() != t.micro.feed.epoch(0)[0].tolist()


def test_looking_for_the_bad_layer_changes_nothing():
    t = training(settings(max_steps=4), model=Model(batch_norm=True))
    run(t)
    before = digest(t)
    assert first_bad_layer(t.micro, np.arange(8), 3) == "a gradient"
    assert digest(t) == before


def _times(loss, factor):
    return Loss(loss.total * float(factor), loss.count)


def test_two_in_a_row_do_not():
    t = poisoned({7, 8, 10, 11}, "loss", float("nan"))
    assert "steps done" in run(t)
    assert t.optimizer.state[t.micro.model.hidden.weight]["step"] == 26


def test_the_first_bad_layer_is_named():
    t = training(settings(max_steps=30, valid_steps=30))
    t.micro.model.hidden.register_forward_hook(lambda m, i, o: o * float("nan"))
    with pytest.raises(DivergedError, match="first bad: hidden"):
        run(t)


# ------------------------------------------------------------------ R15: out of memory


class Scarce:
    """An objective for which more than `limit` rows at once do not fit; sometimes it notices in the middle."""

    def __init__(self, limit, error):
        self.limit, self.error, self.failures = limit, error, 0

    def __call__(self, model, batch):
        if len(batch.rows) > self.limit:
            self.failures += 1
            if self.failures % 2:
                objective(model, batch).total.backward()  # half-made gradients must not survive
            raise self.error
        return objective(model, batch)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("limit", [1, 2, 4, 7])
@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "python"])
def test_out_of_memory_splits_and_changes_nothing(limit, error):
    scarce = Scarce(limit, error)
    whole = double()
    split = training(settings(), model=Model(dropout=0.0).double(), objective=scarce)
    run(whole)
    run(split)
    assert scarce.failures
    assert torch.allclose(weights(whole), weights(split), rtol=1e-12, atol=1e-12)


def test_out_of_memory_gives_up_and_names_what_fits():
    t = training(settings(batch_tokens=100), feed=Feed(per_update=24), objective=Scarce(1, MemoryError()))
    before = digest(t)
    with pytest.raises(OutOfMemory, match=r"--batch-tokens \d fits") as caught:
        run(t)
    assert caught.value.exit_code == 7
    assert digest(t) == before


def test_out_of_memory_for_one_example_says_so():
    t = training(settings(), objective=Scarce(0, MemoryError()))
    with pytest.raises(OutOfMemory, match="one example alone"):
        run(t)


def test_other_errors_pass():
    t = training(settings(), objective=Scarce(0, RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        run(t)


# ------------------------------------------------------------------ the loop around it


def test_validations_and_saves_come_when_due():
    validated, saved = [], []
    t = training(
        settings(max_steps=10, valid_steps=4),
        validate=lambda t: validated.append(t.progress.step),
        save=lambda t: saved.append((t.progress.step, t.progress.validated)),
    )
    assert run(t) == "all 10 steps done"
    assert validated == [4, 8, 10]
    assert saved == [(4, 4), (8, 8), (10, 10)]
    assert run(t) == "all 10 steps done"
    assert validated == [4, 8, 10]


def test_early_stopping():
    def worse(t):
        t.progress.stale += 1

    t = training(settings(max_steps=1000, valid_steps=2, early_stopping=3), validate=worse)
    assert run(t) == "no better result in 3 validations"
    assert t.progress.step == 6


def test_saves_come_by_the_clock():
    saved = []
    t = training(settings(save_seconds=1e-9), save=lambda t: saved.append(t.progress.step))
    run(t)
    assert sorted(set(saved)) == list(range(1, 13))
