"""Writers that are killed and racers for one folder. A script of its own, so that it may fork: no threads here.

    survivor.py kill FOLDER KILLS        survivor.py race FOLDER RACES        survivor.py read FOLDER OPENS

Each prints one line of JSON.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from seq2x import run
from seq2x.errors import BusyError

STEPS = 60


def state_after(step, state):
    """A toy training: every bit of the state depends on all steps before."""
    return np.frombuffer(hashlib.sha256(state.tobytes() + b"%d" % step).digest() * 20, np.uint8).copy()


def train(folder, acknowledge):
    with run.Lock(folder):
        run.sweep(folder / "last")
        if (folder / "last" / "manifest.json").exists():
            saved = run.load(folder / "last", fallback=True)
            step, state = saved.step, saved.tensors("state.safetensors")["s"]
        else:
            step, state = 0, np.zeros(640, np.uint8)
        while step < STEPS:
            step, state = step + 1, state_after(step + 1, state)
            run.commit(folder / "last", step, {"state.safetensors": run.pack_tensors({"s": state})}, {}, 2)
            os.write(acknowledge, b"%d\n" % step)


def kill(folder, kills):
    """Kills writers at random times until `kills` have died; every finished run is compared with the plain one."""
    reference = np.zeros(640, np.uint8)
    for step in range(1, STEPS + 1):
        reference = state_after(step, reference)
    draw = random.Random(3)
    died = lost = wrong = finished = leftover = 0
    here = folder / "0"
    here.mkdir()
    while died < kills or finished == 0:
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            train(here, write_end)
            os._exit(0)
        os.close(write_end)
        if died < kills:
            time.sleep(draw.uniform(0, 0.04))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        died += os.WIFSIGNALED(status)
        with os.fdopen(read_end) as pipe:
            acknowledged = max([int(line) for line in pipe if line.endswith("\n")], default=0)
        with run.Lock(here):
            if (here / "last").exists():
                run.sweep(here / "last")
                leftover += sum(name.startswith(".tmp") for name in os.listdir(here / "last"))
        saved = run.load(here / "last") if (here / "last" / "manifest.json").exists() else None
        lost += (saved.step if saved else 0) < acknowledged
        if saved and saved.step == STEPS:
            finished += 1
            wrong += not np.array_equal(saved.tensors("state.safetensors")["s"], reference)
            # Killed between its last commit and the end of the tidying, a run keeps a third, whole generation; the
            # next save lets it go.
            run.commit(here / "last", STEPS + 1, {"state.safetensors": run.pack_tensors({"s": reference})}, {}, 2)
            leftover += len(os.listdir(here / "last")) - 5  # two generations and manifest.json
            here = folder / str(finished)
            here.mkdir()
    return {"died": died, "lost": lost, "wrong": wrong, "finished": finished, "leftover": leftover}


def race(folder, races):
    """Two to eight processes want one folder at once: one works, the others are told which."""
    draw = random.Random(4)
    winners, losers, misnamed, slowest = [], 0, 0, 0.0
    for _ in range(races):
        children = []
        gate_out, gate_in = os.pipe()
        told_out, told_in = os.pipe()
        for _ in range(draw.randint(2, 8)):
            child = os.fork()
            if child == 0:
                os.close(gate_in)
                os.read(gate_out, 1)
                begun = time.monotonic()
                try:
                    with run.Lock(folder):
                        os.write(told_in, b"won %d\n" % os.getpid())
                        time.sleep(60)
                except BusyError as error:
                    seconds = time.monotonic() - begun
                    os.write(told_in, f"lost {seconds:.3f} {error.exit_code} {error.found}\n".encode())
                os._exit(0)
            children.append(child)
        os.close(gate_out)
        os.close(gate_in)  # the gate opens for all at once
        with os.fdopen(told_out) as pipe:
            lines = [pipe.readline().split(maxsplit=1) for _ in children]
            won = [rest.strip() for word, rest in lines if word == "won"]
            winners.append(len(won))
            lost = [rest.split(maxsplit=1) for word, rest in lines if word == "lost"]
            losers += len(lost)
            slowest = max(slowest, *(float(seconds) for seconds, _ in lost))
            right = f"9 process {won[0]} on {os.uname().nodename} works here since "
            misnamed += sum(not said.startswith(right) for _, said in lost)
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            os.close(told_in)
    return {"one_winner": winners.count(1), "losers": losers, "misnamed": misnamed, "slowest": slowest}


def read(folder, opens):
    """Opens the folder again and again while somebody saves into it."""
    run.commit(folder, 1, {"a.bin": b"1" * 1000, "b.bin": b"1"}, {})
    child = os.fork()
    if child == 0:
        for step in range(2, 1_000_000):
            run.commit(folder, step, {"a.bin": b"%d" % step * 1000, "b.bin": b"%d" % step}, {})
    seen, mixed, opened = set(), 0, 0
    try:
        while opened < opens or len(seen) < 20:
            opened += 1
            saved = run.load(folder)
            mixed += saved.read("a.bin") != b"%d" % saved.step * 1000 or saved.read("b.bin") != b"%d" % saved.step
            seen.add(saved.step)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"mixed": mixed, "opened": opened}


if __name__ == "__main__":
    what = {"kill": kill, "race": race, "read": read}[sys.argv[1]]
    print(json.dumps(what(Path(sys.argv[2]), int(sys.argv[3]))))
