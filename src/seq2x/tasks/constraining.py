"""What outputs have to be, in a user's words, as automata over symbols: allowed tokens, a pattern, required phrases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from seq2x.codecs.backwards import Backwards
from seq2x.codecs.byte_automaton import ByteAutomaton, compile_pattern
from seq2x.codecs.lifting import lift
from seq2x.codecs.text import TextCodec
from seq2x.errors import Seq2xError, UsageError
from seq2x.search import NEVER, Automata, Automaton, Guide
from seq2x.tasks.wishes import named_symbols

__all__ = ["FREE", "Constraint", "Demand", "Demands", "GuideMaker", "constraint", "phrase_symbols"]

GuideMaker = Callable[[Sequence[str], TextCodec], Guide]
"""A guide for the sentences of one batch, from their raw inputs and the codec of the outputs."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What every output of a call has to be. `automaton`: of its symbols; `pattern`: of its text, which the symbols may
    still change (see `seq2x.codecs.lifting`); `says`: both in words. `guide` stands alone.
    """

    automaton: Automaton | None = None
    pattern: ByteAutomaton | None = None
    says: tuple[str, ...] = ()
    guide: GuideMaker | None = None


FREE = Constraint()
"""No constraint."""


def constraint(
    codec: TextCodec, pattern: str | None = None, allow: Iterable[str] | None = None, guide: GuideMaker | None = None
) -> Constraint:
    """Outputs whose text `pattern` describes, of the tokens `allow` alone (named as `forbidden_symbols` has it).

    Raises `UsageError` for a pattern that cannot be read, a token that is none, and a `guide` beside either.
    """
    if guide is not None:
        if pattern is not None or allow is not None:
            raise UsageError("guide", "it stands beside a pattern or allowed tokens", "one of them")
        return Constraint(guide=guide)
    automaton = compiled = None
    says: tuple[str, ...] = ()
    if allow is not None:
        automaton = Automaton.only(named_symbols(codec, allow, "allow"), codec.size)
        says = ("is of allowed tokens alone",)
    if pattern is not None:
        if not isinstance(pattern, str):
            raise UsageError("pattern", f"a {type(pattern).__name__}", "text")
        if isinstance(codec, Backwards):
            found = "this run writes from the end of a text (direction = right_to_left)"
            raise UsageError("pattern", found, "a run that begins at the beginning", "leave it out")
        compiled = compile_pattern(pattern)
        lifted = Automaton(*lift(compiled, codec))
        automaton = lifted if automaton is None else automaton.both(lifted)
        says = (*says, f"matches the pattern {pattern[:80]}")
    return Constraint(automaton, compiled, says)


def phrase_symbols(codec: TextCodec, phrase: str) -> list[list[int]]:
    """The ways in which `phrase` may be written (see `TextCodec.spellings`).

    Raises `UsageError` for one that no output can hold: no text, or words that a closed vocabulary does not know.
    """
    if not isinstance(phrase, str):
        raise UsageError("require", f"a {type(phrase).__name__}", "text")
    if codec.vocabulary.closed and (unknown := codec.unknown_count(phrase)):
        found = f'"{phrase[:80]}" has {unknown:,} unknown words'
        raise UsageError("require", found, "words of this run's vocabulary, which is closed")
    spellings = [ids for ids in codec.spellings(phrase) if ids] if phrase.strip() else []
    if not spellings:
        raise UsageError("require", f'"{phrase[:80]}" has no symbols', "some text")
    return spellings


@dataclass(frozen=True, slots=True)
class Demand:
    """What one output has to be. `automaton` None: anything; `why`: why no output can be so."""

    automaton: Automaton | None = None
    says: tuple[str, ...] = ()
    why: str = ""

    def unmet(self, prefix: Sequence[int] = (), most: int = NEVER) -> str:
        """Why no output that begins with `prefix` and has at most `most` symbols, `</s>` counted, is so; else nothing.

        It may have `most` symbols of text: an output that is complete may be cut there.
        """
        if self.why or self.automaton is None:
            return self.why
        state = self.automaton.after(prefix)
        if state < 0 or self.automaton.distance[state] >= NEVER:
            begins = "that begins with the prefix " if prefix and not self.impossible else ""
            return f"no output {begins}{' and '.join(self.says)}"
        least = len(prefix) + int(self.automaton.distance[state])
        if least > most:
            return f"the shortest output that {' and '.join(self.says)} has {least:,} symbols, the limit is {most:,}"
        return ""

    @property
    def impossible(self) -> bool:
        """Whether no output at all is so."""
        return self.automaton is not None and int(self.automaton.distance[self.automaton.start]) >= NEVER

    def least(self, prefix: Sequence[int]) -> int:
        """How many symbols an output that begins with `prefix` has at least; 0 where anything will do."""
        if self.automaton is None or (state := self.automaton.after(prefix)) < 0:
            return 0
        distance = int(self.automaton.distance[state])
        return 0 if distance >= NEVER else len(prefix) + distance


@dataclass
class Demands:
    """The demands on the outputs of one call: the same for all, and each line's own phrases.

    Tokens that are forbidden and the minimum length are part of them, so that what no output can be is known before.
    """

    codec: TextCodec
    constraint: Constraint
    forbidden: tuple[int, ...] = ()
    min_length: int = 0
    _known: dict[tuple[str, ...], Demand] = field(default_factory=dict)

    def of(self, phrases: Sequence[str]) -> Demand:
        """What an output has to be in which `phrases` occur."""
        key = tuple(dict.fromkeys(phrases))
        if key not in self._known:
            try:
                self._known[key] = self._made(key)
            except Seq2xError as error:
                self._known[key] = Demand(why=str(error).removeprefix("require: "))
        return self._known[key]

    def _made(self, phrases: tuple[str, ...]) -> Demand:
        base = self.constraint.automaton
        if not phrases and base is None:
            return Demand()
        if phrases and self.constraint.guide is not None:
            raise UsageError("require", "a phrase beside a guide", "one of them")
        automaton = base
        says = self.constraint.says
        if phrases:
            automaton = Automaton.containing([phrase_symbols(self.codec, one) for one in phrases], self.codec.size)
            automaton = automaton if base is None else automaton.both(base)
            says = ("holds " + ", ".join(f'"{one[:40]}"' for one in phrases), *says)
        assert automaton is not None  # one of the two
        if self.forbidden:
            automaton, says = automaton.without(self.forbidden), (*says, "lacks the forbidden tokens")
        if self.min_length:
            automaton, says = automaton.at_least(self.min_length), (*says, "is long enough")
        return Demand(automaton, says)

    def guide(self, demands: Sequence[Demand], texts: Sequence[str]) -> Guide | None:
        """What guides a search for outputs of these demands; None where anything will do."""
        if self.constraint.guide is not None:
            return self.constraint.guide(texts, self.codec)
        if all(demand.automaton is None for demand in demands):
            return None
        anything = Automaton.anything(self.codec.size)
        return Automata([anything if demand.automaton is None else demand.automaton for demand in demands])

    def met(self, demand: Demand, ids: Sequence[int], text: str) -> bool:
        """Whether an output is as it has to be, its symbols and its text."""
        if demand.automaton is not None and not demand.automaton.accepts(ids):
            return False
        return self.constraint.pattern is None or self.constraint.pattern.matches(text)
