"""The nouns that flow through the house, and the protocols that let rooms work together unseen.

Axis letters, everywhere the same, carried as a suffix where it helps (`states_BSM`):

    B sentences      K beams         N = B * K hypotheses (row n is beam n % K of sentence n // K)
    S source length  T target length Q queries (T in training, K in search)
    D width          M memory width  H heads
    F features       V output symbols  C labels      c candidates of a row

An `Array` is a `numpy.ndarray` or a `torch.Tensor`; nothing in this file imports either library at run time.
Log-probabilities are natural logarithms. Lengths count the closing `</s>` of a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import torch

__all__ = [
    "BOS",
    "EOS",
    "MASK",
    "NOTHING",
    "PAD",
    "SPECIALS",
    "Alternative",
    "Answer",
    "Array",
    "Batch",
    "Codec",
    "Decoder",
    "Emissions",
    "Emitter",
    "Example",
    "Filled",
    "Hypotheses",
    "Interval",
    "Loss",
    "Memory",
    "Metric",
    "Model",
    "Objective",
    "Padded",
    "Prediction",
    "Refiner",
    "Result",
    "Scored",
    "State",
    "Varying",
    "Want",
]

Array: TypeAlias = Any
"""A `numpy.ndarray` or a `torch.Tensor`."""

Want: TypeAlias = frozenset[str]
"""Names of the extras a caller asks for, such as `{"attention"}`; what is not wanted is not computed."""

NOTHING: Want = frozenset()

# Special symbols have the same numbers in every codec and live outside the text space: no text encodes to them.
PAD, BOS, EOS = 0, 1, 2
SPECIALS = ("<pad>", "<s>", "</s>")

MASK = BOS
"""What a decoder that fills in masked symbols reads in their places: `<s>`, which no output holds."""


# ------------------------------------------------------------------ data


@dataclass(frozen=True, slots=True)
class Example:
    """One raw record. Several right answers stand in `targets`; `line` is its 1-based line in `file` (of two files side
    by side the first), which does not count when examples are compared.
    """

    source: str
    targets: tuple[str, ...]
    line: int
    extras: Mapping[str, str] = field(default_factory=dict)
    file: str = field(default="", compare=False)


class Padded(NamedTuple):
    """Unequal sequences in one rectangle: `values` `[B,L]` (symbols) or `[B,L,F]`, `lengths` `[B]`, int64.

    Lengths are known on the host, and best left there where the values are on a device: to ask it would be to wait.
    """

    values: Array
    lengths: Array


class Batch(NamedTuple):
    """What one call of a model sees.

    `source` symbols end with `</s>`; `target` symbols end with `</s>` and do not begin with `<s>` (a model
    shifts them itself). `rows` `[B]` are the numbers of the examples in their store. `copy_ids` `[B,S]`, for models
    that copy: the target symbol that stands at each place of the source, V + k for the k-th different piece of this
    source that the target vocabulary does not have; targets use the same numbers.
    """

    source: Padded | None
    target: Padded | None
    rows: Array
    extras: Mapping[str, Any] = {}
    copy_ids: Array | None = None


@runtime_checkable
class Codec(Protocol):
    """Raw text <-> numbers, both directions in one object, stored with the run."""

    @property
    def size(self) -> int:
        """V: how many symbols there are, special ones included."""
        ...

    def encode(self, text: str) -> list[int]:
        """Symbols of `text`, without `</s>`. Never a special symbol."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; special symbols are skipped, a broken byte sequence becomes U+FFFD."""
        ...

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """A readable piece for each symbol."""
        ...

    def word_of(self, ids: Sequence[int]) -> list[int]:
        """The number of the word of each symbol, words being what stands between blanks; -1 for a symbol of none."""
        ...


# ------------------------------------------------------------------ models


@dataclass(slots=True)
class Memory:
    """What an encoder leaves for a decoder.

    `states` `[B,S,M]`, `lengths` `[B]`; `finals`: last state of every layer (an LSTM adds the cell), in the
    encoder's own order; `parts`: what one architecture alone needs. Padded positions of `states` are zero.
    """

    states: torch.Tensor
    lengths: torch.Tensor
    finals: Sequence[torch.Tensor] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)


