"""Data that is not pairs of lines yet: made into TSV files in a cache folder, once, by what a recipe names.

    python recipes/adapters.py NAME        # writes $SEQ2X_CACHE/NAME/train.tsv and dev.tsv, by default ~/.cache/seq2x

Questions with SQL     values stand apart from their quotes, so that a word of the question is a word of the SQL
CMRC 2018              a question and those sentences of its paragraph that share most with it -> the answer
SciTLDR                an abstract whose sentences are numbered -> the number of the one nearest to the summary
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["ADAPTERS", "cache", "make"]

Pair = tuple[str, str]

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
    """The lines of a file that may be compressed."""
    packed = stem.with_name(f"{stem.name}.gz")
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else stem.read_bytes()
    return [line for line in text.decode("utf-8").split("\n") if line]


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
}


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        make(wanted, Path(os.environ["SEQ2X_DATA"]))
