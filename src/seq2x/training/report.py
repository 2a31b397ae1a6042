"""`report.html`: a run on one page, for people: what came out, how it went, on which examples, with what and why.

Everything in it is read from the run folder: `metrics.jsonl`, `settings.toml`, `log.txt`, `test.json` and the two
descriptions of what was prepared and saved. It is for looking at; nothing is ever read from it.
"""

from __future__ import annotations

import dataclasses
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from seq2x.errors import Seq2xError
from seq2x.metrics import METRICS
from seq2x.pictures import Curve, curves_svg
from seq2x.settings import Settings, resolve
from seq2x.strict_json import parse_json
from seq2x.training.final import TEST_FILE
from seq2x.training.judge import FEW
from seq2x.training.log import duration, read_metrics, warnings_in
from seq2x.training.page import details, number, page, prose, section, table, visible

__all__ = ["write_report"]

_POINTS = 300  # of one curve: more cannot be told apart
_CHART = 440  # width of a picture, in the units in which its text is 13 high
_WORDS = {
    "bleu": "BLEU (word sequences shared with the right outputs, 0 to 100)",
    "chrf": "chrF (character sequences shared with the right outputs, 0 to 100)",
    "ter": "TER (edits needed per 100 right words)",
    "exact_match": "exact match (percent of outputs that are right to the character)",
    "cer": "character error rate (edits per 100 right characters)",
    "wer": "word error rate (edits per 100 right words)",
    "per": "phoneme error rate (edits per 100 right phonemes)",
    "word_errors": "word errors (percent of outputs that are not exactly right)",
    "loss": "held-out loss (surprise per symbol, in nats)",
}


@dataclass(frozen=True, slots=True)
class _Run:
    """What a folder says of its run; everything may be missing while a run is young."""

    name: str
    train: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    about: Mapping[str, Any]
    writer: str
    sizes: Mapping[str, tuple[int, int]]
    test: Mapping[str, Any]
    recipe: str
    log: str

    @property
    def last(self) -> dict[str, Any]:
        """The newest line of the metrics."""
        return max([*self.valid[-1:], *self.train[-1:], {"step": 0}], key=lambda record: _of(record, "step") or 0)


def write_report(folder: Path) -> None:
    """Write `folder/report.html` from what stands in `folder`, in one rename. Raises `OSError`."""
    run = _read(folder)
    parts = [
        ("warnings", "Warnings", _list(warnings_in(run.log))),
        ("test", "On the test set", _test(run)),
        ("curves", "Curves", _curves(run)),
        ("examples", "The same examples at each validation", _examples(run)),
        ("judgement", "Judgement", _judgements(run)),
        ("settings", "Settings and their reasons", _settings(run)),
        ("machine", "Versions, machine, command", _machine(run)),
        ("log", "What was said on the way", _log(run)),
    ]
    links = "".join(f'<li><a href="#{name}">{visible(title)}</a></li>' for name, title, body in parts if body)
    body = (
        f"<header>{prose(run.name, 'h1')}\n{_summary(run)}\n"
        f'<nav aria-label="Parts of this page"><ul>{links}</ul></nav></header>\n<main>\n'
        + "".join(section(*part) for part in parts)
        + "</main>\n"
    )
    fresh = folder / ".report.html.new"
    fresh.write_text(page(f"{run.name}: report of a seq2x run", body), encoding="utf-8")
    fresh.replace(folder / "report.html")


# ------------------------------------------------------------------ reading