class Answer(Protocol):
    """What a decoder says about the next symbol of its rows (`[B,T]` in training, `[N]` in search).

    Lazy and normalised: `[...,V]` exists only where `all` is called. A model that copies has V + S symbols.
    """

    @property
    def attention(self) -> Array | None:
        """`[B,T,S]` or `[N,S]`, each row summing to one, if `"attention"` was wanted."""
        ...

    def of(self, ids: Array) -> Array:
        """log p of the given symbol of every row, shaped like `ids`."""
        ...

    def mean(self) -> Array:
        """The mean over the vocabulary of log p, per row (label smoothing, Szegedy et al. 2016); where it is copied as
        well, of what is generated."""
        ...

    def top(self, c: int, forbid: Array | None = None, bias: Array | None = None) -> tuple[Array, Array]:
        """The `c` best symbols of each row, best first, ties by the lower id: (log p `[N,c]`, ids `[N,c]`).

        `forbid` `[N,F]` int64, filled up with -1: symbols that get `-inf`. `bias` `[V]` or `[N,V]` is added
        before selection. Never renormalised: what is not forbidden keeps its log p (plus bias).
        """
        ...

    def sample(
        self,
        uniform: Array,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        forbid: Array | None = None,
    ) -> tuple[Array, Array]:
        """One draw per row by inverse CDF of `uniform` `[N]` in [0,1): (log p `[N]` of the model itself, ids `[N]`).

        The distribution is tempered, cut to the `top_k` best (0: all) and to the smallest set whose mass
        reaches `top_p` (Holtzman et al. 2020), and renormalised.
        """
        ...

    def all(self) -> Array:
        """log p of every symbol, `[...,V]`."""
        ...


class State(Protocol):
    """What a decoder carries from step to step; search never looks inside. Spent by the step it is given to."""

    @property
    def position(self) -> Array:
        """`[N]` int64: how many symbols each row has consumed."""
        ...

    def keep(self, rows: Array) -> State:
        """Only the sentences `rows` `[B']` (int64, ascending) go on, with all their beams."""
        ...

    def clone(self) -> State:
        """A copy that a later step cannot spend."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Anything that search can drive: a model, an ensemble, a numpy function, an engine's backend."""

    def start(self, memory: Any, beams: int, top: int, want: Want = NOTHING) -> State:
        """A state for `beams` rows per sentence; nothing consumed yet. `top` is the largest `c` to be asked."""
        ...

    def step(self, previous: Array, origin: Array, state: Any) -> tuple[Answer, State]:
        """Row n continues row `origin[n]` of the last step with symbol `previous[n]` (both `[N]` int64)."""
        ...


class Filled(Protocol):
    """What a `Refiner` says about every position of its rows, `[N,T]`."""

    @property
    def attention(self) -> Array | None:
        """`[N,T,S]`, if `"attention"` was wanted."""
        ...

    def best(self, forbid: Array | None = None, at: Array | None = None) -> tuple[Array, Array]:
        """The best symbol of each position but those in `forbid` `[F]`, ties by the lower id: (log p, ids).

        `at` `[N,T]`: the positions that are asked for; of others anything may be said.
        """
        ...


@runtime_checkable
class Refiner(Protocol):
    """Anything that `seq2x.search.refine` can drive: it writes all symbols of an output of known length at once."""

    def lengths(self, memory: Any) -> Array:
        """log p of each length of an output, `[B,L]`; column t is t + 1 symbols, `</s>` counted."""
        ...

    def fill(self, memory: Any, inputs: Array, want: Want = NOTHING) -> Filled:
        """What stands where `inputs` `[N,T]` hold `MASK`; N = B*K rows against B memories, `</s>` last, then `PAD`."""
        ...


class Emissions(Protocol):
    """A symbol or nothing at each of F frames (Graves et al. 2006)."""

    log_p: Array
    """`[B,F,V+1]`: of each symbol, and in the last column of the blank."""
    lengths: Array
    """`[B]`: how many of the frames count."""

    def items(self, ids: Array, lengths: Array) -> Array:
        """log p of each symbol of n given outputs `[B,n,T]` of these `lengths` `[B,n]`, given those before it."""
        ...


@runtime_checkable
class Emitter(Protocol):
    """Anything whose outputs `seq2x.search.spell` can read off: it says what stands at each frame."""

    def emit(self, memory: Any) -> Emissions:
        """What the frames of each sentence say."""
        ...


