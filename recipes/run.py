"""Train a recipe, evaluate it, and append what came out to `results.jsonl`.

    python recipes/run.py cmudict --out ~/runs/cmudict     # resumes where it was stopped
    python recipes/run.py --table                          # README.md's tables from results.jsonl alone
    python recipes/run.py --list

Needs the installed package and the data, found through the environment variable SEQ2X_DATA. What is made of it lies in
SEQ2X_CACHE, by default ~/.cache/seq2x (see `adapters.py`). A recipe that goes on from another's run (`from`) finds it
in the folder RUNS of the environment, by default the one that the new run stands in.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import adapters
import tables

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Test:
    """One set to evaluate on: a file of the data, which columns, which of its lines, and the metrics to report.

    `made`: it is a file that the recipe's adapter makes. `texts`: its lines are texts that stand alone. `helps`: what
    is evaluated is the run of that recipe, in the folder beside, with the run that was trained as its language model.
    `phrases`: each output has to hold the rarest word of its reference, as terms of a glossary are given.
    """

    name: str
    file: str
    metrics: Sequence[str]
    reverse: bool = False
    keep: Callable[[Sequence[Pair]], Iterable[Pair]] = tuple
    made: bool = False
    texts: bool = False
    helps: str = ""
    phrases: bool = False


@dataclass(frozen=True)
class Recipe:
    """What a recipe is judged by; the settings stand in NAME.toml.

    `base`: the recipe that this one is to be compared with, because it is the same but for one idea. `adapter` makes
    its data, and that of its tests. `searched`: nothing is trained; the run of that recipe, in the folder beside, is
    evaluated with the settings of this one. `beside`: options that name another run -> the recipe of that run.
    `vocab_from`: the recipe of the run beside it whose vocabulary is taken.
    """

    published: str
    tests: Sequence[Test]
    adapter: str = ""
    base: str = ""
    searched: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    vocab_from: str = ""


def _words_of_cmudict(seen: bool) -> Callable[[Sequence[Pair]], Iterable[Pair]]:
    def keep(pairs: Sequence[Pair]) -> Iterable[Pair]:
        train = {source for source, _ in _pairs("g2p/cmudict/train.tsv.gz")}
        return [pair for pair in pairs if (pair[0] in train) == seen]

    return keep


_TOKENISED = [
    Test("dev", "mt/multi30k/en-de.lc.norm.tok/dev.tsv", ["bleu_tokens", "chrf"]),
    Test("devtest", "mt/multi30k/en-de.lc.norm.tok/devtest.tsv", ["bleu_tokens", "chrf"]),
]
_RAW = [
    Test("dev", "mt/multi30k/en-de/dev.tsv", ["bleu", "chrf"]),
    Test("devtest", "mt/multi30k/en-de/devtest.tsv", ["bleu", "chrf"]),
]

_SMALL = [Test("dev, unseen words", "g2p/cmudict/dev.tsv", ["word_errors", "per"], keep=_words_of_cmudict(False))]

_SQL = [Test("dev", "dev.tsv", ["exact_match"], made=True)]
_ANSWERS = [Test("dev", "dev.tsv", ["exact_match", "chrf"], made=True)]
_SENTENCES = [Test("dev", "dev.tsv", ["exact_match"], made=True)]
_WORDS = [Test("dev", "dev.tsv", ["exact_match", "cer"], made=True)]
_SPELLING = "82.2 to 84.5 % of the words (Bollmann 2019)"
_COPYING = "with copying 71 % exact match on the test set (Finegan-Dollak et al. 2018)"
_LONG_COPYING = "with copying 51 % exact match on the test set (Finegan-Dollak et al. 2018)"
_PTB = [Test("valid", "lm/ptb/ptb.valid.txt.gz", ["perplexity_word"], texts=True)]
_TAGS = [Test("dev", "dev.tsv", ["accuracy", "exact_match"], made=True)]

RECIPES = {
    "geoquery": Recipe(_COPYING, _SQL, "geoquery_sql"),
    "geoquery-copy": Recipe(_COPYING, _SQL, "geoquery_sql", base="geoquery"),
    "atis": Recipe(_LONG_COPYING, _SQL, "atis_sql"),
    "atis-copy": Recipe(_LONG_COPYING, _SQL, "atis_sql", base="atis"),
    "cmrc2018": Recipe("-", _ANSWERS, "cmrc2018"),
    "cmrc2018-pointer": Recipe("-", _ANSWERS, "cmrc2018", base="cmrc2018"),
    "scitldr": Recipe("-", _SENTENCES, "scitldr"),
    "scitldr-pointer": Recipe("-", _SENTENCES, "scitldr", base="scitldr"),
    "inflection-tr": Recipe("-", _WORDS, "sigmorphon2023_tur"),
    "inflection-tr-copy": Recipe("-", _WORDS, "sigmorphon2023_tur", base="inflection-tr"),
    "inflection-tr-monotonic": Recipe("-", _WORDS, "sigmorphon2023_tur", base="inflection-tr"),
    "histnorm-anselm": Recipe(_SPELLING, _WORDS, "histnorm_anselm_spread"),
    "histnorm-anselm-copy": Recipe(_SPELLING, _WORDS, "histnorm_anselm_spread", base="histnorm-anselm"),
    "histnorm-anselm-monotonic": Recipe(_SPELLING, _WORDS, "histnorm_anselm_spread", base="histnorm-anselm"),
    "scan-jump": Recipe("LSTM 1.2 % (Lake & Baroni 2018)", _SQL, "scan_jump"),
    "scan-jump-conv": Recipe("54.9 to 70.5 % over seeds (Dessì & Baroni 2019)", _SQL, "scan_jump", base="scan-jump"),
    "pos-hmm": Recipe("-", _TAGS, "ud_en_ewt"),
    "pos-hmm-trigram": Recipe("-", _TAGS, "ud_en_ewt", base="pos-hmm"),
    "pos-lstm": Recipe("-", _TAGS, "ud_en_ewt", base="pos-hmm"),
    "pos-lstm-crf": Recipe("-", _TAGS, "ud_en_ewt", base="pos-lstm"),
    "ner-hmm": Recipe("-", _TAGS, "resume_zh"),
    "ner-lstm": Recipe("-", _TAGS, "resume_zh", base="ner-hmm"),
    "ner-lstm-crf": Recipe("-", _TAGS, "resume_zh", base="ner-lstm"),
    "ptb-ngram": Recipe("about 141, test (Mikolov et al. 2011)", _PTB),
    "ptb-lstm-small": Recipe("RNN 124.7, medium LSTM 82.7, test (Zaremba et al. 2014)", _PTB, base="ptb-ngram"),
    "ptb-transformer-small": Recipe("-", _PTB, base="ptb-lstm-small"),
    "ptb-lstm-medium": Recipe("82.7, test; 86.2, valid (Zaremba et al. 2014)", _PTB, base="ptb-ngram"),
    "cmudict-small": Recipe("-", _SMALL),
    **{
        f"cmudict-small-{idea}": Recipe("-", _SMALL, base="cmudict-small")
        for idea in (
            "location", "coverage", "guided", "heads", "local", "monotonic", "monotonic-soft", "forward", "context",
            "conv", "backwards", "scheduled", "ctc", "general", "dot", "input-feeding", "alpha", "temperature", "mean",
            "sum", "gate", "local-m", "scaled",
        )
    },
    "cmudict-small-coverage-loss": Recipe("-", _SMALL, base="cmudict-small-coverage"),
    "cmudict-small-coupled": Recipe("-", _SMALL, base="cmudict-small-context"),
    "cmudict-small-lm": Recipe(
        "-", [replace(_SMALL[0], helps="cmudict-small")], base="cmudict-small", vocab_from="cmudict-small"
    ),
    "cmudict-small-rerank": Recipe(
        "-", _SMALL, base="cmudict-small", searched="cmudict-small", beside={"--rerank": "cmudict-small-backwards"}
    ),
    "cmudict-small-ensemble": Recipe(
        "-", _SMALL, base="cmudict-small", searched="cmudict-small", beside={"--ensemble": "cmudict-small-location"}
    ),
    "cmudict": Recipe(
        "Transformer 22.1 % word errors (Yolchuyeva et al. 2019, another split)",
        [
            Test("dev, unseen words", "g2p/cmudict/dev.tsv", ["word_errors", "per"], keep=_words_of_cmudict(False)),
            Test("dev, words of train", "g2p/cmudict/dev.tsv", ["word_errors", "per"], keep=_words_of_cmudict(True)),
        ],
    ),
    "multi30k-en-de-tiny": Recipe("41.02 BLEU, 2016 test, tokenised (Wu et al. 2021)", _TOKENISED),
    "multi30k-en-de-gru-attention": Recipe("28.3 BLEU de-en, 2016 test (bentrevett/pytorch-seq2seq)", _TOKENISED),
    "multi30k-en-de-gru-context": Recipe(
        "20.6 BLEU de-en, 2016 test (bentrevett/pytorch-seq2seq)", _TOKENISED, base="multi30k-en-de-gru-attention"
    ),
    "multi30k-en-de-fast": Recipe("36.3 BLEU on dev after 14 minutes (transformers' MarianMTModel here)", _RAW),
    "multi30k-en-de-mask-predict": Recipe("-", _RAW, base="multi30k-en-de-fast"),
    "multi30k-en-de-small": Recipe("-", _RAW),
    "multi30k-en-de-conv": Recipe("-", _RAW, base="multi30k-en-de-small"),
    **{
        f"multi30k-en-de-small-{idea}": Recipe("-", _RAW, base="multi30k-en-de-small")
        for idea in ("scheduled", "minimum-risk", "self-critical")
    },
    "multi30k-en-de-small-phrases": Recipe(
        "-",
        [replace(test, phrases=True) for test in _RAW],
        base="multi30k-en-de-small",
        searched="multi30k-en-de-small",
    ),
    "multi30k-en-de-small-aligned": Recipe("-", _RAW, "multi30k_aligned", base="multi30k-en-de-small"),
    "multi30k-en-de-small-noise": Recipe("-", _RAW, "multi30k_noisy", base="multi30k-en-de-small"),
    "multi30k-en-de-small-distilled": Recipe("-", _RAW, "multi30k_distilled", base="multi30k-en-de-small"),
    "multi30k-en-de-quarter": Recipe("-", _RAW, "multi30k_quarter"),
    "multi30k-de-en-quarter": Recipe("-", [replace(test, reverse=True) for test in _RAW], "multi30k_quarter"),
    "multi30k-en-de-quarter-back": Recipe("-", _RAW, "multi30k_back", base="multi30k-en-de-quarter"),
    **{
        f"multi30k-en-de-small-{way}": Recipe("-", _RAW, base="multi30k-en-de-small", searched="multi30k-en-de-small")
        for way in ("greedy", "coverage-penalty", "sample", "mbr", "mbr-beam")
    },
    "multi30k-en-de-small-mbr-diverse": Recipe(
        "-", _RAW, base="multi30k-en-de-small-mbr-beam", searched="multi30k-en-de-small"
    ),
    "multi30k-en-de-words": Recipe("-", _TOKENISED),
    "multi30k-en-de-words-sampled": Recipe("-", _TOKENISED, base="multi30k-en-de-words"),
    "tatoeba-en-zh": Recipe("-", [Test("dev", "mt/tatoeba_en-zh/dev.tsv", ["bleu", "chrf"])]),
    "tatoeba-zh-en": Recipe("-", [Test("dev", "mt/tatoeba_en-zh/dev.tsv", ["bleu", "chrf"], reverse=True)]),
}  # fmt: skip


def _data(name: str) -> Path:
    root = os.environ.get("SEQ2X_DATA")
    if not root:
        sys.exit("SEQ2X_DATA is not set: it names the folder that holds g2p/, mt/, ...")
    return Path(root) / name


def _pairs(file: str, reverse: bool = False, folder: Path | None = None) -> list[Pair]:
    raw = (folder / file if folder else _data(file)).read_bytes()
    text = (gzip.decompress(raw) if file.endswith(".gz") else raw).decode("utf-8")
    rows = [tuple(line.split("\t")) for line in text.split("\n") if line]
    return [(b, a) if reverse else (a, b) for a, b in rows]


def _seq2x(*arguments: str) -> str:
    """Run the command line as a user would; its progress goes to the terminal."""
    done = subprocess.run([sys.executable, "-m", "seq2x", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"seq2x {' '.join(arguments)} ended with exit code {done.returncode}")
    return done.stdout


def _evaluate(run: Path, test: Test, adapter: str, more: Sequence[str] = ()) -> dict[str, object]:
    """Metrics of one test set, through `seq2x evaluate` on raw strings, with `more` options."""
    folder = adapters.cache() / adapter if adapter else None
    file = run / "tests" / f"{test.name.replace(', ', '-').replace(' ', '-')}.tsv"
    file.parent.mkdir(exist_ok=True)
    wanted = [word for metric in test.metrics for word in ("--metric", metric)]
    if test.texts:
        file = _data(test.file)
    else:
        rows = list(test.keep(_pairs(test.file, test.reverse, folder if test.made else None)))
        file.write_text("".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")
        wanted += ["--columns", "source=1,target=2"]  # as just written, whatever files the run was trained on
    if test.helps:
        run, wanted = run.parent / test.helps, [*wanted, "--lm", str(run)]
    if test.phrases:
        return _with_phrases(run, file, rows, test.metrics)
    found = json.loads(_seq2x("evaluate", str(run), str(file), "--json", *wanted, *more))
    return {"items": found["items"], **found["results"]}


def _with_phrases(run: Path, file: Path, rows: Sequence[Pair], metrics: Sequence[str]) -> dict[str, object]:
    """Metrics of outputs that hold the rarest word of their references."""
    from seq2x.metrics import evaluate_pairs

    counts = Counter(word for _, target in rows for word in target.split())
    sources, phrases = file.with_suffix(".sources"), file.with_suffix(".phrases")
    sources.write_text("".join(f"{source}\n" for source, _ in rows), encoding="utf-8")
    words = (min(target.rstrip(".").split(), key=lambda word: (counts[word], -len(word))) for _, target in rows)
    phrases.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    outputs = _seq2x("predict", str(run), str(sources), "--require-file", str(phrases)).splitlines()
    found = {metric: evaluate_pairs(metric, outputs, [target for _, target in rows]) for metric in metrics}
    return {"items": len(rows), **{metric: asdict(result) for metric, result in found.items()}}


def train(name: str, out: Path, extra: Sequence[str]) -> None:
    """Train recipe `name` into `out`, or go on where it was stopped; evaluate; append the result. Of a recipe that only
    says how to search, `out` is where its run would stand: beside those that it names.
    """
    recipe = RECIPES[name]
    os.environ.setdefault("RUNS", str(out.resolve().parent))
    if recipe.adapter:
        os.environ["SEQ2X_CACHE"] = str(adapters.cache())
        adapters.make(recipe.adapter, _data(""))
    if recipe.vocab_from:
        extra = [*extra, "--vocab-from", str(out.parent / recipe.vocab_from)]
    if recipe.searched:
        run, more = out.parent / recipe.searched, [*_flags(HERE / f"{name}.toml"), *extra]
    else:
        _seq2x("train", str(HERE / f"{name}.toml"), "--out", str(out), *extra)
        run, more = out, []
    more += [word for option, other in recipe.beside.items() for word in (option, str(out.parent / other))]
    began = time.monotonic()
    tests = {test.name: _evaluate(run, test, recipe.adapter, more) for test in recipe.tests}
    row = {"recipe": name, **_trained(run), "evaluate_seconds": round(time.monotonic() - began)}
    if recipe.searched:
        row["train_seconds"] = 0
    row |= {"published": recipe.published, "tests": tests}
    row["versions"] = {package: version(package) for package in ("torch", "tokenizers", "sacrebleu")}
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    tables.write(RESULTS, _bases())
    print(json.dumps(row, ensure_ascii=False, indent=2))


def _flags(recipe: Path) -> list[str]:
    """The settings of a recipe as options of the command line."""
    return [
        word
        for setting, value in tomllib.loads(recipe.read_text(encoding="utf-8")).items()
        for word in ("--set", f"{setting}={str(value).lower() if isinstance(value, bool) else value}")
    ]


def _trained(run: Path) -> dict[str, object]:
    """What a row of the results says of how `run` was trained."""
    info = json.loads(_seq2x("info", str(run), "--json"))
    seconds = [json.loads(line)["time"]["seconds"] for line in (run / "metrics.jsonl").open(encoding="utf-8")]
    settings = tomllib.loads((run / "settings.toml").read_text(encoding="utf-8"))
    state = json.loads((run / "last" / "manifest.json").read_text(encoding="utf-8"))
    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "commit": commit.stdout.strip(),
        "seed": settings["seed"],
        "steps": info["step"],
        "parameters": info["parameters"],
        "train_seconds": round(max(seconds)),
        "threads": settings["threads"] or os.cpu_count(),
        **{name: state["about"]["conditions"][name] for name in ("device", "processor")},
        "precision": settings["precision"],
    }


def _bases() -> dict[str, str]:
    """Every recipe that has one -> its base."""
    return {name: recipe.base for name, recipe in RECIPES.items() if recipe.base}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="?", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE)")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments, extra = parser.parse_known_args()
    if arguments.table:
        tables.write(RESULTS, _bases())
    elif arguments.recipe is None or arguments.list:
        for name, recipe in RECIPES.items():
            print(f"{name:32} published: {recipe.published}")
    else:
        train(arguments.recipe, arguments.out or Path("runs") / arguments.recipe, extra)


if __name__ == "__main__":
    main()
