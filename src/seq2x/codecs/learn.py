"""Learning the pieces of a vocabulary from lines of text.

Subwords are learned by the `tokenizers` library. What it is given is counted, sorted and cut here, and what it gives
is put into one order, so that two processes learn the same bytes whatever their hash seeds and threads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from .pretokens import lead, pretokens
from .unicode import Form, normalise
from .vocabulary import MOST, Units, Unknown, Vocabulary

__all__ = ["learn"]

_LEAST = 2  # occurrences of a character or pair; what is rarer is spelled, which teaches the bytes something, too
_UNCOVERED = 1e-4  # share of the text's characters that may be left to bytes
_CHARACTERS = 0.75  # share of a subword vocabulary that characters may take (Chinese)
_LONGEST_PIECE = 16  # characters
_WHOLE = 4  # occurrences of a pretoken that is looked at as a piece by itself (unigram)
_PASSES = range(2, 17)  # of EM between two prunings: 2 are usual; few short texts need more to settle, and take no time
_PASS_WORK = 200_000  # characters of different pretokens that all of these passes may read
_ENOUGH = 20_000_000  # pretokens, counted with repetition; more teach nothing about pieces
_MANY = 4_000_000  # different pretokens; then the rarest are forgotten
_STEP = 1e-4  # nats between the scores that the library gives to characters it could not estimate
_DIGITS = 4  # of a stored log-probability: coarser than the noise of sums in another order


def learn(
    lines: Iterable[str],
    units: Units,
    size: int | None,
    form: Form = "nfc",
    lower: bool = False,
    unknown: Unknown = "bytes",
) -> Vocabulary:
    """The vocabulary of `lines` with at most `size` symbols (none: as many as the data supports).

    A `size` that the data cannot fill is not an error, and neither is one too small for anything but the bytes.
    """
    closed: Unknown = unknown if units == "word" else "bytes"  # only words can be outside a vocabulary
    empty = Vocabulary(units, (), (), (), form, lower, closed, size or 0)
    room = max(min(MOST, size if size is not None else MOST) - empty.offset, 0)
    pieces: tuple[str, ...] = ()
    merges: tuple[tuple[int, int], ...] = ()
    scores: tuple[float, ...] = ()
    texts = (normalise(line, form, lower) for line in lines)
    if units == "char":
        pieces = _characters(_count(texts, tuple), room)
    elif units == "word":
        pieces = _words(_count(texts, _split), room)
    elif units in ("bpe", "unigram"):
        counts = _count(texts, _pretokens)
        characters = _characters(_spread(counts), int(room * _CHARACTERS))
        if units == "bpe":
            pieces, merges = _bpe(counts, characters, room)
        else:
            pieces, scores = _unigram(counts, characters, room)
    return Vocabulary(units, pieces, merges, scores, form, lower, closed, size or 0)


# ------------------------------------------------------------------ counting


def _split(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def _pretokens(text: str) -> list[str]:
    return pretokens(lead(text))


def _count(texts: Iterable[str], cut: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(cut(text))
        if len(counts) > _MANY:
            counts = _without_rarest(counts, _MANY // 2)
    return counts


def _without_rarest(counts: Counter[str], most: int) -> Counter[str]:
    """At most `most` of `counts`: those seen once are forgotten, then those seen twice, and so on.

    Down to half of what made it necessary, so that it is seldom necessary again: cost stays linear, memory bounded.
    """
    least = 1
    while len(counts) > most:
        counts = Counter({item: n for item, n in counts.items() if n > least})
        least += 1
    return counts


def _spread(counts: Counter[str]) -> Counter[str]:
    """Counts of characters, from counts of the strings they stand in."""
    characters: Counter[str] = Counter()
    for text, n in counts.items():
        for char in text:
            characters[char] += n
    return characters


def _by_frequency(counts: Counter[str]) -> list[str]:
    """Most frequent first, ties by code point: one order whatever the order of counting."""
    return sorted(counts, key=lambda item: (-counts[item], item))


def _characters(counts: Counter[str], room: int) -> tuple[str, ...]:
    """The characters worth a symbol, sorted by code point: seen twice, and needed to cover nearly all of the text."""
    ranked = [char for char in _by_frequency(counts) if counts[char] >= _LEAST][:room]
    uncovered = 0.0
    total = sum(counts.values())
    beyond = total - sum(counts[char] for char in ranked)
    while ranked and beyond + uncovered + counts[ranked[-1]] <= _UNCOVERED * total:
        uncovered += counts[ranked.pop()]
    return tuple(sorted(ranked))


def _words(counts: Counter[str], room: int) -> tuple[str, ...]:
    # Also words seen once: where a small closed world is learned by words (a grammar, phones), each of them counts.
    return tuple(_by_frequency(counts)[:room])


# ------------------------------------------------------------------ subwords


def _feed(counts: Counter[str], characters: frozenset[str], mark: str = "") -> Iterator[str]:
    """Pretokens as often as they occur, a line each; characters without a symbol end a line as well.

    The line end separates, for it can never be inside a piece; very large corpora are thinned evenly. Of a pretoken
    that is seen often one occurrence has `mark` behind it, if there is one.
    """
    thin = 1 + counts.total() // _ENOUGH
    for pretoken in sorted(counts):
        known = "".join(char if char in characters and char != "\n" else "\n" for char in pretoken)
        times = -(-counts[pretoken] // thin)
        if mark and times >= _WHOLE:
            yield "".join(f"{part}{mark}\n" for part in known.split("\n") if part)
            times -= 1
        yield (known + "\n") * times


def _train(
    model: Any, trainer: Any, counts: Counter[str], characters: tuple[str, ...], mark: str = ""
) -> dict[str, Any]:
    from tokenizers import Tokenizer, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "removed")
    tokenizer.train_from_iterator(_feed(counts, frozenset(characters), mark), trainer)
    learned: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return learned


def _bpe(
    counts: Counter[str], characters: tuple[str, ...], room: int
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Characters by code point, then the joined pieces in the order in which they were learned."""
    if not characters:
        return (), ()
    from tokenizers import models, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=room,
        min_frequency=_LEAST,
        show_progress=False,
        initial_alphabet=list(characters),
        max_token_length=_LONGEST_PIECE,
    )
    learned = _train(models.BPE(), trainer, counts, characters)["merges"]
    ids = {char: i for i, char in enumerate(characters)}
    merges = []
    for left, right in learned:
        merges.append((ids[left], ids[right]))
        ids.setdefault(left + right, len(ids))
    return tuple(ids), tuple(merges)


