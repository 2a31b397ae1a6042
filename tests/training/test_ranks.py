"""Two ranks compute what one does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from tests.training.runs import content, go, pairs
from tests.training.test_loop import double, weights

ROOT = Path(__file__).parents[2]

UPDATES = """
import numpy, sys, torch
from tests.training.toy import Model, settings, training
from seq2x.training.distributed import joined
from seq2x.training.loop import run
torch.set_num_threads(1)
with joined() as world:
    t = training(settings(accum_count=2), model=Model(dropout=0.0).double(), world=world)
    run(t)
    flat = torch.cat([p.detach().flatten() for p in t.micro.model.parameters()])
    numpy.save(f"{sys.argv[1]}/{world.rank}.npy", flat.numpy())
"""

WHOLE = "import sys; from tests.training.runs import *; go(Path(sys.argv[1]), Path(sys.argv[2]), accum_count=2)"


def two_ranks(program, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [sys.executable, "-c", program, *map(str, arguments)]
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    assert [process.wait(180) for process in running] == [0, 0]


def test_two_ranks_are_one(tmp_path):
    two_ranks(UPDATES, tmp_path)
    ranks = [torch.from_numpy(np.load(tmp_path / f"{rank}.npy", allow_pickle=False)) for rank in range(2)]
    alone = double(accum_count=4)
    from seq2x.training.loop import run

    run(alone)
    assert torch.equal(*ranks)
    assert torch.allclose(ranks[0], weights(alone), rtol=1e-12, atol=1e-12)


def test_two_ranks_train_a_whole_run(tmp_path):
    path = pairs(tmp_path)
    two_ranks(WHOLE, path, tmp_path / "two")
    go(path, tmp_path / "one", accum_count=4)
    two, one = content(tmp_path / "two"), content(tmp_path / "one")
    assert two["last"][0] == one["last"][0]
    assert [(r["kind"], r["step"]) for r in two["metrics"]] == [(r["kind"], r["step"]) for r in one["metrics"]]
    for a, b in zip(two["metrics"], one["metrics"], strict=True):
        assert abs(a["loss"] - b["loss"]) < 1e-4