def _read(folder: Path) -> _Run:
    records = [record for record in read_metrics(folder) if isinstance(record, dict)]
    saved = _json(folder / "last" / "manifest.json")
    stores = {part: _json(folder / "data" / part / "store.json") for part in ("train", "valid")}
    return _Run(
        name=folder.resolve().name,
        train=[record for record in records if record.get("kind") == "train"],
        valid=[record for record in records if record.get("kind") == "valid"],
        about=_table(saved, "about"),
        writer=str(saved.get("writer", "")),
        sizes={part: _size(store) for part, store in stores.items() if store},
        test=_json(folder / TEST_FILE),
        recipe=_text(folder / "settings.toml"),
        log=_text(folder / "log.txt"),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _json(path: Path) -> dict[str, Any]:
    """The object in a file, or an empty one: a report shows what there is."""
    try:
        found = parse_json(path.read_bytes(), str(path))
    except (OSError, Seq2xError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _size(store: dict[str, Any]) -> tuple[int, int]:
    """(pairs, target symbols) of prepared data."""
    rows, ids = store.get("rows"), _table(_table(store, "files"), "target.ids").get("size")
    return (rows if isinstance(rows, int) else 0, ids // 4 if isinstance(ids, int) else 0)


def _of(record: Mapping[str, Any], name: str) -> float | None:
    """A number of a line, or None; `time.seconds` stands one level down."""
    for part in name.split(".")[:-1]:
        record = _table(record, part)
    value = record.get(name.split(".")[-1])
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _step(record: Mapping[str, Any]) -> float:
    return _of(record, "step") or 0


# ------------------------------------------------------------------ the parts


def _summary(run: _Run) -> str:
    """What came out, in words, and the numbers that matter most."""
    facts: list[tuple[str, str]] = []
    words = _where_it_stands(run)
    if run.valid:
        last = run.valid[-1]
        metric, step = str(last.get("metric", "loss")), _of(last, "best_step")
        best = next((record for record in run.valid if _step(record) == step), last)
        better = METRICS[metric].better if metric in METRICS else "lower"
        words = (
            f"The best model so far is that of step {number(step, ',')}: {visible(_WORDS.get(metric, metric))} of "
            f"{number(_of(last, 'best'), '.2f')} on held-out examples; {better} is better. " + words
        )
        facts.append((f"best {metric}", number(_of(last, "best"), ".2f")))
        facts.append(("held-out loss there", number(_of(best, "loss"), ".3f")))
    for part, name in (("train", "training pairs"), ("valid", "held-out pairs")):
        if part in run.sizes:
            facts.append((name, number(run.sizes[part][0], ",")))
    if "train" in run.sizes:
        facts.append(("target symbols to learn from", number(run.sizes["train"][1], ",")))
    if seconds := _of(run.last, "time.seconds"):
        facts.append(("training time", number(seconds, shown=duration(seconds))))
    cards = "".join(f"<div><dt>{visible(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f"<p>{words}</p>{_complaint(run)}" + (f'<dl class="facts">{cards}</dl>' if cards else "")


def _where_it_stands(run: _Run) -> str:
    """How far the run is, and whether it goes on."""
    settings = _settings_of(run)
    step, most = _step(run.last), settings.max_steps
    if not run.train and not run.valid:
        return "Training has just begun; nothing is logged yet."
    text = f"The run has made {number(step, ',')} updates" + (f" of at most {number(most, ',')}." if most else ".")
    stale = _of(_table(run.about, "progress"), "stale") or 0
    if not run.valid:
        text += " There is no validation yet"
        return text + (
            f"; the first comes at step {number(settings.valid_steps, ',')}." if settings.valid_steps else "."
        )
    if most and step >= most:
        return text + " It is finished."
    if settings.early_stopping and stale >= settings.early_stopping:
        return text + f" It ended early: no better result in {number(stale, ',')} validations."
    return text


def _complaint(run: _Run) -> str:
    if not run.valid:
        return ""
    said = run.valid[-1].get("judgement")
    if said:
        return prose(f"At the last validation: {said}", "p", "bad")
    judged = _of(run.valid[-1], "judged")
    if judged is not None and judged < FEW:
        return f'<p class="soft">{number(judged, ",")} outputs are too few to judge them by; it takes {FEW}.</p>'
    return '<p class="good">The last validation found nothing wrong with the outputs.</p>'


def _test(run: _Run) -> str:
    """What the finished run was judged by, once."""
    rows, results = [], _table(run.test, "results")
    for name in results:
        one = _table(results, name)
        ends = dict(zip(("low", "high"), one.get("interval") or (), strict=False))
        between = " – ".join(number(_of(ends, end), ".2f") for end in ("low", "high"))
        rows.append([visible(name), number(_of(one, "value"), ".2f"), between, prose(one.get("signature", ""))])
    if not rows:
        return ""
    said = f"{', '.join(map(str, run.test.get('files', ())))}: {run.test.get('items', 0):,} items, evaluated on once"
    notes = "".join(prose(note, "p", "soft") for note in run.test.get("notes", ()))
    head = ["metric", "value", "95 % interval", "how it was computed"]
    return prose(f"{said}, at the end.", "p") + table("Results on the test set", head, rows) + notes


def _curves(run: _Run) -> str:
    """Five pictures, and the same numbers as tables for those who read or listen."""
    if not run.train and not run.valid:
        return ""
    metric = str(run.valid[-1].get("metric", "loss")) if run.valid else "loss"
    charts = [curves_svg([_curve(run.train, "loss", "training"), _curve(run.valid, "loss", "held out")],
                         "Loss per symbol (nats)", width=_CHART)]  # fmt: skip
    if run.valid and metric != "loss":
        charts.append(curves_svg([_curve(run.valid, "value", metric)], f"{metric} on held-out examples", width=_CHART))
    for name, title in (
        ("learning_rate", "Learning rate"),
        ("gradient_norm", "Gradient norm (before clipping)"),
        ("time.tokens_per_second", "Speed (target tokens per second)"),
    ):
        charts.append(curves_svg([_curve(run.train, name, title)], title, width=_CHART))
    figures = "".join(f"<figure>{chart}</figure>\n" for chart in charts)
    note = '<p class="soft">Steps run from left to right. Training loss is taken with dropout and smoothed labels,'
    note += " held-out loss without, so the second may well be lower."
    if "objective" in (run.about.get("settings") or {}):
        note += " Here it is minus the mean reward of an output, and as much of the likelihood as counts."
    note += "</p>"
    return f'{note}<div class="charts">{figures}</div>' + _numbers(run, metric)


def _numbers(run: _Run, metric: str) -> str:
    valid = [
        [number(_step(r), ","), number(_of(r, "loss"), ".3f"), number(_of(r, "value"), ".2f"), _time(r)]
        for r in run.valid
    ]
    shown = _thin(run.train, lambda record: _of(record, "loss"))
    train = [
        [
            number(_step(r), ","),
            number(_of(r, "loss"), ".3f"),
            number(_of(r, "learning_rate"), ".3g"),
            number(_of(r, "gradient_norm"), ".3g"),
            number(_of(r, "time.tokens_per_second"), ",.0f"),
            _time(r),
        ]
        for r in shown
    ]
    some = f"{len(shown):,} of {len(run.train):,} log lines" if len(shown) < len(run.train) else "every log line"
    parts = ""
    if valid:
        head = ["step", "held-out loss", metric, "time"]
        parts += details("The numbers of the validations", table("Validations", head, valid))
    if train:
        head = ["step", "training loss", "learning rate", "gradient norm", "tokens/s", "time"]
        parts += details("The numbers of the training", table(f"Training: {some}", head, train))
    return parts


def _time(record: Mapping[str, Any]) -> str:
    seconds = _of(record, "time.seconds")
    return number(seconds, shown="" if seconds is None else duration(seconds))


def _curve(records: Sequence[dict[str, Any]], field: str, name: str) -> Curve:
    found = [record for record in records if _of(record, field) is not None]
    thin = _thin(found, lambda record: _of(record, field))
    return Curve(name, [(_step(record), _of(record, field) or 0.0) for record in thin])


def _thin(
    records: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float | None]
) -> Sequence[dict[str, Any]]:
    """At most about `_POINTS` of them: from each stretch its lowest and its highest, so that no peak is lost."""
    if len(records) <= _POINTS:
        return records
    size = -(-2 * len(records) // _POINTS)
    kept: list[dict[str, Any]] = []
    for begin in range(0, len(records), size):
        stretch = records[begin : begin + size]
        ends = {id(min(stretch, key=lambda r: value(r) or 0.0)), id(max(stretch, key=lambda r: value(r) or 0.0))}
        kept += [record for record in stretch if id(record) in ends]
    return kept


def _examples(run: _Run) -> str:
    """Each example once, with what the model made of it from validation to validation."""
    shown = [(_step(record), record["examples"]) for record in run.valid if isinstance(record.get("examples"), list)]
    if not shown:
        return ""
    parts = ["<p>Held-out inputs, which the model never learned from. Steps with the same output stand together.</p>"]
    for place, example in enumerate(shown[-1][1]):
        right = str(example.get("reference", ""))
        outputs = [(step, str(some[place].get("output", ""))) for step, some in shown if place < len(some)]
        rows = []
        for output, group in groupby(outputs, key=lambda pair: pair[1]):
            steps = [step for step, _ in group]
            when = number(steps[0], ",") + (f" – {number(steps[-1], ',')}" if len(steps) > 1 else "")
            cell = prose(output) if output else '<span class="soft">(nothing)</span>'
            rows.append([when, cell + (' <span class="good">✓ right</span>' if output == right else "")])
        parts.append(
            f'<article class="pair"><h3>Example {place + 1}</h3>'
            f"<dl><dt>input</dt>{prose(example.get('source', ''), 'dd')}<dt>right</dt>{prose(right, 'dd')}</dl>"
            + table(f"Outputs for example {place + 1}", ["step", "output"], rows)
            + "</article>\n"
        )
    return "".join(parts)


def _judgements(run: _Run) -> str:
    if not run.valid:
        return ""
    rows = [[number(_step(r), ","), prose(r["judgement"])] for r in run.valid if r.get("judgement")]
    few = sum((_of(record, "judged") or FEW) < FEW for record in run.valid)
    quiet = f"{len(run.valid) - len(rows):,} of {len(run.valid):,} validations found nothing wrong"
    quiet += f", {few:,} of all had too few outputs to tell more than whether it overfits" if few else ""
    watched = "whether the outputs ignore the input, copy it or repeat themselves, and whether the model overfits"
    said = f"<p>After each validation it is asked {watched}. {quiet}.</p>"
    return said + (table("What was found", ["step", "judgement"], rows) if rows else "")


def _settings(run: _Run) -> str:
    """First what was chosen from the data, with the reasons; then all the rest, room by room."""
    settings, reasons = _settings_of(run), _reasons(run.recipe)
    fields = [field for field in dataclasses.fields(Settings) if field.name in reasons]
    planned = [field for field in fields if reasons[field.name] != field.metadata["text"]]

    def rows(some: Sequence[Any]) -> list[list[str]]:
        return [[_assignment(field.name, getattr(settings, field.name)), prose(reasons[field.name])] for field in some]

    parts = []
    if planned:
        parts.append(table("Chosen from the data and the machine", ["setting", "why"], rows(planned)))
    rest = [field for field in fields if field not in planned]
    for room, group in groupby(rest, key=lambda field: str(field.metadata["room"])):
        parts.append(details(f"{room}: the others", table(room, ["setting", "what it means"], rows(list(group)))))
    return "\n".join(parts)


def _settings_of(run: _Run) -> Settings:
    """Those of the saved state: a resumed run may have changed what `settings.toml` says."""
    try:
        return resolve(_table(run.about, "settings"), "settings")
    except Seq2xError:
        return Settings()


def _reasons(recipe: str) -> dict[str, str]:
    """Setting -> the comment above it in `settings.toml`."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in recipe.splitlines():
        if line.startswith("# ") and not line.startswith("# ----"):
            comment.append(line[2:].strip())
            continue
        name, equals, _ = line.partition(" = ")
        if equals and comment:
            found[name] = " ".join(comment)
        comment = []
    return found


def _assignment(name: str, value: object) -> str:
    shown = "auto" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"<code>{visible(f'{name} = {shown}')}</code>"


def _machine(run: _Run) -> str:
    facts = {"seq2x": run.writer.removeprefix("seq2x "), "Python": platform.python_version()}
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts |= {name: str(value) for name, value in _table(run.about, "conditions").items()}
    if run.about.get("data"):
        facts["sha256 of the data"] = str(run.about["data"])
    if run.about.get("parent"):
        facts["began from"] = str(run.about["parent"])
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    name = "seq2x" if program == "__main__.py" else program
    facts["command"] = shlex.join([name, *sys.argv[1:]])
    rows = [[visible(name), f"<code>{visible(value)}</code>"] for name, value in facts.items() if value]
    note = '<p class="soft">With the same data, settings, threads, torch and processor the run comes out the same.</p>'
    return table("What the run was made with", ["what", "which"], rows) + note


def _log(run: _Run) -> str:
    """The lines of `log.txt` before the first validation: the data, the plan, the probe."""
    lines = list(takewhile(lambda line: not line.startswith("step "), run.log.splitlines()))
    return details("About the data, the plan and the model", _list(lines[:200])) if lines else ""


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{prose(line)}</li>' for line in lines)}</ul>" if lines else ""
