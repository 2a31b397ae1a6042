"""A matrix of weights in [0,1] as a heat map: attention, most often.

Rows are output symbols (T), columns input symbols (S). Labels are text of any script; in the terminal the width of
Chinese and other wide characters is counted as two columns.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

__all__ = ["heatmap_svg", "heatmap_terminal"]

_CELL = 18  # pixels
_SHADES = " ░▒▓█"


def heatmap_svg(
    weights: Sequence[Sequence[float]], columns: Sequence[str], rows: Sequence[str], title: str = ""
) -> str:
    """A self-contained SVG of `weights` `[T,S]`; every cell carries its value as a tooltip.

    Raises:
        ValueError: the labels do not fit the matrix.
    """
    _check(weights, columns, rows)
    left = 10 + 9 * max((_columns(row) for row in rows), default=1)
    top = 30 + 9 * max((_columns(column) for column in columns), default=1)
    width, height = left + _CELL * len(columns) + 10, top + _CELL * len(rows) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{html.escape(_visible(title or "heat map"))}" font-family="monospace" font-size="13">',
        "<style>text{fill:#222}.c{fill:#0b5cad}.f{fill:none;stroke:#8888;stroke-width:.5}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.c{fill:#6cb2ff}}</style>",
        f'<text x="6" y="16">{html.escape(_visible(title))}</text>',
    ]
    for s, label in enumerate(columns):
        x = left + _CELL * s + 13
        out.append(f'<text transform="translate({x},{top - 6}) rotate(-90)">{html.escape(_visible(label))}</text>')
    for t, (label, line) in enumerate(zip(rows, weights, strict=True)):
        y = top + _CELL * t
        out.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{html.escape(_visible(label))}</text>')
        for s, weight in enumerate(line):
            x = left + _CELL * s
            note = f"{_visible(label)} ← {_visible(columns[s])}: {weight:.3f}"
            out.append(
                f'<rect class="c" x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" '
                f'fill-opacity="{min(max(weight, 0.0), 1.0):.3f}"><title>{html.escape(note)}</title></rect>'
            )
    out.append(
        f'<rect class="f" x="{left}" y="{top}" width="{_CELL * len(columns)}" height="{_CELL * len(rows)}"/></svg>'
    )
    return "\n".join(out) + "\n"


def heatmap_terminal(weights: Sequence[Sequence[float]], columns: Sequence[str], rows: Sequence[str]) -> str:
    """`weights` `[T,S]` in five shades of block characters, two terminal columns a cell, labels beside and above."""
    _check(weights, columns, rows)
    margin = max((_columns(row) for row in rows), default=0) + 1
    head = " " * margin + "".join(_cell(label) for label in columns)
    lines = [head]
    for label, line in zip(rows, weights, strict=True):
        name = _visible(label)
        shades = "".join(_SHADES[min(int(max(weight, 0.0) * 5), 4)] * 2 for weight in line)
        lines.append(" " * (margin - 1 - _columns(label)) + name + " " + shades)
    return "\n".join(line.rstrip() for line in lines)


def _check(weights: Sequence[Sequence[float]], columns: Sequence[str], rows: Sequence[str]) -> None:
    if len(weights) != len(rows) or any(len(line) != len(columns) for line in weights):
        shape = (len(weights), len(weights[0]) if len(weights) else 0)
        raise ValueError(f"a heat map of {shape} needs {shape[0]} row and {shape[1]} column labels")


def _visible(label: str) -> str:
    return "␣" if label == " " else "".join(c if c.isprintable() else "·" for c in label)


def _columns(label: str) -> int:
    """How many terminal columns `label` takes: wide characters two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in _visible(label)
    )


def _cell(label: str) -> str:
    """The label's first character in exactly two columns."""
    shown = _visible(label)[:1] or " "
    return shown + " " * (2 - _columns(shown))
