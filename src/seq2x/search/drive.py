"""What every search does with a decoder: step it, constrain it, watch it, let finished sentences go.

Small arrays `[B,K,c]` are worked on as numpy arrays wherever the decoder's are on the CPU (tensors there share
their memory), else as tensors on the decoder's device, where a step sends nothing and reads back one number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seq2x.arrays import float64, like, namespace, numbers, on_host, order, take_along, to_numpy
from seq2x.errors import DivergedError, UsageError, no_number
from seq2x.search.constraints import Constraints
from seq2x.search.guide import Guide, Guided
from seq2x.search.loops import Loops
from seq2x.search.rules import Rules, Sampling
from seq2x.types import BOS, Answer, Array, Decoder, State, Want

__all__ = ["Drive", "damaged", "lengths_of"]


class Drive:
    """A decoder at work on a batch of `B` sentences with `beams` rows each.

    `rows_B` numbers the sentences still in the batch; `length` is how many symbols each row has. The caller
    gives `advance` what each row continues with; `answer` is then what the decoder says about the next symbol.
    Under a `guide` no output has more than `most` `[B]` symbols; `alone`: each row finds its own way (see `Guided`).
    Raises `UsageError` for symbols in `rules` or `prefix` that the decoder does not have.
    """

    def __init__(
        self, decoder: Decoder, memory: Any, sentences: int, beams: int, top: int, want: Want,
        rules: Rules | Sampling, prefix: Array | None, most: Array, guide: Guide | None = None, alone: bool = False,
    ) -> None:  # fmt: skip
        self._decoder, self.beams, self.length = decoder, beams, 0
        self._state: State = decoder.start(memory, beams, top, want)
        self._theirs = self._state.position  # shows the decoder's library and device
        self.on_host = on_host(self._theirs)
        self.rows_B = self.here(np.arange(sentences))
        self._constraints = Constraints(rules, prefix, sentences, beams, self.here)
        self._guided = None if guide is None else Guided(guide, most, beams, alone, self.here)
        self._loops = Loops(self._constraints.begin(sentences), beams, self.here) if rules.loops == "stop" else None
        self._looping_N: Array | None = None
        self._history_NT = self.here(np.zeros((sentences * beams, 0), dtype=np.int64))
        self._previous_N = like(np.full(sentences * beams, BOS, dtype=np.int64), self._theirs)
        self._origin_N = like(np.arange(sentences * beams), self._theirs)
        self.answer: Answer

    def here(self, x: Array) -> Array:
        """`x` where the search works."""
        return to_numpy(x) if self.on_host else like(x, self._theirs)

    def there(self, x: Array) -> Array:
        """`x` where the decoder works."""
        return like(x, self._theirs)

    def step(self) -> None:
        """Ask the decoder about the next symbol."""
        self.answer, self._state = self._decoder.step(self._previous_N, self._origin_N, self._state)
        if self.length == 0 and self._constraints.names_symbols:
            self._constraints.check(self.answer.all().shape[-1])  # an index past the end could bring a device down
        if self._loops is not None:
            self._looping_N = self._loops.found(self.length)
        if self._guided is not None:
            self._guided.look(self.length, self.rows_B)

    def forbidden(self) -> Array:
        """`[N,F]` for `Answer.top` and `Answer.sample`."""
        count = len(self.rows_B) * self.beams
        history = self._history_NT if self._constraints.needs_history else None
        return self.there(self._constraints.forbid(count, self.length, history))

    def candidates(self, c: int) -> tuple[Array, Array]:
        """The best symbols of each row under all constraints: log p `[N,c']` double, ids `[N,c']`; c' <= c, or <= 2c
        under a guide: the best of those that bring an output nearer to an end, too.
        """
        forbid_NF = self.forbidden()
        tops = [answer.top(c, forbid_NF) for answer in self.answers()]
        values, ids = tops[0]
        if len(tops) > 1:
            values, ids = (namespace(values).concatenate(parts, -1) for parts in zip(*tops, strict=True))
        return self.force(self.here(values), self.here(ids))

    def answers(self) -> list[Any]:
        """What the decoder said, as a whole or in parts that have no symbol in common, without what a guide forbids."""
        return [self.answer] if self._guided is None else list(self._guided.answers(self.answer))

    def stuck(self, total_BK: Array) -> Array | None:
        """`[B']`: whether the best of each row of beams is in a loop; None: not looked at now."""
        if self._looping_N is None:
            return None
        best_B1 = total_BK.argmax(-1)[:, None]
        return take_along(self._looping_N.reshape(total_BK.shape), best_B1)[:, 0]

    def needs(self, ids_Nc: Array) -> tuple[Array, Array] | None:
        """(`[N,c]`: what an output needs after each of these symbols; `[B]`: what its sentence needed at its start);
        None without a guide.
        """
        return None if self._guided is None else (self._guided.left(ids_Nc), self._guided.far_B)

    def force(self, values_Nc: Array, ids_Nc: Array) -> tuple[Array, Array]:
        """Candidates in double precision; none where a row is in a loop; where a prefix goes on, its symbol alone."""
        values_Nc = float64(values_Nc)
        if self._looping_N is not None:
            values_Nc = namespace(values_Nc).where(self._looping_N[:, None], -np.inf, values_Nc)
        symbol_N = self._constraints.forced(self.length, self.rows_B)
        if symbol_N is None:
            return values_Nc, ids_Nc
        xp = namespace(values_Nc)
        log_p_N = float64(self.here(self.answer.of(self.there(symbol_N.clip(0)))))
        first_c = numbers(values_Nc.shape[1], values_Nc) == 0
        free_N1 = symbol_N[:, None] < 0
        alone_Nc = xp.where(first_c, log_p_N[:, None], -np.inf)
        return xp.where(free_N1, values_Nc, alone_Nc), xp.where(free_N1, ids_Nc, symbol_N[:, None])

    def attention(self, needed: bool) -> Array | None:
        """`[B,K,S]` of this step, None if the decoder has none. Raises `UsageError` if it is `needed`."""
        attention_NS = self.answer.attention
        if attention_NS is None:
            if needed:
                raise UsageError("coverage_beta", "this model has no attention to count", "", "leave it at 0")
            return None
        return self.here(attention_NS).reshape(len(self.rows_B), self.beams, -1)

    def advance(self, symbol_BK: Array, parent_BK: Array) -> None:
        """Beam k of a sentence goes on from its beam `parent` with `symbol`."""
        first_B1 = numbers(len(self.rows_B), parent_BK)[:, None] * self.beams
        origin_N, symbol_N = (first_B1 + parent_BK).reshape(-1), symbol_BK.reshape(-1)
        if self._constraints.needs_history:
            xp = namespace(symbol_N)
            self._history_NT = xp.concatenate([self._history_NT[origin_N], symbol_N[:, None]], -1)
        if self._loops is not None:
            self._loops.advance(symbol_N, origin_N)
        if self._guided is not None:
            self._guided.advance(symbol_N, origin_N, self.rows_B)
        self._origin_N, self._previous_N = self.there(origin_N), self.there(symbol_N)
        self.length += 1

    def watch(self, going_B: Array, bad_B: Array) -> int:
        """How many sentences go on: the one number read from the device at each step.

        Raises `DivergedError` naming the first sentence for which `bad` is true.
        """
        xp = namespace(going_B)
        flag = int(xp.where(bad_B.any(), -1 - xp.argmax(bad_B * 1), going_B.sum()))
        if flag < 0:
            raise damaged(int(self.rows_B[-1 - flag]))
        return flag

    def leave(self, going_B: Array, count: int) -> Array | None:
        """Let all but the `count` sentences in `going` go, where enough of the batch is done to be worth the
        copy of the state. To be called before `advance`. The places of those that stay, ascending, or None if
        all stay for now.
        """
        sentences = len(self.rows_B)
        if sentences - count < max(1, sentences // 8):
            return None
        keep_B = order(~going_B * 1)[:count]
        self._state = self._state.keep(self.there(keep_B))
        self.rows_B = self.rows_B[keep_B]
        kept_N = (keep_B[:, None] * self.beams + numbers(self.beams, keep_B)).reshape(-1)
        if self._constraints.needs_history:
            self._history_NT = self._history_NT[kept_N]
        if self._loops is not None:
            self._loops.keep(kept_N)
        if self._guided is not None:
            self._guided.keep(keep_B, kept_N)
        return keep_B


def lengths_of(source_lengths: Array, max_lengths: Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Both `[B]` as int64 numpy arrays. Raises `UsageError` for limits that are not one positive number each."""
    sources, most = (to_numpy(x).astype(np.int64) for x in (source_lengths, max_lengths))
    if most.shape != sources.shape or (most < 1).any():
        raise UsageError(
            "max_length", f"{most.tolist()}"[:200], f"a number of at least 1 for each of {len(sources)} sentences"
        )
    return sources, most


def damaged(row: int) -> DivergedError:
    """A log p of sentence `row` of a batch is no number."""
    return no_number(f"sentence {row + 1} of the batch", row, "finite values or -inf")