class Model(Decoder, Protocol):
    """A producing model: scores all positions at once, and decodes step by step."""

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p of the batch's targets."""
        ...

    def encode(self, source: Padded, copy_ids: Array | None = None) -> Memory:
        """Read `source`; `copy_ids` as in `Batch`, where the model copies."""
        ...

    def decode(self, memory: Memory, inputs: torch.Tensor, want: Want = NOTHING) -> Answer:
        """All positions at once: `inputs` `[N,T]` begin with `<s>`; N = B*K rows against B memories."""
        ...


@dataclass(slots=True)
class Scored:
    """log p of given targets: `total` `[B]`, `items` `[B,T]` (zero at padding) and named parts."""

    total: torch.Tensor
    items: torch.Tensor | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Loss:
    """A sum and what to divide it by: the loop divides once, after ranks and micro-batches are summed."""

    total: torch.Tensor
    count: torch.Tensor
    parts: Mapping[str, torch.Tensor] = field(default_factory=dict)


Objective: TypeAlias = Callable[[Any, Batch], Loss]


@runtime_checkable
class Varying(Protocol):
    """An objective that is not the same in every update: it has a schedule, or draws of its own.

    As it stands it is what it would be without either, which is what a loss is measured by.
    """

    def at(self, step: int, seed: int) -> Objective:
        """What update `step` minimises. `seed` is the update's, whatever its micro-batches and ranks: draws that follow
        from it and from `Batch.rows` are the same however the update is split. One within another is given another.
        """
        ...


# ------------------------------------------------------------------ results


@dataclass(slots=True)
class Hypotheses:
    """The outcome of a search: the `n` best of each sentence, best first.

    `tokens` `[B,n,T]` int64 filled with `PAD` after the end, `</s>` included where the hypothesis ended by
    itself; `lengths` `[B,n]` count it. `scores` `[B,n]` is what the search ranked by; `log_p` `[B,n,T]` the
    model's own log p of each token (zero after the end). `stopped` `[B,n]`: 1 ended with `</s>`, 0 cut by the
    length limit or where nothing was allowed to follow, -1 no such hypothesis. `attention` `[B,n,T,S]` if wanted.
    All numpy arrays.
    """

    tokens: Array
    lengths: Array
    scores: Array
    log_p: Array
    stopped: Array
    attention: Array | None = None
    trace: Any = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the n best: see `Prediction`."""

    value: str
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    score: float
    log_p: float
    token_log_p: tuple[float, ...]
    stopped: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One raw output and all that is known about it.

    `tokens` are readable pieces, `ids` their numbers, in the order in which they were written (which may be from the
    end), without `</s>`; `token_log_p` has one entry per token and one more for `</s>` if `stopped == "end"` (none of
    a tagger: its input says where its output ends); `log_p` is their sum, `score` what the search ranked by. A prefix
    that was asked for is part of the output, and its symbols count like all others. `stopped`: "end", "length" (cut by
    the limit, or because nothing was allowed to follow), "loop" (cut where it said the same again and again), "empty"
    (blank input) or "unmet": there is no output as it was to be, and `unmet` says why. `truncated`: the input was
    longer than the model (of an ensemble: one of them) reads, or the output was cut; a tagger's text was read in parts.
    `alternatives`: the n best, if more than one was asked for, no two with equal text; or the draws, equal ones too.
    """

    value: str
    tokens: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    score: float = 0.0
    log_p: float = 0.0
    token_log_p: tuple[float, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    truncated: bool = False
    stopped: str = "end"
    attention: Any = None
    unmet: str = ""


class Interval(NamedTuple):
    """A 95 % bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """One metric of one test set. `better` is "higher" or "lower"; `value` is in the metric's usual unit."""

    metric: str
    value: float
    better: str
    count: int
    interval: Interval | None = None
    signature: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)


class Metric(Protocol):
    """A metric counts one pair and scores a sum: corpus value, bootstrap and ranks are one implementation."""

    name: str
    better: str
    signature: str

    def count(self, output: str, references: Sequence[str]) -> Array:
        """Sufficient statistics of one pair: a float64 vector, always of the same length."""
        ...

    def score(self, total: Array) -> float:
        """The metric of summed statistics."""
        ...
