"""What a user wants of an output beside the search settings, as symbols: how it begins, and what it may not hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from seq2x.codecs.backwards import Backwards
from seq2x.codecs.segment import NO_MORE
from seq2x.codecs.text import TextCodec
from seq2x.errors import UsageError
from seq2x.types import SPECIALS

__all__ = ["forbidden_symbols", "named_symbols", "prefix_symbols"]

_SHOWN = 8  # symbols of a text that is no single one, in a message


def prefix_symbols(codec: TextCodec, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
    """The symbols that every output shall begin with.

    They are those of `text` alone: the last of them may be another piece than the one that the model would have
    written over that place and what follows it (`ca` and `t` for `cat`), which costs some probability; a prefix of
    whole words costs none. With word units a blank at the end has no symbol. Raises `UsageError` for words that a
    closed vocabulary does not hold: no output could begin with them; and for a run that writes from the end, which
    reaches the beginning last. `more`: the numbers of what can be copied beside the vocabulary.
    """
    if text and isinstance(codec, Backwards):
        found = "this run writes from the end of a text (direction = right_to_left)"
        raise UsageError("prefix", found, "a run that begins at the beginning", "leave it out")
    if codec.vocabulary.closed and (unknown := [word for word in codec.unknown(text) if word not in more]):
        found = f'"{text[:80]}" has {len(unknown):,} unknown words'
        raise UsageError("prefix", found, "words of this run's vocabulary, which is closed")
    return codec.encode(text, more)


def forbidden_symbols(codec: TextCodec, tokens: Iterable[str]) -> tuple[int, ...]:
    """The symbols that `tokens` name: each one that is shown so (`TextCodec.tokens`, `predict --json`), and the one
    that the token is as a text, if that is exactly one.

    Raises `UsageError` for a token that is neither; what only a source has is none, though it may be copied. To forbid
    a symbol is not to forbid its text: what other symbols can spell may still be written.
    """
    return named_symbols(codec, tokens, "forbid")


def named_symbols(codec: TextCodec, tokens: Iterable[str], where: str) -> tuple[int, ...]:
    """As `forbidden_symbols`, for the argument called `where`."""
    wanted = [tokens] if isinstance(tokens, str) else list(tokens)
    if not wanted:
        return ()
    shown: dict[str, list[int]] = {}
    for symbol, name in enumerate(codec.tokens(range(codec.size))):
        if symbol >= len(SPECIALS):
            shown.setdefault(name, []).append(symbol)
    found: set[int] = set()
    for token in wanted:
        if not isinstance(token, str):
            raise UsageError(where, f"a {type(token).__name__}", "tokens as text")
        unknown = codec.vocabulary.closed and codec.unknown_count(token)
        whole = [] if unknown else codec.encode(token)
        if token not in shown and len(whole) != 1:
            raise UsageError(where, f'"{token[:80]}" is no token of this run', todo=_cut(codec, whole))
        found.update(shown.get(token, []), whole if len(whole) == 1 else [])
    return tuple(sorted(found))


def _cut(codec: TextCodec, ids: list[int]) -> str:
    """A way out for a text that is not one symbol."""
    if not ids:
        return "predict --json shows the tokens"
    pieces = " ".join(codec.tokens(ids[:_SHOWN])) + (" ..." if len(ids) > _SHOWN else "")
    return f"as a text it is {len(ids):,} tokens: {pieces}"
