"""Each cell of the matrix tried: a tiny model of a kind with one idea, trained, used, and stopped in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.training.runs import content, go

import seq2x
from seq2x.settings import COUNTED

from .table import MECHANISMS, Mechanism, reason

__all__ = ["held", "parents", "write"]

_QUICK = {
    "units": "char",
    "max_steps": 4,
    "valid_steps": 2,
    "lr_scheduler": "constant",
    "dropout": 0.1,
    "scheduled_steps": 4,
}
_LANGUAGE = next(one for one in MECHANISMS.values() if one.data == "texts")


def write(folder: Path) -> None:
    """Sixty examples for each kind of data: words that are reversed, alone, with links, or letter by letter."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcde", k=draw.randint(2, 6))) for _ in range(60)]
    columns = {
        "pairs": [(word, word[::-1]) for word in words],
        "aligned": [
            (" ".join(word), " ".join(word[::-1]), " ".join(f"{i}-{len(word) - 1 - i}" for i in range(len(word))))
            for word in words
        ],
        "texts": [(word[::-1],) for word in words],
        "tagged": [(" ".join(word), " ".join("v" if letter in "ae" else "c" for letter in word)) for word in words],
    }
    for name, rows in columns.items():
        (folder / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in rows))


def _train(data: Path, out: Path, kind: str, mechanism: Mechanism, **changes: Any) -> Path:
    settings = {"model": kind, **_QUICK, **mechanism.training, **changes}
    if mechanism.data in ("tagged", "texts"):
        settings.pop("units")
    if mechanism.data == "texts" and kind not in COUNTED:
        settings["vocab_from"] = str(data / kind)
    if "objective" in mechanism.training:
        settings["from_run"] = data / kind
    if kind in COUNTED:
        settings = {name: value for name, value in settings.items() if name not in _QUICK}
    go(data / f"{mechanism.data}.txt", out, **settings)
    return out


def parents(data: Path, kind: str) -> None:
    """The runs of a kind that others begin from or are helped by: a plain one, another, and a language model."""
    plain = Mechanism("")
    _train(data, data / kind, kind, plain)
    _train(data, data / f"{kind}-ensemble", kind, plain, seed=2)
    _train(data, data / f"{kind}-rerank", kind, plain, direction="right_to_left")
    _train(data, data / f"{kind}-lm", kind, _LANGUAGE)


def held(data: Path, folder: Path, kind: str, mechanism: Mechanism) -> str:
    """The letters that a model of `kind` with this idea earns; what it gets wrong is an AssertionError."""
    run, earned = data / kind, ""
    if mechanism.training:
        run, earned = _train(data, folder / "run", kind, mechanism), "T"
    beside = {mechanism.beside: data / f"{kind}-{mechanism.beside}"} if mechanism.beside else {}
    predictor = seq2x.load(run, device="cpu", **beside)
    texts = [row.split("\t")[0] for row in (data / f"{mechanism.data}.txt").read_text().splitlines()[:12]]
    use = {**mechanism.use, "max_length": 8}
    sizes = {letter: size for letter, size in (("G", 1), ("B", 4)) if not reason(mechanism, kind, letter)}
    for changes in [{"beam_size": size} for size in sizes.values()] or [{}]:
        _require_the_same_in_any_batch(predictor, texts, {**use, **changes})
    earned += "".join(sizes) + "N"
    if mechanism.training:
        if kind not in COUNTED:  # whose passes are counted anew
            _train(data, folder / "parts", kind, mechanism, max_steps=2)
            assert content(folder / "parts") != content(folder / "run")
        _train(data, folder / "parts", kind, mechanism)
        assert content(folder / "parts") == content(folder / "run")
        earned += "R"
    return earned


def _require_the_same_in_any_batch(predictor: Any, texts: list[str], use: dict[str, Any]) -> None:
    """Outputs of all texts together are those of each alone, and in another order, where they are decided at all."""
    together = predictor(texts, details=True, batch_size=64, **use)
    turned = predictor(texts[::-1], details=True, batch_size=5, **use)[::-1]
    alone = predictor(texts, details=True, batch_size=1, **use)
    for found in (turned, alone):
        for one, other in zip(together, found, strict=True):
            assert abs(one.score - other.score) < 1e-4
            assert one.value != other.value or abs(one.log_p - other.log_p) < 1e-4
