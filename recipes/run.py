"""Train a recipe, evaluate it, and append what came out to `results.jsonl`.

    python recipes/run.py cmudict --out ~/runs/cmudict     # resumes where it was stopped
    python recipes/run.py --table                          # README.md's table from results.jsonl alone
    python recipes/run.py --list

Needs the installed package and the data, found through the environment variable SEQ2X_DATA.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Test:
    """One set to evaluate on: a file of the data, which columns, which of its lines, and the metrics to report."""

    name: str
    file: str
    metrics: Sequence[str]
    reverse: bool = False
    keep: Callable[[Sequence[Pair]], Iterable[Pair]] = tuple
    label: int = 0
    """Of a CoNLL file: which column is the label."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe is judged by; the settings stand in NAME.toml."""

    published: str
    tests: Sequence[Test]
    conll: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """TSV files to make first, in the folder `${SEQ2X_TAGGED}`: name -> (a CoNLL file, which column is the label)."""


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

_POS = {"train.tsv": ("pos/ud_en_ewt/train.conll.gz", 1)}
_POS_TESTS = [Test("dev", "pos/ud_en_ewt/dev.conll", ["accuracy", "exact_match"], label=1)]
_NER = {"train.tsv": ("ner/resume_zh/train.conll.gz", 1)}
_NER_TESTS = [Test("dev", "ner/resume_zh/dev.conll", ["accuracy", "exact_match"], label=1)]

RECIPES = {
    "pos-hmm": Recipe("-", _POS_TESTS, _POS),
    "pos-hmm-trigram": Recipe("-", _POS_TESTS, _POS),
    "pos-lstm": Recipe("-", _POS_TESTS, _POS),
    "pos-lstm-crf": Recipe("-", _POS_TESTS, _POS),
    "ner-hmm": Recipe("-", _NER_TESTS, _NER),
    "ner-lstm": Recipe("-", _NER_TESTS, _NER),
    "ner-lstm-crf": Recipe("-", _NER_TESTS, _NER),
    "cmudict-small": Recipe("-", _SMALL),
    "cmudict-small-location": Recipe("-", _SMALL),
    "cmudict-small-coverage": Recipe("-", _SMALL),
    "cmudict": Recipe(
        "Transformer 22.1 % word errors (Yolchuyeva et al. 2019, another split)",
        [
            Test("dev, unseen words", "g2p/cmudict/dev.tsv", ["word_errors", "per"], keep=_words_of_cmudict(False)),
            Test("dev, words of train", "g2p/cmudict/dev.tsv", ["word_errors", "per"], keep=_words_of_cmudict(True)),
        ],
    ),
    "multi30k-en-de-tiny": Recipe("41.02 BLEU, 2016 test, tokenised (Wu et al. 2021)", _TOKENISED),
    "multi30k-en-de-gru-attention": Recipe("28.3 BLEU de-en, 2016 test (bentrevett/pytorch-seq2seq)", _TOKENISED),
    "multi30k-en-de-gru-context": Recipe("20.6 BLEU de-en, 2016 test (bentrevett/pytorch-seq2seq)", _TOKENISED),
    "multi30k-en-de-fast": Recipe("36.3 BLEU on dev after 14 minutes (transformers' MarianMTModel here)", _RAW),
    "tatoeba-en-zh": Recipe("-", [Test("dev", "mt/tatoeba_en-zh/dev.tsv", ["bleu", "chrf"])]),
    "tatoeba-zh-en": Recipe("-", [Test("dev", "mt/tatoeba_en-zh/dev.tsv", ["bleu", "chrf"], reverse=True)]),
}


def _data(name: str) -> Path:
    root = os.environ.get("SEQ2X_DATA")
    if not root:
        sys.exit("SEQ2X_DATA is not set: it names the folder that holds g2p/, mt/, ...")
    return Path(root) / name


def _pairs(file: str, reverse: bool = False) -> list[Pair]:
    raw = _data(file).read_bytes()
    text = (gzip.decompress(raw) if file.endswith(".gz") else raw).decode("utf-8")
    rows = [tuple(line.split("\t")) for line in text.split("\n") if line]
    return [(b, a) if reverse else (a, b) for a, b in rows]


def _sentences(file: str, label: int) -> Iterable[Pair]:
    """Tokens and labels of each sentence of a CoNLL file: a word a line, columns by TAB or blank."""
    words: list[tuple[str, str]] = []
    raw = _data(file).read_bytes()
    for line in [*(gzip.decompress(raw) if file.endswith(".gz") else raw).decode("utf-8").split("\n"), ""]:
        columns = line.split("\t") if "\t" in line else line.split(" ")
        if line.strip():
            words.append((columns[0].strip().replace(" ", "_") or "_", columns[label].strip()))
        elif words:
            yield " ".join(word for word, _ in words), " ".join(tag for _, tag in words)
            words = []


