"""`report.html`: a run on one page, self-contained: curves, examples, settings with their reasons. No script in it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2x.errors import escape
from seq2x.pictures import Curve, curves_svg
from seq2x.training.log import read_metrics

__all__ = ["write_report"]

_STYLE = (
    "body{font-family:system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;line-height:1.45;"
    "color-scheme:light dark}table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8884;"
    "padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}pre{overflow-x:auto;font-size:.8rem;"
    "padding:1rem;background:#8881}svg{width:100%;height:auto;margin:1rem 0}.ok{color:#15803d}"
)


def write_report(folder: Path) -> None:
    """Write the report of the run in `folder`, from its `metrics.jsonl` and `settings.toml`, in one rename."""
    records = read_metrics(folder)
    valid = [r for r in records if r.get("kind") == "valid"]
    settings = folder / "settings.toml"
    recipe = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    page = "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">",
            f"<title>{_text(folder.name)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{_text(folder.name)}</h1>",
            *_summary(records, valid),
            *_curves(records, valid),
            *(_examples(valid[-1]) if valid else []),
            f"<h2>Settings</h2><p>Every value, with the reason why.</p><pre>{_text(recipe)}</pre>",
            "</body></html>",
        ]
    )
    fresh = folder / ".report.html.new"
    fresh.write_text(page, encoding="utf-8")
    fresh.replace(folder / "report.html")


def _summary(records: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> list[str]:
    if not valid:
        return [f"<p>{len(records)} log lines, no validation yet.</p>"]
    last = valid[-1]
    best = f"{last['metric']} {_number(last['best'])} at step {last['best_step']:,}"
    lines = [f"<p>Best: <strong>{_text(best)}</strong>; trained to step {records[-1]['step']:,}.</p>"]
    judged = last.get("judgement")
    lines.append(f"<p>{_text(judged)}</p>" if judged else '<p class="ok">Nothing odd about the outputs.</p>')
    return lines


def _curves(records: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> list[str]:
    train = [r for r in records if r.get("kind") == "train"]
    losses = [Curve("training (smoothed labels)", _points(train, "loss")), Curve("held out", _points(valid, "loss"))]
    pictures = [curves_svg(losses, "Loss per item")]
    if valid and valid[-1]["metric"] != "loss":
        pictures.append(curves_svg([Curve("held out", _points(valid, "value"))], str(valid[-1]["metric"])))
    pictures.append(curves_svg([Curve("before clipping", _points(train, "gradient_norm"))], "Gradient norm"))
    pictures.append(curves_svg([Curve("rate", _points(train, "learning_rate"))], "Learning rate"))
    return ["<h2>Curves</h2>", *pictures]


def _points(records: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(float(r["step"]), float(r[name])) for r in records if isinstance(r.get(name), int | float)]


def _examples(last: dict[str, Any]) -> list[str]:
    rows = [
        f"<tr><td>{_text(e['source'])}</td><td>{_text(e['output'])}</td><td>{_text(e['reference'])}</td></tr>"
        for e in last["examples"]
    ]
    head = "<tr><th>source</th><th>output</th><th>right</th></tr>"
    return [f"<h2>Held-out examples at step {last['step']:,}</h2>", f"<table>{head}{''.join(rows)}</table>"]


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "?"


def _text(text: Any) -> str:
    """Inert in HTML, and nothing in it moves a reader's terminal or direction of writing."""
    return html.escape(escape(str(text)))
