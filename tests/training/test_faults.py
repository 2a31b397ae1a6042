"""R8 and R12 on whole runs: whatever number goes bad in memory, whatever byte on the disk, it is found or does no harm.

A fault in memory is a value that is not finite, in the loss, a gradient, a weight or a moment of the optimiser. A
fault on the disk is one changed byte, or a file cut short, of the training state or what stands beside it.
"""

import random
import shutil

import numpy as np
import pytest
from tests.training.runs import content, go, pairs
from tests.training.test_resume import snapshots

from seq2x.errors import DivergedError, FolderError
from seq2x.run import load
from seq2x.training import loop
from seq2x.training.log import read_metrics

OFTEN, SELDOM = {"save_seconds": 1e-9}, {"save_seconds": 1e6}
MANY = pytest.param(200, marks=pytest.mark.slow)

# ------------------------------------------------------------------ in memory


def spoil(tensor, bad, draw):
    """One value of `tensor` goes bad."""
    tensor.detach().view(-1)[draw.randrange(tensor.numel())] = bad


def strike(monkeypatch, place, step, bad, draw):
    """The update `step` of the next training meets `bad` in its loss or a gradient, or leaves it behind."""
    plain_gradients, plain_update = loop.gradients, loop.update

    def gradients(micro, rows, number):
        loss, count = plain_gradients(micro, rows, number)
        if number == step and place == "loss":
            loss = loss * bad
        if number == step and place == "gradient":
            spoil(draw.choice(list(micro.model.parameters())).grad, bad, draw)
        return loss, count

    def update(t, rows):
        plain_update(t, rows)
        if t.progress.step == step and place in ("weight", "moment"):
            weight = draw.choice(list(t.micro.model.parameters()))
            moments = t.optimizer.state[weight]
            spoil(weight if place == "weight" else moments[draw.choice(["exp_avg", "exp_avg_sq"])], bad, draw)

    monkeypatch.setattr(loop, "gradients", gradients)
    monkeypatch.setattr(loop, "update", update)


def all_finite(folder):
    """Whether every number that was saved is one."""
    saved = load(folder)
    names = [name for name in saved.contents if name.endswith(".safetensors")]
    return names and all(np.isfinite(array).all() for name in names for array in saved.tensors(name).values())


@pytest.mark.parametrize("number", [4, MANY])
def test_a_bad_value_is_found_before_it_is_saved(tmp_path, monkeypatch, fast_disk, number):
    """In the loss or a gradient it costs that update; else the run ends with code 6 and goes on from its last save."""
    path, draw = pairs(tmp_path), random.Random(12)
    starts = {}
    for name, changes, at in (("often", OFTEN, 3), ("seldom", SELDOM, 6)):
        expected = snapshots(monkeypatch, path, tmp_path / name, changes, (at,))
        starts[name] = (tmp_path / f"{name}-{at}", changes, at, expected)
    for turn in range(number):
        place = ("loss", "gradient", "weight", "moment")[turn % 4]
        start, changes, at, expected = starts[draw.choice(["often", "seldom"])]
        run, step = shutil.copytree(start, tmp_path / f"turn-{turn}"), draw.randint(at + 1, 11)
        case = (turn, place, step, bad := draw.choice([float("nan"), float("inf"), -float("inf")]), changes)
        with monkeypatch.context() as patch:
            strike(patch, place, step, bad, draw)
            if place in ("loss", "gradient"):
                go(path, run, **changes)
                assert sum(record.get("cancelled", 0) for record in read_metrics(run)) == 1, case
            else:
                with pytest.raises(DivergedError) as caught:
                    go(path, run, **changes)
                assert caught.value.exit_code == 6, case
                assert load(run / "last").step == (step - 1 if changes is OFTEN else at), case
        assert all(all_finite(run / part) for part in ("last", "best") if (run / part).exists()), case
        go(path, run, **changes)
        assert place in ("loss", "gradient") or content(run) == expected, case
        shutil.rmtree(run)


@pytest.mark.parametrize("place", ["weight", "moment"])
@pytest.mark.parametrize("step", [4, 5])
def test_what_is_validated_first_is_not_called_the_best_whatever_it_is(tmp_path, monkeypatch, fast_disk, place, step):
    """With a value that is not finite in it, fewer than three updates before the first validation."""
    strike(monkeypatch, place, step, float("nan"), random.Random(step))
    with pytest.raises(DivergedError):
        go(pairs(tmp_path), tmp_path / "run", **SELDOM)
    assert load(tmp_path / "run" / "last").step == 0
    assert not (tmp_path / "run" / "best").exists() or all_finite(tmp_path / "run" / "best")


# ------------------------------------------------------------------ on the disk


def victims(run, draw):
    """A file to damage: half of the time one that holds the optimiser's state."""
    state = sorted((run / "last").glob("training-*.safetensors"))
    others = sorted(
        path
        for part in ("last", "best", "data", "splits")
        for path in (run / part).rglob("*")
        if path.is_file() and path.stat().st_size and path not in state
    )
    assert len(state) == 2 and len(others) > 20  # two generations
    return draw.choice(draw.choice([state, others]))


def damage(path, draw):
    """One byte is another, or the end is gone."""
    data = bytearray(path.read_bytes())
    if draw.random() < 0.3:
        del data[draw.randrange(len(data)) :]
    else:
        data[draw.randrange(len(data))] ^= draw.randint(1, 255)
    path.write_bytes(data)


@pytest.mark.parametrize("number", [4, MANY])
def test_a_fault_on_the_disk_is_found_or_harmless(tmp_path, monkeypatch, fast_disk, number):
    """The resumed run is refused with code 4, or ends with the very bits of one that was never damaged."""
    path, draw = pairs(tmp_path), random.Random(7)
    expected = snapshots(monkeypatch, path, tmp_path / "run", OFTEN, (7,))
    refused = 0
    for turn in range(number):
        run = shutil.copytree(tmp_path / "run-7", tmp_path / f"turn-{turn}")
        victim = victims(run, draw)
        damage(victim, draw)
        try:
            go(path, run, **OFTEN)
        except FolderError as error:
            assert error.exit_code == 4
            refused += 1
        else:
            found, case = content_or_damage(run), (turn, victim.relative_to(run))
            assert found["last"] == expected["last"] and found["metrics"] == expected["metrics"], case
            assert found["best"] in (expected["best"], "refused"), case
        shutil.rmtree(run)
    assert refused <= number / 4  # most of what is there is there twice, or can be made again


def content_or_damage(run):
    """`content`, but "refused" for a best/ that `load` refuses."""
    try:
        load(run / "best")
    except FolderError:
        shutil.rmtree(run / "best")
    return {"best": "refused"} | content(run)
