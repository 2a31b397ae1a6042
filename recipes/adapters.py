"""Data that is not pairs of lines yet: made into TSV files in a cache folder, once, by what a recipe names.

    python recipes/adapters.py NAME        # writes $SEQ2X_CACHE/NAME/train.tsv and dev.tsv, by default ~/.cache/seq2x

Questions with SQL     values stand apart from their quotes, so that a word of the question is a word of the SQL
CMRC 2018              a question and those sentences of its paragraph that share most with it -> the answer
SciTLDR                an abstract whose sentences are numbered -> the number of the one nearest to the summary
CoNLL columns          the tokens of a sentence -> their labels
Inflection             letters and features of a lemma -> the letters of the form
Historical spelling    50,000 words, spread evenly over all texts -> their modern spelling
SCAN                   commands whose "jump" stands alone; evaluated on those of the other split where it does not
Multi30k               with links, with noise, a quarter of it; by a run of another recipe, in the folder RUNS of the
                       environment: with a teacher's outputs, or with back-translations
"""

from __future__ import annotations

import atexit
import gzip
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["ADAPTERS", "cache", "make"]

Pair = tuple[str, ...]

_READ = 160  # characters of a paragraph that a question is answered from
_LONGEST = 60  # words of a sentence that are read
_NUMBERED = 20  # sentences of an abstract


def cache() -> Path:
    """Where what is made lies; not in the repository."""
    return Path(os.environ.get("SEQ2X_CACHE") or Path.home() / ".cache" / "seq2x")


def make(name: str, data: Path) -> None:
    """Write the files of adapter `name` from the folder `data`, unless they are there."""
    folder = cache() / name
    for part in ("train", "dev"):
        if (file := folder / f"{part}.tsv").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        waiting = file.with_suffix(".part")
        rows = ("\t".join(" ".join(text.split()) for text in pair) for pair in ADAPTERS[name](data, part))
        waiting.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        waiting.replace(file)


def _lines(stem: Path) -> list[str]:
    """The lines of a file that may be compressed, empty ones left out."""
    return [line for line in _text(stem).split("\n") if line]


def _text(stem: Path) -> str:
    packed = stem.with_name(f"{stem.name}.gz")
    return (gzip.decompress(packed.read_bytes()) if packed.exists() else stem.read_bytes()).decode("utf-8")


# ------------------------------------------------------------------ SQL


def _sql(folder: str) -> Callable[[Path, str], Iterator[Pair]]:
    def pairs(data: Path, part: str) -> Iterator[Pair]:
        for line in _lines(data / folder / f"{part}.tsv"):
            question, query = line.split("\t")
            yield question, re.sub(r'"([^"]*)"', r' " \1 " ', query)

    return pairs


# ------------------------------------------------------------------ CMRC 2018


def _cmrc2018(data: Path, part: str) -> Iterator[Pair]:
    for line in _lines(data / "qa/cmrc2018" / f"{part}.jsonl"):
        paragraph = json.loads(line)
        sentences = [one for one in re.split(r"(?<=[。！？；])", paragraph["context"]) if one.strip()]
        for question in paragraph["qas"]:
            read = _near(question["question"], sentences)
            for answer in dict.fromkeys(answer["text"] for answer in question["answers"]):
                yield f"{question['question']}｜{read}", answer


def _near(question: str, sentences: list[str]) -> str:
    """Sentences that share most pairs of characters with the question, weighed by how rare these are in the paragraph,
    in their own order, as long as there is room.
    """
    asked = set(_pairs_of(question))
    common = Counter(pair for sentence in sentences for pair in set(_pairs_of(sentence)))
    scores = [sum(1 / common[pair] for pair in asked & set(_pairs_of(sentence))) for sentence in sentences]
    chosen: list[int] = []
    room = _READ
    for number in sorted(range(len(sentences)), key=lambda number: -scores[number]):
        if len(sentences[number]) <= room:
            chosen.append(number)
            room -= len(sentences[number])
    return "".join(sentences[number] for number in sorted(chosen)) or sentences[0][:_READ]


def _pairs_of(text: str) -> Iterable[str]:
    return (text[i : i + 2] for i in range(len(text) - 1))


# ------------------------------------------------------------------ CoNLL


def _conll(stem: str, label: int) -> Callable[[Path, str], Iterator[Pair]]:
    """A word a line, columns by TAB or blank, an empty line between sentences; `label`: the column of the label."""

    def pairs(data: Path, part: str) -> Iterator[Pair]:
        text = _text(data / stem / f"{part}.conll")
        words: list[tuple[str, str]] = []
        for line in [*text.split("\n"), ""]:
            columns = line.split("\t") if "\t" in line else line.split(" ")
            if line.strip():
                words.append((columns[0].strip().replace(" ", "_") or "_", columns[label].strip()))
            elif words:
                yield " ".join(word for word, _ in words), " ".join(tag for _, tag in words)
                words = []

    return pairs


# ------------------------------------------------------------------ words as letters


def _inflection(language: str) -> Callable[[Path, str], Iterator[Pair]]:
    """A letter is a symbol, and so is a feature: `V;PST` and `b e` -> `w a s`."""

    def pairs(data: Path, part: str) -> Iterator[Pair]:
        for line in _lines(data / "inflection/sigmorphon2023" / f"{language}_{part}.tsv"):
            lemma, features, form = line.split("\t")
            marks = (f"<{feature}>" for feature in re.split(r"[;,()]+", features) if feature)
            yield " ".join((*marks, _letters(lemma))), _letters(form)

    return pairs


def _letters(word: str) -> str:
    return " ".join(word.replace(" ", "␣"))


_WORDS_OF_TEXT = 50_000  # what the published figures are for; which ones is not said


