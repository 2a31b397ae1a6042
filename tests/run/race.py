"""Many starts in one run folder at the same moment: who gets the lock, and what the others are told.

    python -m tests.run.race FOLDER NUMBER

Torch is not imported, so that forks are cheap. Prints one line of JSON, a list of races.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from seq2x.errors import BusyError
from seq2x.lock import Lock


def start(folder, gate, told, leave):
    """A process that waits at the gate, tries for the lock, tells what came of it and keeps it until it may leave."""
    os.read(gate, 1)  # ends when the gate is opened, by closing
    begun = time.monotonic()
    try:
        with Lock(folder):
            os.write(told, json.dumps({"won": os.getpid()}).encode() + b"\n")
            os.read(leave, 1)
    except BusyError as error:
        seconds = time.monotonic() - begun
        answer = {"lost": os.getpid(), "said": str(error), "code": error.exit_code, "seconds": seconds}
        os.write(told, json.dumps(answer).encode() + b"\n")
    os._exit(0)


def race(folder, runners, kill):
    """All try at once; the winner leaves by itself, or is killed. What each of them told."""
    gate, told, leave = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(runners):
        pid = os.fork()
        if pid == 0:
            for end in (gate[1], told[0], leave[1]):
                os.close(end)
            start(folder, gate[0], told[1], leave[0])
        children.append(pid)
    for end in (gate[0], told[1], leave[0]):
        os.close(end)
    os.close(gate[1])
    with os.fdopen(told[0]) as answers:
        found = [json.loads(answers.readline()) for _ in children]
        for answer in found:
            if kill and "won" in answer:
                os.kill(answer["won"], signal.SIGKILL)
        os.close(leave[1])
        for pid in children:
            os.waitpid(pid, 0)
    return found


def main():
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(3)
    print(json.dumps([race(folder, draw.randint(2, 8), kill=n % 2 == 0) for n in range(number)]))


if __name__ == "__main__":
    main()
