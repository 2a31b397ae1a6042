"""Output layers that copy from the source: a pointer-generator and a pure pointer network.

With alpha_{t,s} how much position t attends to place s of the source, and x_s the target symbol that stands there,

    copy_t(y)   = sum_{s: x_s = y} alpha_{t,s}
    generator     p_t(y) = g_t P_t(y) + (1 - g_t) copy_t(y)               See et al. 2017, eq. 9
                  g_t    = sigmoid(w_C . C_t + w_h . h_t + w_x . e_t + b)  the same, eq. 8; C_t = sum_s alpha_{t,s} h_s
    pointer       p_t(y) = copy_t(y)                                      Vinyals et al. 2015, eq. 3

y runs over the V symbols of the vocabulary, of which P is a softmax, and over the S numbers after them, which are the
pieces that only this source has (`seq2x.codecs.copying`): a width that the batch fixes. Sources end with `</s>`, so a
pointer ends its output by pointing there, and an output can hold nothing else than what its source holds.

All is computed with logarithms: log p = logaddexp(log g + log P(y), log(1 - g) + log copy(y)), so that neither part can
be lost to rounding, and `[B, T, V + S]` exists only where `all` is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2x.types import NOTHING, PAD, SPECIALS, Memory, Want

from .attention import masked_softmax
from .attention_scores import Additive
from .embedding import Embedding
from .initial import normal_
from .outputs import DenseSearch, VocabularyAnswer, VocabularyOutput
from .pooling import valid

__all__ = ["Copyable", "CopyingAnswer", "CopyingOutput", "Pointer", "PointerGenerator"]

_UNKNOWN = len(SPECIALS)
"""What a decoder reads where the symbol before is none of the vocabulary: `<unk>` of a closed one, of others the byte
NUL, which no text holds."""


@dataclass(frozen=True, slots=True)
class Copyable:
    """What can be copied of B sentences, once for all positions and beams.

    `ids` `[B,S]`: the target symbol at each place, `PAD` outside; `mask` `[B,S]`: the places that count; `keys`: what
    one output layer compares with, `[B,S]` or `[B,S,A]`.
    """

    ids: Tensor
    mask: Tensor
    keys: Tensor

    def keep(self, rows: Tensor) -> Copyable:
        """Only the sentences `rows`."""
        return Copyable(self.ids[rows], self.mask[rows], self.keys[rows])


class CopyingOutput(nn.Module):
    """An output layer over a vocabulary of `size` symbols and what else a source holds.

    `wants`: what it needs of the decoder. A subclass has `keys` and `forward`.
    """

    wants: ClassVar[Want] = NOTHING

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def readable(self, symbols: Tensor) -> Tensor:
        """`symbols` as a decoder can embed them: those beyond the vocabulary are one."""
        return torch.where(symbols < self.size, symbols, _UNKNOWN)

    def look(self, memory: Memory) -> Copyable:
        """What can be copied of `memory`, whose part `copy_ids` `[B,S]` says what each place means."""
        mask_BS = valid(memory.lengths, memory.states.shape[1])
        return Copyable(torch.where(mask_BS, memory.parts["copy_ids"], PAD), mask_BS, self.keys(memory.states))

    def keys(self, states_BSM: Tensor) -> Tensor:
        """`Copyable.keys` of an encoder's states."""
        raise NotImplementedError

    def forward(
        self, hidden: Tensor, attention: Tensor | None, symbols: Tensor, source: Copyable, show: bool
    ) -> CopyingAnswer:
        """What `hidden` `[...,D]` says, having read the `readable` `symbols` `[...]` and attended to `attention`
        `[...,S]`.

        `[...]` is `[N,T]` or `[N]`, N = B * K rows for the B sentences of `source`. `show`: the answer shows where it
        copies from.
        """
        raise NotImplementedError


