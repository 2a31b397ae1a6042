"""From a look at the data to every number that the user did not give, each with its reason.

Pure arithmetic over a `Profile`: no torch, no files, no clock. The rules are plain and few; they are written here so
that they can be read, and every choice carries the sentence that explains it. A setting that the user gave is
never changed; what follows from it does follow.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from seq2x.data.pairing import misfit
from seq2x.metrics import Fit, are_symbols, fit
from seq2x.settings import COUNTED, Settings, tags
from seq2x.types import Example

__all__ = ["Plan", "Profile", "Side", "estimate_seconds", "plan", "profile", "task_of"]

_SAMPLE = 20_000  # examples looked at; the first ones, every one of them in small data


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the data. Means are per line."""

    characters: int
    words: int
    mean_characters: float
    mean_words: float
    script: str
    symbols: bool  # blank-separated names out of a small fixed set: phones, tags, actions


@dataclass(frozen=True, slots=True)
class Profile:
    """What the plan knows about the data. `shared` is what the two
    sides' distributions of letters have in common, 0 to 1. Where texts stand `alone`, there is one side: the target."""

    pairs: int
    source: Side
    target: Side
    shared: float
    fit: Fit  # the metrics that fit the targets
    alone: bool = False
    labels: bool = False  # each target has a symbol of a small set for each token of its source

    @property
    def counted(self) -> str:
        """How many there are, in words."""
        return f"{self.pairs:,} {'texts' if self.alone else 'pairs'}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings without a gap, and for each chosen one its reason."""

    settings: Settings
    reasons: Mapping[str, str]


def task_of(settings: Settings) -> tuple[str, str]:
    """(the task, why): as told, else by a setting that is for taggers alone, else generate, which can do what any other
    task does. Data is no reason: names and their sounds, sums and their digits look like tokens and their labels.
    """
    if settings.task != "auto":
        return settings.task, "as told"
    if tags(settings):
        return "tag", "crf labels tokens" if settings.crf else "an HMM labels tokens"
    return "generate", "text on both sides"


def profile(examples: Iterable[Example], pairs: int | None = None, task: str = "generate") -> Profile:
    """Look at the first examples. `pairs`: how many there are in all (None: those given)."""
    sources: list[str] = []
    references: list[tuple[str, ...]] = []
    total = 0
    for total, example in enumerate(examples, 1):
        if total <= _SAMPLE:
            sources.append(example.source)
            references.append(example.targets)
    targets = [of_one[0] for of_one in references]
    if sources and not any(sources):
        side, pairs = _side(targets), total if pairs is None else pairs
        return Profile(
            pairs, side, side, 1.0, Fit(("loss",), "the log-probability of text that was held out"), alone=True
        )
    source, target = _side(sources), _side(targets)
    letters = [Counter(c for text in side for c in text.lower() if c.isalpha()) for side in (sources, targets)]
    common = _overlap(*letters)
    labels = target.symbols and not any(map(partial(misfit, "tag"), sources, targets))
    return Profile(
        total if pairs is None else pairs, source, target, common, fit(sources, references, task), labels=labels
    )


def _overlap(a: Counter[str], b: Counter[str]) -> float:
    """How much two distributions have in common: the sum over all letters of the smaller share."""
    sizes = max(a.total(), 1), max(b.total(), 1)
    return sum(min(a[letter] / sizes[0], b[letter] / sizes[1]) for letter in a.keys() & b.keys())


def plan(data: Profile, settings: Settings, *, device: str = "cpu") -> Plan:
    """Fill every gap in `settings` from `data`. `device`: "cpu" or "cuda" (which can afford more)."""
    given = _Given(settings)
    task, why = ("lm", "texts without a source") if data.alone else task_of(settings)
    if task == "generate" and data.labels:
        why += "; each line has as many labels as tokens: --task tag would label the tokens"
    given.choose("task", task, why)
    if task == "tag":
        _plan_tokens(given)
    else:
        _plan_text(data, given)
    given.choose("valid_metric", data.fit.metrics[0], data.fit.reason)
    if given["model"] in COUNTED:  # nothing of a training is to be chosen
        _plan_held_out(data, given)
        return Plan(given.settings, given.reasons)
    _plan_size(data, given, device)
    _plan_rates(data, given)
    _plan_steps(data, given, device)
    _plan_objective(data, given)
    return Plan(given.settings, given.reasons)


