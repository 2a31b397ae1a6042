"""One voice of several processes: under torchrun each of them reads the same command line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from seq2x.errors import PeerFailed, UsageError

__all__ = ["one_voice"]


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """A wrong command line is told by rank 0; the others leave with its exit code and say nothing.

    For what is found before the ranks meet (`seq2x.training.distributed`): until then none can ask another. An
    environment that is not torchrun's makes nobody silent.
    """
    try:
        yield
    except UsageError as error:
        if _number("WORLD_SIZE") > 1 and _number("RANK") > 0:
            raise PeerFailed(error.exit_code) from error
        raise


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
