"""Tasks: the only place where codec, model, objective, search and metric meet.

A new one is a file and a row of `TASKS`: see `seq2x.tasks.task`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from seq2x.errors import FolderError
from seq2x.tasks.about import MODEL_FILE, TASK_FILE, About
from seq2x.tasks.device import pick_device
from seq2x.tasks.generate import Generate
from seq2x.tasks.seen import Seen
from seq2x.tasks.tag import Tag
from seq2x.tasks.task import Task

if TYPE_CHECKING:
    import torch

    from seq2x.saved import Saved

__all__ = ["TASKS", "About", "Generate", "Seen", "Tag", "Task", "pick_device", "restore"]

TASKS: Final[Mapping[str, type[Task]]] = {"generate": Generate, "tag": Tag}


def restore(saved: Saved, device: str | torch.device = "cpu") -> Task:
    """The task of a run folder, whichever it is, on `device`, ready to predict. Raises `FolderError`."""
    name = About.from_files(saved.read(MODEL_FILE), saved.read(TASK_FILE), str(saved.path)).task
    if name not in TASKS:
        todo = "a later seq2x may read it"
        raise FolderError(f"{saved.path}/{TASK_FILE}", f'task "{name:.80}"', f"one of {', '.join(TASKS)}", todo)
    return TASKS[name].from_saved(saved, device)
