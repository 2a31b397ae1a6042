"""How good is a run? On raw strings, by the metric that fits the task, with intervals and warnings.

seq2x.evaluate("runs/pairs", "test.tsv")          # {"bleu": Result, "chrf": Result, ...}, the fitting one first
seq2x.score("runs/pairs", "pairs.tsv")            # log-probability of given outputs, perplexity
seq2x.compare("runs/a", "runs/b", "test.tsv")     # paired significance, and the lines that changed
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from seq2x.evaluate.comparison import Compared, compare
from seq2x.evaluate.judging import Report, evaluate, judge, report
from seq2x.evaluate.results import from_plain, table, to_plain
from seq2x.evaluate.scoring import Scores, score
from seq2x.types import Result

__all__ = [
    "Compared",
    "Report",
    "Scores",
    "compare",
    "evaluate",
    "from_plain",
    "judge",
    "report",
    "score",
    "table",
    "to_plain",
]


class _Callable(ModuleType):
    """This module can be called: `seq2x.evaluate(...)` and `from seq2x.evaluate import score` are both right."""

    def __call__(self, *args: Any, **settings: Any) -> dict[str, Result]:
        return evaluate(*args, **settings)


sys.modules[__name__].__class__ = _Callable
