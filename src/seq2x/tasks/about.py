"""What a run knows beside its weights and codecs: the shape of its model and how it is used.

Stored as `model.json` and `task.json`, read strictly: a folder that somebody sends is checked before use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from seq2x.codecs.backwards import Backwards
from seq2x.codecs.text import TextCodec
from seq2x.errors import FolderError, Seq2xError
from seq2x.models import shape_from_json
from seq2x.models.shape import Shape
from seq2x.settings import Settings, resolve
from seq2x.strict_json import dump_json, parse_json

__all__ = ["MODEL_FILE", "MOST_RATIO", "TASK_FILE", "About"]

MODEL_FILE = "model.json"
TASK_FILE = "task.json"

_DIRECTIONS = ("left_to_right", "right_to_left")
MOST_RATIO = 1000.0  # a folder must not make a decoder run for hours on a short line


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """`task`: its name. `shape`: the model's. `metric`: what fits it, first in every report. `references`: "merge" if
    lines with the same source are one item with several right outputs. `search`: the settings of the search and data
    rooms that the run was trained with and that differ from the defaults; they are the defaults of its use.
    `length_ratio`: target symbols per source symbol that nearly all training pairs keep to; where `max_length` is open,
    an output may have that many times the symbols of its input, and some more. `direction`: how outputs are written.
    """

    shape: Shape
    metric: str = "exact_match"
    references: str = "each"
    search: Mapping[str, Any] = field(default_factory=dict)
    length_ratio: float = 2.0
    direction: str = "left_to_right"
    task: str = "generate"

    @classmethod
    def of(cls, settings: Settings, shape: Shape, fitting: str, length_ratio: float = 2.0) -> About:
        """What a run with `settings` stores; `fitting` is the metric that fits the task (see `seq2x.metrics.fit`), for
        settings that name none.
        """
        named = settings.valid_metric
        return cls(
            shape=shape,
            metric=fitting if named in ("auto", "loss") else named,
            references=settings.references,
            search=_search_of(settings),
            length_ratio=length_ratio,
            direction=settings.direction,
            task="tag" if settings.task == "tag" else "generate",  # a language model is one without a source
        )

    def with_search(self, settings: Settings) -> About:
        """The same task used with the search of other `settings`: a resumed run may change it."""
        return replace(self, search=_search_of(settings))

    def to_files(self) -> dict[str, bytes]:
        """`model.json` and `task.json`, canonical."""
        task = {
            "task": self.task,
            "metric": self.metric,
            "references": self.references,
            "search": dict(self.search),
            "length_ratio": self.length_ratio,
            "direction": self.direction,
        }
        return {MODEL_FILE: dump_json(self.shape.to_json()), TASK_FILE: dump_json(task)}

    @classmethod
    def from_files(cls, model: bytes, task: bytes, where: str) -> About:
        """What `to_files` wrote; `FolderError` for anything else."""
        shape = shape_from_json(parse_json(model, f"{where}/{MODEL_FILE}"), f"{where}/{MODEL_FILE}")
        place = f"{where}/{TASK_FILE}"
        values = parse_json(task, place)
        if isinstance(values, dict):
            values = {"direction": "left_to_right", **values}  # the first runs do not name it
        if (
            not isinstance(values, dict)
            or values.keys() != {"task", "metric", "references", "search", "length_ratio", "direction"}
            or not isinstance(values["task"], str)
        ):
            raise FolderError(place, "it holds something else", "what a task is", "copy the run folder anew")
        metric, references, search = values["metric"], values["references"], values["search"]
        if not isinstance(metric, str) or references not in ("each", "merge") or not isinstance(search, dict):
            raise FolderError(place, "wrong values", "what seq2x writes", "copy the run folder anew")
        ratio, direction = values["length_ratio"], values["direction"]
        if not isinstance(ratio, float) or not 0.0 < ratio <= MOST_RATIO:
            raise FolderError(place, f"length_ratio {ratio}", f"a number above 0, at most {MOST_RATIO:g}")
        if direction not in _DIRECTIONS:
            raise FolderError(place, f"direction {direction!r}", " or ".join(_DIRECTIONS), "copy the run folder anew")
        about = cls(
            shape=shape,
            metric=metric,
            references=references,
            search=search,
            length_ratio=ratio,
            direction=direction,
            task=values["task"],
        )
        _check_search(about, place)
        return about

    @property
    def asked(self) -> dict[str, str]:
        """The settings that say what kind of run this is, beside which those of its search have to make sense."""
        task = self.task if self.shape.source else "lm"
        return {"task": task, "model": self.shape.kind, "decoder": self.shape.decoder}

    def written_by(self, codec: TextCodec) -> TextCodec:
        """The codec of the targets as this task writes them: itself, or turned round."""
        return Backwards(codec.vocabulary) if self.direction == "right_to_left" else codec


def _search_of(settings: Settings) -> dict[str, Any]:
    """The settings of the search and the columns that differ from the defaults."""
    default = Settings()
    used = [f.name for f in fields(Settings) if f.metadata["room"] == "search" or f.name in ("format", "columns")]
    return {name: getattr(settings, name) for name in used if getattr(settings, name) != getattr(default, name)}


def _check_search(about: About, where: str) -> None:
    rooms = {item.name: item.metadata["room"] for item in fields(Settings)}
    wrong = [name for name in about.search if rooms.get(name) not in ("search", "data")]
    if wrong:
        raise FolderError(
            where, f"unknown search settings {', '.join(map(str, wrong[:10]))}", "", "copy the run folder anew"
        )
    try:
        resolve(about.asked, where)
    except Seq2xError:
        return  # no such task, or not with such a model: `restore` and `Task.from_saved` say so
    try:
        resolve({**about.search, **about.asked}, where)
    except Seq2xError as error:
        raise FolderError(where, error.found, error.expected, "copy the run folder anew") from error