class PointerGenerator(CopyingOutput):
    """Generates from `vocabulary`, or copies by the decoder's own attention (See et al. 2017, section 2.2).

    It learns when to do which: prefer it wherever outputs repeat names, numbers or rare words of their inputs. The
    share of C_t in eq. 8 is `alpha_t . (H w_C)`, so that no context is computed anew. `width` D of the hidden states,
    `memory` M of the encoder's; `embedding` gives e_t of what a position has read.
    """

    wants = frozenset({"attention"})

    def __init__(self, vocabulary: VocabularyOutput, embedding: Embedding, width: int, memory: int) -> None:
        super().__init__(vocabulary.size)
        self.vocabulary = vocabulary
        self._embedding = (embedding,)  # see Embedding: one tensor, one name
        self.of_context, self.of_state, self.of_input = (
            nn.Parameter(normal_(torch.empty(size), size**-0.5)) for size in (memory, width, embedding.width)
        )
        self.bias = nn.Parameter(torch.zeros(()))

    def keys(self, states_BSM: Tensor) -> Tensor:
        """`H w_C`, `[B,S]`."""
        return states_BSM @ self.of_context

    def forward(
        self, hidden: Tensor, attention: Tensor | None, symbols: Tensor, source: Copyable, show: bool
    ) -> CopyingAnswer:
        if attention is None:
            raise ValueError("a pointer-generator copies by attention, and this decoder shows none")
        hidden = hidden.to(self.bias.dtype)
        weights_BQS = attention.reshape(len(source.ids), -1, attention.shape[-1])
        vectors = self._embedding[0](symbols, symbols != PAD)
        gate_BQ = (hidden @ self.of_state + vectors @ self.of_input + self.bias).view(len(source.ids), -1)
        gate_BQ = gate_BQ + (weights_BQS @ source.keys[..., None]).squeeze(-1)
        return CopyingAnswer(symbols.shape, self.size, source, weights_BQS, gate_BQ, self.vocabulary(hidden), show)


class Pointer(CopyingOutput):
    """Points into the source by an attention of its own (Vinyals et al. 2015, eq. 3): with d_t a decoder's output,

        alpha_t = softmax_s(v . tanh(W_1 h_s + W_2 d_t + b))

    Prefer it where every output is a part of its input: spans, extracts, orders. There is no vocabulary to learn.
    What the decoder attends to on its way is a glimpse, and need not be where it points. `width` D of d_t, `memory` M
    of h_s.
    """

    def __init__(self, size: int, width: int, memory: int) -> None:
        super().__init__(size)
        self.attention = Additive(width, memory)

    def keys(self, states_BSM: Tensor) -> Tensor:
        """`W_1 h`, `[B,S,A]`."""
        return self.attention.keys(states_BSM)

    def forward(
        self, hidden: Tensor, attention: Tensor | None, symbols: Tensor, source: Copyable, show: bool
    ) -> CopyingAnswer:
        query_BQD = hidden.to(source.keys.dtype).reshape(len(source.ids), -1, hidden.shape[-1])
        weights_BQS = masked_softmax(self.attention.scores(query_BQD, source.keys), source.mask)
        return CopyingAnswer(symbols.shape, self.size, source, weights_BQS, None, None, show)


