"""Curves over training steps as a self-contained SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Curve", "curves_svg"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 240, 64, 30, 28
_COLOURS = ("#0b5cad", "#c2410c", "#15803d", "#7e22ce")


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: a name and its points (step, value); values that are not finite are left out."""

    name: str
    points: Sequence[tuple[float, float]]


def curves_svg(curves: Sequence[Curve], title: str, unit: str = "") -> str:
    """All `curves` over one pair of axes, with a legend; an empty chart if there is no finite point."""
    shown = [Curve(c.name, [(x, y) for x, y in c.points if math.isfinite(x) and math.isfinite(y)]) for c in curves]
    points = [point for curve in shown for point in curve.points]
    x0, x1 = _range([x for x, _ in points])
    y0, y1 = _range([y for _, y in points])

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - 12)
        down = _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _BOTTOM - _TOP)
        return f"{across:.1f},{down:.1f}"

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="system-ui,sans-serif" font-size="12">',
        "<style>text{fill:#333}.a{stroke:#8888;stroke-width:1;fill:none}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>",
        f'<text x="{_LEFT}" y="16" font-weight="600">{html.escape(title)}</text>',
        f'<path class="a" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - 12}"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = y0 + share * (y1 - y0)
        down = place(x0, y).split(",")[1]
        out.append(f'<text x="{_LEFT - 6}" y="{down}" dy="4" text-anchor="end">{y:.4g}{html.escape(unit)}</text>')
        x = x0 + share * (x1 - x0)
        across = place(x, y0).split(",")[0]
        out.append(f'<text x="{across}" y="{_HEIGHT - 10}" text-anchor="middle">{x:,.0f}</text>')
    for number, curve in enumerate(shown):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(place(x, y) for x, y in curve.points)
        dots = ""
        for x, y in curve.points if len(curve.points) <= 100 else []:
            across, down = place(x, y).split(",")
            note = f"<title>{x:,.0f}: {y:.5g}</title>"
            dots += f'<circle cx="{across}" cy="{down}" r="2.5" fill="{colour}">{note}</circle>'
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>{dots}')
        out.append(
            f'<text x="{_WIDTH - 12}" y="{16 + 14 * number}" text-anchor="end" style="fill:{colour}">'
            f"{html.escape(curve.name)}</text>"
        )
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _range(values: list[float]) -> tuple[float, float]:
    """Smallest and largest, never equal, so that a flat curve can be drawn."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