def _histnorm(data: Path, part: str) -> Iterator[Pair]:
    """The first ones would be those of a few manuscripts, and leave a quarter of dev's words unseen in the place of a
    sixth.
    """
    pairs = [tuple(line.split("\t")) for line in _lines(data / f"normalisation/histnorm/german-anselm/{part}.tsv")]
    if part == "train":
        pairs = [pairs[number * len(pairs) // _WORDS_OF_TEXT] for number in range(_WORDS_OF_TEXT)]
    yield from pairs


# ------------------------------------------------------------------ SCAN


def _scan_jump(data: Path, part: str) -> Iterator[Pair]:
    """The commands to evaluate on are those of the `simple` split's training part that are no part of `addprim_jump`'s:
    6,218 of the 7,706 that the paper tests on, and no others.
    """
    stem = "semparse/scan/{}_train.tsv"
    train = [tuple(line.split("\t")) for line in _lines(data / stem.format("addprim_jump"))]
    if part == "train":
        yield from train
    else:
        simple = (tuple(line.split("\t")) for line in _lines(data / stem.format("simple")))
        yield from sorted(set(simple) - set(train))


# ------------------------------------------------------------------ Multi30k

_MULTI30K = Path("mt/multi30k/en-de")


def _multi30k(data: Path, part: str) -> list[Pair]:
    return [tuple(line.split("\t")) for line in _lines(data / _MULTI30K / f"{part}.tsv")]


def _aligned(data: Path, part: str) -> Iterator[Pair]:
    """With the links of `seq2x align` as a third column."""
    import seq2x

    pairs = _multi30k(data, part)
    for pair, links in zip(pairs, seq2x.align(_written(pairs)), strict=True):
        yield (*pair, " ".join(f"{i}-{j}" for i, j in links))


def _noisy(data: Path, part: str) -> Iterator[Pair]:
    """Every pair, and every pair once more with a tenth of the source's words left out and others moved."""
    import seq2x.augment

    file = _written(_multi30k(data, part))
    yield from _read(seq2x.augment.noise(file, file.with_name("out.tsv"), drop=0.1, swap=3, keep=part == "train").out)


def _distilled(data: Path, part: str) -> Iterator[Pair]:
    """What the run of `multi30k-en-de-fast` writes in the place of the targets, for training."""
    import seq2x.augment

    pairs = _multi30k(data, part)
    if part == "train":
        file, teacher = _written(pairs), Path(os.environ["RUNS"]) / "multi30k-en-de-fast"
        yield from _read(seq2x.augment.distill(teacher, file, file.with_name("out.tsv"), beam_size=5).out)
    else:
        yield from pairs


def _quarter(data: Path, part: str) -> Iterator[Pair]:
    """The first quarter of the pairs."""
    pairs = _multi30k(data, part)
    yield from pairs[: len(pairs) // 4] if part == "train" else pairs


def _back_translated(data: Path, part: str) -> Iterator[Pair]:
    """The first quarter, and of the rest the targets, whose sources the run of `multi30k-de-en-quarter` makes."""
    import seq2x.augment

    yield from _quarter(data, part)
    if part == "train":
        pairs = _multi30k(data, part)
        texts = _written([(target,) for _, target in pairs[len(pairs) // 4 :]])
        run = Path(os.environ["RUNS"]) / "multi30k-de-en-quarter"
        yield from _read(seq2x.augment.back(run, texts, texts.with_name("out.tsv"), beam_size=1).out)


def _written(rows: Iterable[Pair]) -> Path:
    """A file of these rows, in a folder of its own that ends with the program."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    file = Path(folder) / ("in.tsv" if len(next(iter(rows))) > 1 else "in.txt")
    file.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _read(file: Path) -> Iterator[Pair]:
    return (tuple(line.split("\t")) for line in _lines(file))


# ------------------------------------------------------------------ SciTLDR


def _scitldr(data: Path, part: str) -> Iterator[Pair]:
    for line in _lines(data / "summarisation/scitldr" / f"{part}.jsonl"):
        paper: Mapping[str, Any] = json.loads(line)
        sentences = [_words(sentence) for sentence in paper["abstract"][:_NUMBERED]]
        summaries = [_words(summary) for summary in paper["tldrs"]]
        best = max(range(len(sentences)), key=lambda k: max(_shared(sentences[k], one) for one in summaries))
        numbered = (f"§{k + 1} {' '.join(words[:_LONGEST])}" for k, words in enumerate(sentences))
        yield " ".join(numbered), f"§{best + 1}"


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _shared(sentence: list[str], summary: list[str]) -> float:
    """F1 of their words and of their pairs of words, added up: near to ROUGE-1 and ROUGE-2."""
    total = 0.0
    for n in (1, 2):
        ours, theirs = (
            Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in (sentence, summary)
        )
        total += 2 * (ours & theirs).total() / max(ours.total() + theirs.total(), 1)
    return total


ADAPTERS: Mapping[str, Callable[[Path, str], Iterator[Pair]]] = {
    "geoquery_sql": _sql("semparse/geoquery_sql"),
    "atis_sql": _sql("semparse/atis_sql"),
    "cmrc2018": _cmrc2018,
    "scitldr": _scitldr,
    "ud_en_ewt": _conll("pos/ud_en_ewt", 1),
    "resume_zh": _conll("ner/resume_zh", 1),
    "sigmorphon2023_tur": _inflection("tur"),
    "histnorm_anselm_spread": _histnorm,
    "scan_jump": _scan_jump,
    "multi30k_aligned": _aligned,
    "multi30k_noisy": _noisy,
    "multi30k_distilled": _distilled,
    "multi30k_quarter": _quarter,
    "multi30k_back": _back_translated,
}


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        make(wanted, Path(os.environ["SEQ2X_DATA"]))