class CopyingAnswer(DenseSearch):
    """An `Answer` (see `seq2x.types`) over V + S symbols, for rows `[...]` = `[B,T]` or `[N]`.

    `weights` `[B,Q,S]` says from where is copied, `gate` `[B,Q]` how much is not, as a logit, and `vocabulary` what is
    said then; both None of a pure pointer. Inside, all rows of a sentence are its queries, [B,Q].
    """

    def __init__(
        self, shape: torch.Size, size: int, source: Copyable, weights: Tensor, gate: Tensor | None,
        vocabulary: VocabularyAnswer | None, show: bool,
    ) -> None:  # fmt: skip
        self._shape, self._size, self._source, self._weights = shape, size, source, weights
        self._gate, self._vocabulary, self._show = gate, vocabulary, show

    @property
    def attention(self) -> Tensor | None:
        """From where each row copies, `[B,T,S]` or `[N,S]`, if it was wanted."""
        return self._weights.reshape(*self._shape, -1) if self._show else None

    def of(self, ids: Tensor) -> Tensor:
        """log p of `ids`, shaped like `ids`; -inf for what can be neither said nor copied."""
        return self._of_and_mean(ids)[0]

    def mean(self) -> Tensor:
        """The mean of log P over the vocabulary, per row: what label smoothing spreads is what is generated. Zero for a
        pointer, which generates nothing.
        """
        if self._vocabulary is None:
            return self._weights.new_zeros(self._shape)
        return self._vocabulary.mean()

    def losses(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Two scalar sums over all rows whose id is not `PAD`: the smoothed loss, and the plain one (no gradient).

            loss = sum_r w_r [ -(1 - e) log p(y_r) - e mean_v log P(v) ]

        with e = `smoothing`: the vocabulary's distribution is smoothed, how much is copied and from where is learned
        from what stands there. A pointer has e = 0.
        """
        log_p, mean = self._of_and_mean(ids)
        share = (ids != PAD).to(log_p.dtype) if weights is None else weights * (ids != PAD)
        zero = log_p.new_zeros(())
        plain = -(torch.where(ids != PAD, log_p, zero) * share).sum()
        smoothed = plain if mean is None else (1.0 - smoothing) * plain - smoothing * (mean * share).sum()
        return smoothed, plain.detach()

    def all(self) -> Tensor:
        """log p of every symbol, `[..., V + S]`; -inf for the numbers that this source does not use."""
        B, Q, S = self._weights.shape
        log_p = self._weights.new_full((B, Q, self._size + S), -torch.inf)
        if self._vocabulary is not None:
            log_p[..., : self._size] = self._said(self._vocabulary.all().view(B, Q, -1), dim=1)
        places = self._source.ids[:, None].expand(B, Q, S)
        mass = torch.zeros_like(log_p).scatter_add(-1, places, self._weights).gather(-1, places)
        copied = self._copied(mass, self._source.mask[:, None].expand(B, Q, S), dim=1)
        # Places of one symbol write the same number.
        both = _log_sum(log_p.gather(-1, places), copied)
        return log_p.scatter(-1, places, both).view(*self._shape, -1)

    # ------------------------------------------------------------------ within

    def _of_and_mean(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """log p of `ids`, and where there is a vocabulary the mean of its log P: the logits are computed once."""
        ids_BQ = ids.reshape(self._weights.shape[:2])
        here_BQS = self._source.ids[:, None] == ids_BQ[..., None]
        mass = torch.where(here_BQS, self._weights, self._weights.new_zeros(())).sum(-1)
        copied = self._copied(mass, (here_BQS & self._source.mask[:, None]).any(-1))
        if self._vocabulary is None:
            return copied.view(self._shape), None
        inside = ids < self._size
        log_p, mean = self._vocabulary.of_and_mean(torch.where(inside, ids, PAD))
        said = self._said(torch.where(inside, log_p, -torch.inf).reshape(ids_BQ.shape))
        return _log_sum(said, copied).view(self._shape), mean

    def _said(self, log_p: Tensor, dim: int = 0) -> Tensor:
        """log g + `log_p` `[B,Q]`, or with `dim` 1 `[B,Q,*]`."""
        assert self._gate is not None  # it comes with the vocabulary
        gate = functional.logsigmoid(self._gate)
        return log_p + (gate[..., None] if dim else gate)

    def _copied(self, mass: Tensor, there: Tensor, dim: int = 0) -> Tensor:
        """log(1 - g) + log `mass`. What is `there` can be copied however little of the attention it has."""
        least = torch.finfo(mass.dtype).tiny
        log_mass = torch.where(there | (mass > 0), mass.clamp(min=least).log(), -torch.inf)
        if self._gate is None:
            return log_mass
        gate = functional.logsigmoid(-self._gate)
        return log_mass + (gate[..., None] if dim else gate)


def _log_sum(a: Tensor, b: Tensor) -> Tensor:
    """log(exp a + exp b), with gradients that are finite where one of them, or both, are -inf."""
    nothing = (a == -torch.inf) & (b == -torch.inf)
    return torch.where(nothing, -torch.inf, torch.logaddexp(torch.where(nothing, 0.0, a), b))
