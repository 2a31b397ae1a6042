"""`seq2x info RUN`: what is in this folder, in plain words, every byte verified; torch is not needed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser
from seq2x.errors import escape
from seq2x.settings import COUNTED

if TYPE_CHECKING:
    from seq2x.saved import Saved

__all__ = ["HELP", "add", "run"]

HELP = "what is in a run folder"
_WEIGHTS = "weights.safetensors"
_TASKS = {"tag": "tokens in, a label for each out"}


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x info RUN [options]"
    parser.add_argument("run", metavar="RUN", help="a run folder, or its best/")


def run(arguments: argparse.Namespace) -> int:
    """Verify the folder and describe it."""
    from seq2x import run as runs
    from seq2x.predict import model_folder

    saved = runs.load(model_folder(arguments.run))
    facts = _facts(saved)
    if arguments.json:
        streams.write_json(facts)
    else:
        streams.write(_words(arguments.run, facts))
    return 0


def _facts(saved: Saved) -> dict[str, Any]:
    """Everything worth knowing, for machines."""
    weights = saved.tensors(_WEIGHTS)
    return {
        "folder": str(saved.path),
        "writer": saved.manifest.writer,
        "step": saved.step,
        "task": saved.json("task.json"),
        "model": saved.json("model.json"),
        "parameters": sum(int(array.size) for array in weights.values()),
        "source": _codec(saved, "source.json"),
        "target": _codec(saved, "target.json"),
        "about": dict(saved.about),
        "files": {record.file: record.bytes for record in saved.manifest.files.values()},
    }


def _codec(saved: Saved, name: str) -> dict[str, Any]:
    from seq2x.codecs.text import TextCodec

    codec = TextCodec.from_bytes(saved.read(name), saved.where(name))
    vocabulary = codec.vocabulary
    return {
        "units": codec.units,
        "symbols": codec.size,
        "normalise": vocabulary.normalise,
        "lower": vocabulary.lower,
    }


def _words(name: str, facts: dict[str, Any]) -> str:
    model, task = facts["model"], facts["task"]
    size = sum(facts["files"].values())
    end = ", from the end" if task.get("direction") == "right_to_left" else ""  # not in the first runs
    counted, reads = model["kind"] in COUNTED, _reads(model)
    lines = [
        f"{name}: {_what(model, task)} ({task['task']})",
        f"  made by    {facts['writer']}, after {_course(facts['step'], counted)}",
        f"  model      {_model(model)}" + _size(model, facts["parameters"]),
        f"  reads      {_side(facts['source'])}; at most {model['max_source_length']:,} {_pieces(task)}"
        if reads
        else "  reads      nothing: a line is how a text begins",
        f"  writes     {_side(facts['target'])}{end}",
        f"  judged by  {task['metric']}" + ("; lines with one source are one item" * (task["references"] == "merge")),
    ]
    if task["search"]:
        lines.append("  search     " + ", ".join(f"{key} = {value}" for key, value in task["search"].items()))
    about = facts["about"]
    if isinstance(about.get("value"), int | float):
        lines.append(f"  held out   {about.get('metric')} {about['value']:.2f}" + _loss(about.get("loss")))
    if about.get("parent"):
        lines.append(f"  began from {_short(about['parent'])}")
    lines.append(f"  files      {len(facts['files'])}, {_bytes(size)}; every sum agrees")
    return "\n".join(map(escape, lines)) + "\n"  # the folder may be somebody else's


def _course(step: int, counted: bool) -> str:
    """How long a run was trained."""
    return f"{step:,} {'pass' if step == 1 else 'passes'}" if counted else f"{step:,} updates"


def _reads(model: dict[str, Any]) -> bool:
    """Whether there is a source: not in a language model."""
    return bool(model.get("source", model["kind"] != "ngram"))  # not in the first runs


def _what(model: dict[str, Any], task: dict[str, Any]) -> str:
    return _TASKS.get(task["task"], "text in, text out") if _reads(model) else "a language model"


def _size(model: dict[str, Any], parameters: int) -> str:
    if model["kind"] == "ngram":
        return ""
    return f", {parameters:,} {'counts' if model['kind'] in COUNTED else 'weights'}"


def _ngrams(model: dict[str, Any]) -> str:
    order = len(model["grams"]) + 1
    return f"n-grams of up to {order} symbols, {model['target_size'] + sum(model['grams']):,} of them, Kneser-Ney"


def _model(model: dict[str, Any]) -> str:
    if model["kind"] == "hmm":
        return f"hidden Markov model of order {model['order']}"
    if model["kind"] == "ngram":
        return _ngrams(model)
    if model.get("head", "decoder") != "decoder":
        return _labeller(model)
    decoder, reads = model.get("decoder", "standard"), model.get("source", True)  # not in the first runs
    sides = [model["encoder_layers"]] * reads + [model["decoder_layers"]] * (decoder != "ctc")
    layers = f"{'+'.join(map(str, sides))} layers of width {model['width']}"
    written = _written(decoder, model)
    if model["kind"] == "transformer":
        return f"Transformer, {layers}, {model['heads']} heads{written}"
    if model["kind"] == "conv":
        return f"convolutions, {layers}, each sees {model['kernel_width']} positions{written}"
    if not reads:
        return f"{model['kind'].upper()}, {layers}"
    reading = "both directions" if model["bidirectional"] else "one direction"
    context = (
        f"{model['attention']} attention" if model["context"] == "attention" else f"one context ({model['context']})"
    )
    said = {"ctc": written, "coupled": f", {context}{written}"}.get(decoder, f", {context}")
    return f"{model['kind'].upper()}, {layers}, {reading}{said}"


def _written(decoder: str, model: dict[str, Any]) -> str:
    """How outputs are written, where it is not the usual way."""
    frames = model.get("ctc_upsample", 1)
    places = "" if frames == 1 else f", {frames} places for each source symbol"
    ways = {
        "coupled": ", coupled decoder",
        "mask_predict": ", writes all at once (mask_predict)",
        "ctc": f", writes in place (ctc{places})",
    }
    return ways.get(decoder, "")


def _labeller(model: dict[str, Any]) -> str:
    """An encoder, and what stands on it."""
    kind = {"transformer": "Transformer", "conv": "convolutions"}.get(model["kind"], model["kind"].upper())
    both = model["kind"] in ("transformer", "conv") or model["bidirectional"]
    head = "a CRF" if model["head"] == "crf" else "a softmax per token"
    return (
        f"{kind}, {model['encoder_layers']} layers of width {model['width']},"
        f" {'both directions' if both else 'one direction'}, {head}"
    )


def _pieces(task: dict[str, Any]) -> str:
    return "tokens at once" if task["task"] == "tag" else "symbols a line"


def _side(codec: dict[str, Any]) -> str:
    lower = ", lower-cased" if codec["lower"] else ""
    return f"{codec['symbols']:,} symbols ({codec['units']} units, {codec['normalise'].upper()}{lower})"


def _loss(value: Any) -> str:
    return f", loss {value:.3f}" if isinstance(value, int | float) else ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else streams.to_json(value)
    return text if len(text) <= 64 else text[:61] + "..."


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
