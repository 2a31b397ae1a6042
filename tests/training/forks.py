"""A fork server: torch is imported once, then trainers are forked and killed at random moments.

    python -m tests.training.forks kill FOLDER NUMBER | signal FOLDER NUMBER | twice FOLDER

Runs in a process of its own, with one thread, because OpenMP does not survive a fork. Prints one line of JSON.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
from tests.training.runs import content, go, leftovers, pairs

from seq2x.errors import Seq2xError
from seq2x.run import load
from seq2x.training import loop
from seq2x.training.session import Session

RUN = {"save_seconds": 1e-9, "max_steps": 8, "valid_steps": 4}


def child(path, out, pipe):
    """Train; every save that has returned and every update made is reported through the pipe."""
    save, update = Session.save, loop.update

    def reported_save(self, t):
        save(self, t)
        os.write(pipe, f"s{t.progress.step}\n".encode())

    def reported_update(t, rows):
        update(t, rows)
        os.write(pipe, f"u{t.progress.step}\n".encode())

    Session.save, loop.update = reported_save, reported_update
    try:
        go(path, out, **RUN)
    except Seq2xError as error:
        os._exit(error.exit_code)
    except KeyboardInterrupt:  # before it listened; so does the command line
        os._exit(128 + signal.SIGINT)
    except BaseException:  # our own bug: say what
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def launch(path, out, after, number):
    """Start a trainer, send it signal `number` after so many seconds (None: never); (exit status, last save, last
    update, seconds until it had gone)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(path, out, writer)
    os.close(writer)
    if after is not None:
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    sent = time.monotonic()
    _, status = os.waitpid(pid, 0)
    answered = time.monotonic() - sent
    with os.fdopen(reader) as file:
        lines = [line for line in file.read().split("\n") if line]
    saved = [int(line[1:]) for line in lines if line[0] == "s"]
    updates = [int(line[1:]) for line in lines if line[0] == "u"]
    return status, max(saved, default=0), max(updates, default=0), answered


def storm(folder, number, pick):
    """Trainers are sent signals until `number` have been ended by one; every finished run is compared."""
    path = pairs(folder)
    go(path, folder / "reference", **RUN)
    expected = content(folder / "reference")
    *_, whole = launch(path, folder / "timed", None, 0)  # all is imported now: how long a run takes on this machine
    draw = random.Random(5)
    ended = runs = lost = wrong = late = codes = slowest = 0
    left = []
    out, acknowledged = folder / "run", 0
    while ended < number:
        sent = pick(draw)
        status, saved, updates, answered = launch(path, out, draw.uniform(0.0, whole), sent)
        acknowledged = max(acknowledged, saved)
        stopped = os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) != 0
        ended += stopped
        slowest = max(slowest, answered if stopped else 0.0)
        if sent != signal.SIGKILL and stopped:
            codes += os.waitstatus_to_exitcode(status) not in (128 + sent, -sent)
        known = (out / "last" / "manifest.json").exists()
        step = load(out / "last").step if known else 0
        lost += step < acknowledged
        late += sent != signal.SIGKILL and known and step < updates
        if not stopped:
            runs += 1
            wrong += content(out) != expected
            left += leftovers(out)
            shutil.rmtree(out)
            acknowledged = 0
    counts = {"ended": ended, "runs": runs, "lost": lost, "wrong": wrong, "late": late, "codes": codes}
    return {**counts, "left": left, "slowest": slowest}


def twice(folder):
    """A second signal while the first one's save hangs."""
    path = pairs(folder)
    out = folder / "run"
    go(path, out, **(RUN | {"max_steps": 2, "valid_steps": 50}))
    before = load(out / "last").step
    pid = os.fork()
    if pid == 0:
        Session.save = lambda self, t: time.sleep(60)
        try:
            go(
                path,
                out,
                **(RUN | {"max_steps": 100_000, "save_seconds": 1e6, "valid_steps": 50}),
                allow_change=["save_seconds"],
            )
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        os._exit(99)
    time.sleep(1.0)
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    begun = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "soon": time.monotonic() - begun < 1.0,
        "kept": load(out / "last").step == before,
    }


def main():
    torch.set_num_threads(1)
    mode, folder = sys.argv[1], Path(sys.argv[2])
    if mode == "kill":
        found = storm(folder, int(sys.argv[3]), lambda draw: signal.SIGKILL)
    elif mode == "signal":
        found = storm(folder, int(sys.argv[3]), lambda draw: draw.choice([signal.SIGTERM, signal.SIGINT]))
    else:
        found = twice(folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
