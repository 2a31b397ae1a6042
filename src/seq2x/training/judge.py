"""One line of judgement after each validation: the four ways in which a sequence model most often goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

__all__ = ["FEW", "judge"]

FEW = 20  # with fewer outputs nothing is said about shares
_OVERFIT = 3  # validations in a row whose loss is above the best one


def judge(
    sources: Sequence[str],
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    history: Sequence[Sequence[float]],
) -> str:
    """What the outputs look like, in one line; "" if nothing is wrong.

    `history`: (step, training loss, validation loss, metric) of each validation so far. Shares are compared with
    the references', so that data in which copying or repeating is right is not blamed.
    """
    troubles = []
    if len(outputs) >= FEW:
        troubles = [
            _ignores_source(sources, outputs, references),
            _copies(sources, outputs, references),
            _repeats(outputs, references),
        ]
    return "; ".join(text for text in [*troubles, _overfits(history)] if text)


def _ignores_source(sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    top, count = Counter(outputs).most_common(1)[0]
    usual = Counter(r[0] for r in references if r).most_common(1)[0][1]
    share = count / len(outputs)
    if len(set(sources)) >= FEW and share > 0.3 and count > 2 * usual:
        return f"ignores the source: {share:.0%} of the outputs are {_short(top)}"
    return ""


def _copies(sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    share = sum(s == o for s, o in zip(sources, outputs, strict=True)) / len(outputs)
    usual = sum(s in r for s, r in zip(sources, references, strict=True)) / len(outputs)
    return f"copies the input: {share:.0%} of the outputs" if share > 0.3 and share > 2 * usual else ""


def _repeats(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    share = sum(map(_loops, outputs)) / len(outputs)
    usual = sum(any(map(_loops, r)) for r in references) / len(outputs)
    return f"repeats itself: {share:.0%} of the outputs" if share > 0.1 and share > 2 * usual else ""


def _loops(text: str) -> bool:
    """Whether some phrase of 1 to 4 words (characters, if there are no blanks) stands at least 4 times in a row."""
    words: Sequence[str] = text.split() if " " in text else text
    for size in range(1, 5):
        run = 0
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else 0
            if run >= 3 * size:
                return True
    return False


def _overfits(history: Sequence[Sequence[float]]) -> str:
    if len(history) <= _OVERFIT:
        return ""
    lowest = min(range(len(history)), key=lambda i: history[i][2])
    after = history[lowest + 1 :]
    if len(after) >= _OVERFIT and history[-1][1] < history[lowest][1] and all(h[2] > history[lowest][2] for h in after):
        return f"overfits since step {int(history[lowest][0])}: loss falls on training data, rises on held-out data"
    return ""


def _short(text: str) -> str:
    return f'"{text[:40]}..."' if len(text) > 40 else f'"{text}"'
