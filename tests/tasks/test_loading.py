"""Loading a run costs what reading it costs: nothing is drawn, and torch's compiler stays out."""

import subprocess
import sys

import pytest
import torch

from seq2x import load
from seq2x.models import build
from seq2x.run import commit

from .conftest import LINES, make_task

SHAPES = {
    "learned": {"positions": "learned", "tied": "none"},
    "sinusoidal": {"tied": "all", "norm": "batch"},
    "rotary": {"positions": "rotary"},
    "gru": {"kind": "gru"},
    "lstm": {"kind": "lstm", "attention": "dot"},
    "rnn": {"kind": "rnn", "context": "mean"},
}
_CODE = """
import sys, seq2x
for folder in sys.argv[1:]:
    assert isinstance(seq2x.load(folder, "cpu")("the cat", max_length=5), str)
sys.exit(f"imported: {found}" if (found := {"torch._dynamo", "sympy"} & set(sys.modules)) else 0)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """name -> (the folder, the task that was stored there)"""
    found = {}
    for name, shape in SHAPES.items():
        task = make_task(**shape)
        found[name] = (tmp_path_factory.mktemp(name) / "run", task)
        commit(found[name][0], 1, task.to_files(), {})
    return found


def test_torchs_compiler_stays_out(folders):
    line = [sys.executable, "-c", _CODE, *(str(folder) for folder, _ in folders.values())]
    assert subprocess.run(line, check=False, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_what_was_stored_and_nothing_was_drawn(folders, name):
    folder, task = folders[name]
    before = torch.get_rng_state()
    loaded = load(folder, "cpu").task
    assert torch.equal(torch.get_rng_state(), before)
    stored, own = task.model.state_dict(), loaded.model.state_dict()
    assert own.keys() == stored.keys() and all(torch.equal(own[key], stored[key]) for key in stored)
    assert not any(weight.is_meta or weight.requires_grad for weight in loaded.model.parameters())
    for model in (task.model, loaded.model):  # tables that no file holds are there, too
        assert all(not table.is_meta for table in model.buffers())
    scored = [one.score(LINES, LINES)[0].log_p for one in (task, loaded)]
    assert scored[0] == scored[1]


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_seed_draws_the_same_weights(folders, name):
    shape = folders[name][1].about.shape
    drawn = []
    for _ in range(2):
        torch.manual_seed(7)
        drawn.append(build(shape).state_dict())
    assert all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])
    assert sum(float(weight.std()) > 0 for weight in drawn[0].values() if weight.ndim > 1) >= 5