def _unigram(counts: Counter[str], characters: tuple[str, ...], room: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Pieces by score, best first, ties by code point.

    The library begins with the strings that go on in two ways or more where all different pretokens stand one behind
    the other. A word that is part of no other, or an ending, always goes on with the end: such words fell to pieces
    however often they were seen. So each that is seen often is also given once with a character behind it that no
    piece holds. That character is asked for in addition and left out of what was learned.

    The library's scores differ from run to run in two ways, neither of which means anything: the last bits follow
    from the order of parallel sums, and characters too rare to be estimated get the lowest score and small steps
    upwards in the order of a hash table. So scores are rounded, and those characters all get the lowest score.
    """
    if not characters:
        return (), ()
    from tokenizers import models, trainers

    mark = next(char for char in map(chr, range(1, 0x110000)) if char != "\n" and char not in characters)
    trainer = trainers.UnigramTrainer(
        vocab_size=room + len(mark),
        show_progress=False,
        initial_alphabet=list(characters),
        max_piece_length=_LONGEST_PIECE,
        n_sub_iterations=min(max(_PASS_WORK // sum(map(len, counts)), _PASSES[0]), _PASSES[-1]),
    )
    learned = _train(models.Unigram(), trainer, counts, characters, mark)["vocab"]
    scores = {piece: round(score, _DIGITS) for piece, score in learned if not {"\n", mark} & set(piece)}
    lowest = min(scores.values(), default=0.0)
    for char in characters:
        if scores.get(char, lowest) <= lowest + _STEP * (len(characters) + 1):
            scores[char] = lowest
    order = sorted(scores, key=lambda piece: (-scores[piece], piece))
    return tuple(order), tuple(scores[piece] for piece in order)
