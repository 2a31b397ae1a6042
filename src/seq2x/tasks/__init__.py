"""Tasks: the only place where codec, model, objective, search and metric meet."""

from __future__ import annotations

from seq2x.tasks.about import About
from seq2x.tasks.device import pick_device
from seq2x.tasks.generate import Generate
from seq2x.tasks.learning import objective
from seq2x.tasks.seen import Seen

__all__ = ["TASKS", "About", "Generate", "Seen", "objective", "pick_device"]

TASKS = {"generate": Generate}