def _make_tagged(recipe: Recipe, folder: Path) -> None:
    """The TSV files of a recipe of CoNLL data, where the recipe looks for them."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["SEQ2X_TAGGED"] = str(folder)
    for name, (file, label) in recipe.conll.items():
        rows = "".join(f"{tokens}\t{labels}\n" for tokens, labels in _sentences(file, label))
        (folder / name).write_text(rows, encoding="utf-8")


def _seq2x(*arguments: str) -> str:
    """Run the command line as a user would; its progress goes to the terminal."""
    done = subprocess.run([sys.executable, "-m", "seq2x", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"seq2x {' '.join(arguments)} ended with exit code {done.returncode}")
    return done.stdout


def _evaluate(run: Path, test: Test) -> dict[str, object]:
    """Metrics of one test set, through `seq2x evaluate` on raw strings."""
    file = run / "tests" / f"{test.name.replace(', ', '-').replace(' ', '-')}.tsv"
    file.parent.mkdir(exist_ok=True)
    rows = list(test.keep(list(_sentences(test.file, test.label)) if test.label else _pairs(test.file, test.reverse)))
    file.write_text("".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")
    wanted = [word for metric in test.metrics for word in ("--metric", metric)]
    wanted += ["--columns", "source=1,target=2"]  # as just written, whatever the files were that the run was trained on
    return {"items": len(rows), **json.loads(_seq2x("evaluate", str(run), str(file), "--json", *wanted))["results"]}


def train(name: str, out: Path, extra: Sequence[str]) -> None:
    """Train recipe `name` into `out`, or go on where it was stopped; evaluate; append the result."""
    recipe = RECIPES[name]
    if recipe.conll:
        _make_tagged(recipe, out.with_name(f"{out.name}-data"))
    _seq2x("train", str(HERE / f"{name}.toml"), "--out", str(out), *extra)
    info = json.loads(_seq2x("info", str(out), "--json"))
    seconds = [json.loads(line)["time"]["seconds"] for line in (out / "metrics.jsonl").open(encoding="utf-8")]
    settings = tomllib.loads((out / "settings.toml").read_text(encoding="utf-8"))
    state = json.loads((out / "last" / "manifest.json").read_text(encoding="utf-8"))
    began = time.monotonic()
    tests = {test.name: _evaluate(out, test) for test in recipe.tests}
    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    row = {
        "recipe": name,
        "commit": commit.stdout.strip(),
        "seed": settings["seed"],
        "steps": info["step"],
        "parameters": info["parameters"],
        "train_seconds": round(max(seconds)),
        "threads": settings["threads"] or os.cpu_count(),
        **{name: state["about"]["conditions"][name] for name in ("device", "processor")},
        "precision": settings["precision"],
        "evaluate_seconds": round(time.monotonic() - began),
        "published": recipe.published,
        "tests": tests,
        "versions": {package: version(package) for package in ("torch", "tokenizers", "sacrebleu")},
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    write_table()
    print(json.dumps(row, ensure_ascii=False, indent=2))


def write_table() -> None:
    """README.md's table, from results.jsonl alone; the last run of a recipe and seed counts."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    newest = {(row["recipe"], row["seed"]): row for row in rows}
    lines = [
        "| recipe | test set (items) | result [95 % interval] | published "
        "| steps | minutes | trained on | precision | parameters | seed | commit |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, seed), row in sorted(newest.items()):
        cpu = row.get("device", "cpu") == "cpu"
        processor = row.get("processor", "CPU").replace("(R)", "")
        where = f"{processor}, threads: {row.get('threads', 2)}" if cpu else row["device"]
        for test, values in row["tests"].items():
            scores = "; ".join(
                f"{metric} {value['value']:.2f} [{value['interval'][0]:.2f}-{value['interval'][1]:.2f}]"
                for metric, value in values.items()
                if metric != "items"
            )
            lines.append(
                f"| `{name}` | {test} ({values['items']:,}) | {scores} | {row['published']} | {row['steps']:,} "
                f"| {row['train_seconds'] / 60:.0f} | {where} | {row.get('precision', 'bf16')} "
                f"| {row['parameters'] / 1e6:.1f} M | {seed} | {row['commit']} |"
            )
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- /table -->")
    table = "\n".join(lines) + "\n"
    readme.write_text(f"{before}<!-- table -->\n{table}<!-- /table -->{after}", encoding="utf-8")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="?", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE)")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments, extra = parser.parse_known_args()
    if arguments.table:
        write_table()
    elif arguments.recipe is None or arguments.list:
        for name, recipe in RECIPES.items():
            print(f"{name:32} published: {recipe.published}")
    else:
        train(arguments.recipe, arguments.out or Path("runs") / arguments.recipe, extra)


if __name__ == "__main__":
    main()