def estimate_seconds(
    settings: Settings, parameters: int, tokens_per_second: float | None = None, *, epoch: int = 0, held_out: int = 0
) -> tuple[float, str]:
    """Seconds of training and validation at most, and where the figure comes from.

    `epoch` and `held_out`: target tokens of all that is trained on (no update has more; 0: not known) and validated
    on. Producing a symbol takes about as long as training on one (measured: 7 M weights, 2 cores), per hypothesis.

    Work is 6 operations per weight and target token (forward 2, backward 4; Kaplan et al. 2020, eq. 2.2). Without a
    measured rate 2 processor cores are taken to do 60e9 useful operations per second.
    """
    steps, update = settings.max_steps or 0, settings.batch_tokens or 0
    looks = -(-steps // (settings.valid_steps or steps or 1))
    tokens = steps * (min(update, epoch) if epoch else update) + looks * held_out * settings.valid_beam_size
    if tokens_per_second:
        return tokens / tokens_per_second, f"measured here: {tokens_per_second:,.0f} target tokens per second"
    return tokens * 6.0 * parameters / 60e9, "assuming 60e9 operations per second; not measured"


class _Given:
    """Settings being filled: `choose` sets what is open, and remembers why."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reasons: dict[str, str] = {}

    def choose(self, name: str, value: Any, reason: str) -> None:
        if getattr(self.settings, name) in (None, "auto"):
            self.settings = dataclasses.replace(self.settings, **{name: value})
            self.reasons[name] = reason

    def __getitem__(self, name: str) -> Any:
        return getattr(self.settings, name)


# ------------------------------------------------------------------ text


_NO_BLANKS = ("han", "kana", "thai", "lao", "khmer", "myanmar")
_ENOUGH = 200_000  # pairs, for words to be learned in a script that does not say where they end
_SCRIPTS = {"CJK": "han", "HIRAGANA": "kana", "KATAKANA": "kana"}


def _side(texts: list[str]) -> Side:
    counts: Counter[str] = Counter()
    scripts: Counter[str] = Counter()
    vocabulary: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
        vocabulary.update(text.split())
    for character, number in counts.items():
        if character.isalpha():
            name = unicodedata.name(character, "OTHER").split()[0]
            scripts[_SCRIPTS.get(name, name.lower())] += number
    lines = max(len(texts), 1)
    words = sum(vocabulary.values())
    return Side(
        characters=len(counts),
        words=len(vocabulary),
        mean_characters=sum(map(len, texts)) / lines,
        mean_words=words / lines,
        script=scripts.most_common(1)[0][0] if scripts else "none",
        symbols=are_symbols(len(vocabulary), words, lines),
    )


def _units(side: Side, pairs: int, counted: str) -> tuple[str, str]:
    if side.symbols:
        return "word", f"{side.words} different blank-separated symbols: each is one"
    if side.script in _NO_BLANKS:  # how many words a line has cannot be seen there
        if pairs >= _ENOUGH:
            return "bpe", f"{side.script} script, {counted}: enough for frequent words to become symbols"
        return "char", f"{side.script} script without blanks; {counted} are few for learned words"
    if side.mean_words <= 2.0 or side.mean_characters <= 24:
        return "char", f"short texts ({side.mean_characters:.0f} characters on average): spelling matters"
    return "bpe", f"running text ({side.mean_words:.0f} words on average)"


def _plan_text(data: Profile, given: _Given) -> None:
    if data.alone:
        given.choose("joint_vocab", True, "there is one side")
    one = _one_vocabulary(given)
    _plan_units(data, given, one)
    if given["units"] == "auto" and given["source_units"] == given["target_units"]:
        given.choose("units", given["source_units"], "the same on both sides")
    same = given["source_units"] == given["target_units"]
    if not same:
        given.choose("joint_vocab", False, "different units on the two sides")
    elif one:
        given.choose("joint_vocab", True, one)
    elif data.shared >= 0.5 and given["source_units"] != "word":
        given.choose("joint_vocab", True, f"the two sides share {data.shared:.0%} of their letters")
    else:
        given.choose("joint_vocab", False, f"the two sides share only {data.shared:.0%} of their letters")
    for limit, size in ((5_000, 2_000), (20_000, 4_000), (50_000, 6_000), (200_000, 8_000), (1_000_000, 16_000)):
        if data.pairs <= limit:
            given.choose("vocab_size", size, f"at most; {data.counted} see each of so many symbols often enough")
    given.choose("vocab_size", 32_000, f"at most; {data.counted}")


def _plan_tokens(given: _Given) -> None:
    given.choose("model", "lstm", "it reads both directions, and learns from fewer lines than a Transformer")
    given.choose("units", "word", "a token is what stands between blanks")
    given.choose("source_units", "word", "a token, and its letters")
    given.choose("target_units", "word", "a label is one symbol")
    given.choose("joint_vocab", False, "a token is no label")


def _plan_units(data: Profile, given: _Given, one: str) -> None:
    """`one`: why both sides must be of one kind, if so. Then what can spell is preferred, words alone cannot."""
    names = ("source_units", "target_units")
    told = [given[name] for name in names if given[name] != "auto"]
    found = [_units(side, data.pairs, data.counted) for side in (data.source, data.target)]
    for name, (kind, reason) in zip(names, found, strict=True):
        if given["units"] != "auto":
            given.choose(name, given["units"], "as units says")
        elif one and told:
            given.choose(name, told[0], f"as on the other side: {one}")
        elif one and found[0][0] != found[1][0]:
            kind = max((of_one for of_one, _ in found), key=("word", "char", "bpe").index)
            given.choose(name, kind, f"on both sides: {one}")
        given.choose(name, kind, reason)


def _one_vocabulary(given: _Given) -> str:
    """Why both sides must have one vocabulary; nothing if they need not."""
    if given["tied"] == "all":
        return "tied = all is for one vocabulary"
    if given["copy"] != "none" and given["joint_vocab"] is None:
        return "what is copied then has one number on both sides"
    return "joint_vocab = true" if given["joint_vocab"] else ""


# ------------------------------------------------------------------ size


_PRESETS: dict[str, dict[str, int]] = {  # layers on each side, width, heads, feed-forward
    "tiny": {"layers": 2, "width": 128, "heads": 4, "feedforward": 512},
    "small": {"layers": 3, "width": 256, "heads": 4, "feedforward": 1024},
    "base": {"layers": 6, "width": 512, "heads": 8, "feedforward": 2048},
    "big": {"layers": 6, "width": 1024, "heads": 16, "feedforward": 4096},
}
_CONVOLUTIONS = {"tiny": (3, 128), "small": (4, 256), "base": (8, 512), "big": (12, 768)}  # layers, width
_RECURRENT = {"tiny": (1, 128), "small": (1, 256), "base": (2, 512), "big": (4, 1024)}  # layers, width


def _plan_size(data: Profile, given: _Given, device: str) -> None:
    pairs = data.pairs
    if pairs < 2_000:
        given.choose("preset", "tiny", f"{data.counted}: a small model learns them and does not only remember them")
    elif pairs < 500_000 or device == "cpu":
        given.choose("preset", "small", f"{data.counted}" + (" on a processor" if device == "cpu" else ""))
    elif pairs < 10_000_000:
        given.choose("preset", "base", f"{data.counted} on an accelerator")
    else:
        given.choose("preset", "big", f"{data.counted} on an accelerator")
    if given["decoder"] == "coupled":
        given.choose("model", "gru", "a coupled decoder is two recurrent cells")
    given.choose("model", "transformer", "trains fastest and is usually best")
    preset = given["preset"]
    if given["model"] == "transformer":
        for name, value in _PRESETS[preset].items():
            if name == "layers" and given["encoder_layers"] and given["decoder_layers"]:
                continue
            if name == "width" and given["heads"] and value % given["heads"]:
                value = _width(given["heads"], preset)
                given.choose(name, value, f"preset {preset}, as near as {given['heads']} heads of one even width allow")
            if name in ("heads", "feedforward") and given["width"] != _PRESETS[preset]["width"]:
                value = _heads(given, preset) if name == "heads" else 4 * given["width"]
            given.choose(name, value, f"preset {preset}")
    elif given["model"] == "conv":
        layers, width = _CONVOLUTIONS[preset]
        reach = layers * (given["kernel_width"] - 1) + 1
        given.choose("layers", layers, f"preset {preset}, convolutional: the last sees {reach} symbols")
        given.choose("width", width, f"preset {preset}, convolutional")
    else:
        layers, width = _RECURRENT[preset]
        if given["decoder"] == "coupled":
            given.choose("decoder_layers", 1, "a coupled decoder is two cells, one layer")
        elif given["context"] == "attention" and "every" in given["context_use"].split("+") and layers < 2:
            given.choose("layers", 2, "with attention the layers above the first read the context at every step")
        given.choose("layers", layers, f"preset {preset}, recurrent")
        given.choose("width", width, f"preset {preset}, recurrent")
    for limit, share in ((10_000, 0.3), (100_000, 0.2), (1_000_000, 0.1)):
        if pairs < limit:
            given.choose("dropout", share, f"{data.counted}: the fewer, the more")
    given.choose("dropout", 0.1, "the usual value for much data")


def _heads(given: _Given, preset: str) -> int:
    """The largest number of heads not above the preset's that divides the width, with rotary positions into even
    parts; 1 if there is none.
    """
    unit = 2 if given["positions"] == "rotary" else 1
    return next((h for h in range(_PRESETS[preset]["heads"], 0, -1) if given["width"] % (unit * h) == 0), 1)


def _width(heads: int, preset: str) -> int:
    """The width nearest to the preset's that so many heads of one even width share (rotary positions turn pairs), a
    multiple of 8, as processors like it.
    """
    unit = math.lcm(2 * heads, 8)
    return unit * max(1, round(_PRESETS[preset]["width"] / unit))


def _plan_rates(data: Profile, given: _Given) -> None:
    width = given["width"]
    if given["model"] == "transformer":
        rate = 0.0015 * math.sqrt(256 / width)
        rate = float(f"{min(rate, 0.002):.2g}")
        given.choose("learning_rate", rate, f"peak for width {width}: the wider, the lower")
    elif given["model"] == "conv":
        rate = float(f"{min(0.002 * math.sqrt(256 / width), 0.004):.2g}")
        given.choose("learning_rate", rate, f"peak for convolutions of width {width}: the wider, the lower")
    else:
        given.choose("learning_rate", 0.001, "a sound peak for recurrent models")


# ------------------------------------------------------------------ steps


def _tokens(side: Side, units: str, lower: int) -> float:
    """About how many symbols a line has, `</s>` counted."""
    if units == "word":
        return side.mean_words + 1
    if units in ("char", "byte"):
        return side.mean_characters + 1
    if side.script in _NO_BLANKS:
        return side.mean_characters / 1.6 + 1
    return min(side.mean_words * (1.15 if lower >= 6_000 else 1.3), side.mean_characters) + 1


def _plan_steps(data: Profile, given: _Given, device: str) -> None:
    per_line = _tokens(data.target, given["target_units"], given["vocab_size"])
    epoch = data.pairs * per_line
    most = 16_000 if device == "cuda" else 2_500
    tokens = int(min(max(epoch / 200, 512), most))
    tokens = max(64, round(tokens, -2))
    if epoch < tokens:
        why = f"more than all of the about {epoch:,.0f} target tokens: one update an epoch"
    else:
        why = f"about {epoch / tokens:,.0f} updates per epoch of about {epoch:,.0f} target tokens"
    given.choose("batch_tokens", tokens, why)
    updates = max(epoch / given["batch_tokens"], 1.0)
    epochs = _epochs(data.pairs)
    steps = _round(min(max(updates * epochs, 600), 200_000))
    given.choose("max_steps", steps, f"about {steps / updates:.0f} epochs at most; early stopping usually ends sooner")
    most = 600 if given["model"] == "transformer" else 200
    warmup = int(min(max(given["max_steps"] // 10, 50), most))
    given.choose("warmup_steps", warmup, f"the rate climbs for the first tenth of the steps, from 50 to {most}")
    valid = _round(min(max(given["max_steps"] / 25, 25), 2_000))
    given.choose("valid_steps", min(valid, given["max_steps"]), "about 25 looks at held-out data")
    _plan_held_out(data, given)


def _plan_held_out(data: Profile, given: _Given) -> None:
    if given["valid"] is None:
        size = max(1, min(500, data.pairs // 10))
        given.choose("valid_size", size, "held out of training: a tenth, 500 at most, which tell two models apart")


def _plan_objective(data: Profile, given: _Given) -> None:
    """What is open of an objective that is asked for; of others nothing is said."""
    if given["scheduled_sampling"] != "none":
        steps = max(1, given["max_steps"] // 2)
        given.choose("scheduled_steps", steps, "half of max_steps: the other half is learned as it ends")
    if given["objective"] != "likelihood":
        fitting = given["valid_metric"]
        why = "what validation measures"
        if fitting == "loss":
            fitting, why = data.fit.metrics[0], data.fit.reason
        given.choose("reward", fitting, why)


def _epochs(pairs: int) -> int:
    """Passes over the data: small data needs many, large data few."""
    for limit, epochs in ((2_000, 100), (10_000, 60), (50_000, 30), (200_000, 20), (1_000_000, 10)):
        if pairs < limit:
            return epochs
    return 5


def _round(number: float) -> int:
    """Two leading digits are enough."""
    number = max(number, 1.0)
    unit: int = 10 ** max(int(math.log10(number)) - 1, 0)
    return round(number / unit) * unit
