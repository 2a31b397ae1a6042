"""Results for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from seq2x.types import Interval, Result

__all__ = ["from_plain", "table", "to_plain"]


def table(results: Mapping[str, Result]) -> str:
    """One line per metric: name, value, 95 % interval, which way is better, how it was computed."""
    lines: list[str] = []
    width = max([12, *map(len, results)])
    for name, one in results.items():
        interval = f"[{one.interval.low:.2f}, {one.interval.high:.2f}]" if one.interval else ""
        lines.append(
            f"{name:<{width}} {one.value:>7.2f}  {interval:<18} {one.better} is better  {one.signature}".rstrip()
        )
    count = max((one.count for one in results.values()), default=0)
    return "\n".join([*lines, f"{count:,} items; intervals: 95 %, bootstrap"]) + "\n"


def to_plain(result: Result) -> dict[str, Any]:
    """A Result as JSON, which has no infinity: such a value is null."""
    return {
        "value": _finite(result.value),
        "better": result.better,
        "count": result.count,
        "interval": list(map(_finite, result.interval)) if result.interval else None,
        "signature": result.signature,
        "parts": dict(result.parts),
    }


def from_plain(name: str, values: Mapping[str, Any]) -> Result:
    """The Result of metric `name` that `to_plain` gave."""
    interval = Interval(*values["interval"]) if values["interval"] else None
    parts = dict(values["parts"])
    return Result(name, values["value"], values["better"], values["count"], interval, values["signature"], parts)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
