"""Scores of attention: how well a decoder state `q` and an encoder state `h` go together.

Dot, scaled, general and additive, by the names they have in the setting `attention`: the table is at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2x.choices import AttentionScore

from .attention import Attention
from .products import Affine

__all__ = ["ATTENTIONS", "Additive", "Dot", "General", "Scaled"]

_TILE = 1 << 18
"""Floats of one tile of `Additive`'s `[B,Q,S,A]` block: 1 MB of fp32, which stays in a core's cache."""


class Dot(Attention):
    """`q . h` (Luong et al. 2015, section 3.1, "dot"): no weights, the cheapest.

    Needs D = M. Where they differ (two encoder directions), the states are first projected to D, `q . (U h)`,
    which is "general" with the product kept in the keys. Prefer `Scaled` when D is large.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__(query, memory)
        self.fit = Affine(memory, query, bias=False) if query != memory else None
        if self.fit is not None:
            nn.init.xavier_uniform_(self.fit.weight)

    def keys(self, states_BSM: Tensor) -> Tensor:
        return states_BSM if self.fit is None else self.fit(states_BSM)

    def scores(self, query_BQD: Tensor, keys_BSA: Tensor) -> Tensor:
        return query_BQD @ keys_BSA.transpose(1, 2)


class Scaled(Dot):
    """`q . h / sqrt(D)` (Vaswani et al. 2017, eq. 1): `Dot` whose scores do not grow with the width."""

    def scores(self, query_BQD: Tensor, keys_BSA: Tensor) -> Tensor:
        return super().scores(query_BQD, keys_BSA) / math.sqrt(self.query)


class General(Attention):
    """`q' W h` (Luong et al. 2015, section 3.1, "general"): a learned similarity, at the price of a dot product.

    `W h` is the key, so that a step of the search costs no more than `Dot`.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__(query, memory)
        self.weight = Affine(memory, query, bias=False)
        nn.init.xavier_uniform_(self.weight.weight)

    def keys(self, states_BSM: Tensor) -> Tensor:
        return self.weight(states_BSM)  # type: ignore[no-any-return]  # nn.Module.__call__ is typed Any

    def scores(self, query_BQD: Tensor, keys_BSA: Tensor) -> Tensor:
        return query_BQD @ keys_BSA.transpose(1, 2)


class Additive(Attention):
    """`v . tanh(W q + U h + b)` (Bahdanau et al. 2015, appendix A.1.2; "concat" of Luong et al. 2015, section 3.1).

    The recurrent default: the most robust to its start and to widths, and the dearest, `Q * S * A` tanh.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__(query, memory)
        self.of_query = Affine(query, query, bias=False)
        self.of_state = Affine(memory, query)
        self.v = nn.Parameter(torch.empty(query))
        nn.init.xavier_uniform_(self.of_query.weight)
        nn.init.xavier_uniform_(self.of_state.weight)
        nn.init.zeros_(self.of_state.bias)
        nn.init.uniform_(self.v, -math.sqrt(3 / query), math.sqrt(3 / query))

    def keys(self, states_BSM: Tensor) -> Tensor:
        return self.of_state(states_BSM)  # type: ignore[no-any-return]  # nn.Module.__call__ is typed Any

    def scores(self, query_BQD: Tensor, keys_BSA: Tensor) -> Tensor:
        query_BQA = self.of_query(query_BQD)
        scores: Tensor = _AdditiveScores.apply(query_BQA, keys_BSA, self.v)  # type: ignore[no-untyped-call]  # torch's
        return scores


def _tiles(query_BQA: Tensor, keys_BSA: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of sentences and queries whose `[b,q,S,A]` block has about `_TILE` numbers."""
    B, Q, A = query_BQA.shape
    per_query = max(1, keys_BSA.shape[1] * A)
    queries = max(1, min(Q, _TILE // per_query))
    sentences = max(1, _TILE // (per_query * queries))
    for b in range(0, B, sentences):
        for q in range(0, Q, queries):
            yield slice(b, b + sentences), slice(q, q + queries)


class _AdditiveScores(torch.autograd.Function):
    """`scores[b,q,s] = v . tanh(query[b,q] + keys[b,s])`, tile by tile.

    Written out plainly the `[B,Q,S,A]` block is made, kept and read again several times; here a tile is made in
    the cache, used and forgotten, and made again for the gradient. Memory: the inputs and the scores.
    """

    @staticmethod
    def forward(ctx: Any, query_BQA: Tensor, keys_BSA: Tensor, v_A: Tensor) -> Tensor:
        ctx.save_for_backward(query_BQA, keys_BSA, v_A)
        scores_BQS = query_BQA.new_empty(query_BQA.shape[0], query_BQA.shape[1], keys_BSA.shape[1])
        for b, q in _tiles(query_BQA, keys_BSA):
            scores_BQS[b, q] = _tile(query_BQA, keys_BSA, b, q) @ v_A
        return scores_BQS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BQS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query_BQA, keys_BSA, v_A = ctx.saved_tensors
        d_query, d_keys, d_v = torch.zeros_like(query_BQA), torch.zeros_like(keys_BSA), torch.zeros_like(v_A)
        for b, q in _tiles(query_BQA, keys_BSA):
            tanh = _tile(query_BQA, keys_BSA, b, q)
            grad = grad_BQS[b, q]
            d_v += grad.reshape(-1) @ tanh.reshape(-1, tanh.shape[-1])
            inner = tanh.square_().neg_().add_(1).mul_(grad[..., None])  # all but v of (1 - tanh^2) v grad
            d_query[b, q] = inner.sum(2)
            d_keys[b] += inner.sum(1)
        return d_query * v_A, d_keys * v_A, d_v


def _tile(query_BQA: Tensor, keys_BSA: Tensor, b: slice, q: slice) -> Tensor:
    return (query_BQA[b, q, None, :] + keys_BSA[b, None, :, :]).tanh_()


ATTENTIONS: Mapping[AttentionScore, type[Attention]] = {
    "dot": Dot,
    "scaled": Scaled,
    "general": General,
    "additive": Additive,
}
"""Scores by the name they have in the setting `attention`."""
