"""seq2x turns examples into a model: raw sequences in, a new sequence out.

    run = seq2x.load("runs/pairs")
    run("one input")                                # 'one output'
    seq2x.train("pairs.tsv", layers=4)              # the same names on the command line, in a recipe and in Python

Importing this package imports neither torch nor numpy: each public name is fetched from its room when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Prediction",
    "Result",
    "Settings",
    "__version__",
    "align",
    "check",
    "compare",
    "evaluate",
    "load",
    "score",
    "train",
]

if TYPE_CHECKING:
    from seq2x.aligning import align
    from seq2x.data.check import check
    from seq2x.evaluate import compare, evaluate, score
    from seq2x.predict import load
    from seq2x.settings import Settings
    from seq2x.training import train
    from seq2x.types import Prediction, Result


def __getattr__(name: str) -> Any:
    """PEP 562: called for a public name that has not been used yet."""
    if name in ("Prediction", "Result"):
        from seq2x import types

        return getattr(types, name)
    if name == "Settings":
        from seq2x.settings import Settings

        return Settings
    if name == "load":
        from seq2x.predict import load

        return load
    if name == "train":
        from seq2x.training import train

        return train
    if name == "evaluate":
        # The module stands here under the same name, as Python's import rules want it, and can be called.
        import seq2x.evaluate as module

        return module
    if name in ("compare", "score"):
        import seq2x.evaluate as module

        return getattr(module, name)
    if name == "align":
        from seq2x.aligning import align

        return align
    if name == "check":
        from seq2x.data.check import check

        return check
    raise AttributeError(f"module 'seq2x' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
