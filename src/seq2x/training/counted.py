"""A model that is counted has no training: prepared, it is done, and only the held-out texts are left to see."""

from __future__ import annotations

import time

from seq2x.run import Saved
from seq2x.tasks import Generate
from seq2x.tasks.seen import SEEN_FILE
from seq2x.training.distributed import World
from seq2x.training.log import Log
from seq2x.training.request import Request
from seq2x.training.resume import Resumed, adopt
from seq2x.training.session import Done, commit_best, held_out_examples, show, stores, tell
from seq2x.training.signals import Signals
from seq2x.training.state import Progress
from seq2x.training.validate import Validator

__all__ = ["count_all"]


def count_all(request: Request, saved: Saved, found: Resumed, world: World, log: Log, signals: Signals) -> Done:
    """Judge what `saved` holds by the held-out texts, and make it `best/`. Asked again, it says the same again."""
    folder, settings, begun = request.folder, found.settings, time.monotonic()
    task = Generate.from_saved(saved)
    task.about = task.about.with_search(settings)
    examples = held_out_examples(folder, str(saved.about.get("held_out", "")))
    _, store = stores(request, saved, settings, task, examples, world, log)
    validator = Validator(task, settings, examples, store, lambda: signals.caught)
    seen = validator([], 0, 0.0)
    if world.leader:
        adopt(folder, saved, found, log)
        files = task.to_files() | {name: saved.read(name) for name in (SEEN_FILE,) if name in saved.contents}
        commit_best(folder, 0, files, seen, settings, saved.about)
    progress = Progress(best=seen.value, best_loss=seen.loss)
    tell(log, progress, seen, validator.shown, True, (time.monotonic() - begun, 0.0))
    log.close()
    if world.leader:
        show(folder, log)
    return Done(progress, "everything is counted", False, time.monotonic() - begun)
