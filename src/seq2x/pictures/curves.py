"""Curves over training steps as a self-contained SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Curve", "curves_svg"]

_HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 240, 64, 12, 30, 28
_LEGEND = 18  # more room at the top where several curves need their names
_LIGHT = ("#0b5cad", "#b93c08", "#15803d", "#7e22ce")  # contrast with white and with black at least 4.5
_DARK = ("#6cb2ff", "#ff9d6b", "#5fd38a", "#cf9bff")
_DASHES = ("", "6 3", "2 3", "9 3 2 3")  # curves differ in more than colour
_MARKS = ("━", "╍", "┅", "┉")
_STYLE = (
    ".axes{stroke:#8888;stroke-width:1;fill:none}.line{fill:none;stroke-width:1.8}.curves text{fill:#333}"
    + "".join(f".curves .k{n}{{stroke:{c}}}.curves .f{n}{{fill:{c}}}" for n, c in enumerate(_LIGHT))
    + "@media(prefers-color-scheme:dark){.curves text{fill:#ccc}"
    + "".join(f".curves .k{n}{{stroke:{c}}}.curves .f{n}{{fill:{c}}}" for n, c in enumerate(_DARK))
    + "}"
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: a name and its points (step, value); values that are not finite are left out."""

    name: str
    points: Sequence[tuple[float, float]]


def curves_svg(curves: Sequence[Curve], title: str, unit: str = "", width: int = 640) -> str:
    """All `curves` over one pair of axes, their names above if there are several; empty if there is no finite point.

    `width` by 240 user units with text of 13: a picture that is shown narrow is made narrow, and stays readable.
    """
    shown = [Curve(c.name, [(x, y) for x, y in c.points if math.isfinite(x) and math.isfinite(y)]) for c in curves]
    points = [point for curve in shown for point in curve.points]
    x0, x1 = _range([x for x, _ in points])
    y0, y1 = _range([y for _, y in points])
    top = _TOP + _LEGEND * (len(shown) > 1)

    def place(x: float, y: float) -> tuple[str, str]:
        across = _LEFT + (x - x0) / (x1 - x0) * (width - _LEFT - _RIGHT)
        down = _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _BOTTOM - top)
        return f"{across:.1f}", f"{down:.1f}"

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" role="img" class="curves" '
        f'aria-label="{html.escape(title)}" font-family="system-ui,sans-serif" font-size="13">',
        f"<style>{_STYLE}</style>",
        f'<text x="{_LEFT}" y="16" font-weight="600">{html.escape(title)}</text>',
        f'<path class="axes" d="M{_LEFT} {top}V{_HEIGHT - _BOTTOM}H{width - _RIGHT}"/>',
    ]
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")) if points else ():
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        across, down = place(x, y)
        out.append(f'<text x="{_LEFT - 6}" y="{down}" dy="4" text-anchor="end">{_tick(y)}{html.escape(unit)}</text>')
        out.append(f'<text x="{across}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{x:,.0f}</text>')
    if len(shown) > 1:
        names = (
            f'<tspan class="f{n % 4}">{_MARKS[n % 4] * 2} {html.escape(c.name)}</tspan>' for n, c in enumerate(shown)
        )
        out.append(f'<text x="{_LEFT}" y="34">{"　".join(names)}</text>')
    for number, curve in enumerate(shown):
        out += _line(curve, number % 4, place)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _line(curve: Curve, look: int, place: Callable[[float, float], tuple[str, str]]) -> list[str]:
    """The curve, and a dot with its numbers at each point as long as dots can be told apart."""
    placed = [place(x, y) for x, y in curve.points]
    dash = f' stroke-dasharray="{_DASHES[look]}"' if look else ""
    path = " ".join(f"{across},{down}" for across, down in placed)
    out = [f'<polyline class="line k{look}" points="{path}"{dash}/>']
    if len(placed) <= 100:
        for (x, y), (across, down) in zip(curve.points, placed, strict=True):
            note = f"<title>{x:,.0f}: {y:.5g}</title>"
            out.append(f'<circle class="f{look}" cx="{across}" cy="{down}" r="2.5">{note}</circle>')
    return out


def _tick(y: float) -> str:
    """Seven characters or so: there is no room for more beside the axis."""
    if 1000 <= abs(y) < 1e6:
        return f"{y:,.0f}"
    return f"{y:.3g}" if abs(y) >= 0.01 else f"{y:.2g}"


def _range(values: list[float]) -> tuple[float, float]:
    """Smallest and largest, never equal, so that a flat curve can be drawn, however large its value."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    half = max(0.5, 1e-9 * abs(high))
    return (low, high) if high > low else (low - half, high + half)
