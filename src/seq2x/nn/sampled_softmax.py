"""Sampled softmax: the loss over a large vocabulary, learned from a few of its symbols at a time.

A softmax over V symbols sums all of them, in every row of every update. Here n of them stand for all: with s_1 .. s_n
drawn from a proposal and E(v) the number of times that v is expected among them,

    log p(y) ~ z_y - log( e^{z_y} + sum_{i: s_i != y} e^{z_{s_i} - log E(s_i)} )        z = W h + b

which is importance sampling of the sum (Bengio & Senecal 2008), with the correction of each logit of Jean et al. 2015
(eq. 8 and 9). The right symbol is always there, so its own expected count is 1 and its logit stays as it is (Blanc &
Rendle 2018, eq. 2); where it is drawn as well, that hit is left out. The expectation of the sum is the true sum; its
logarithm is a little low, the less so the more symbols are drawn, and with all of them it is the full softmax.

Prefer it from some ten thousand symbols on; below, the full softmax costs little and learns more from each row. For
learning only: what is validated, scored and decoded goes over all symbols.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2x.choices import ProposalFrom

from .products import affine, product

__all__ = ["PROPOSALS", "Candidates", "Proposal", "expected_counts", "sampled_loss"]

PROPOSALS: Final = ("log_uniform", "unigram")

_Floats = npt.NDArray[np.float64]


class Candidates(NamedTuple):
    """What stands for a vocabulary: symbols `ids` `[n]`, and `log_expected` `[n]`, log E of each."""

    ids: Tensor
    log_expected: Tensor

    def to(self, like: Tensor) -> Candidates:
        """The same where `like` is, as precise as it is."""
        ids = self.ids.to(like.device, non_blocking=True)
        return Candidates(ids, self.log_expected.to(like.device, like.dtype, non_blocking=True))


class Proposal:
    """Draws `n` candidates with expected counts E(v) = min(1, c q(v)), c such that they sum up to n.

        log_uniform   q(v) ~ log((r + 2) / (r + 1)), r = 0, 1, ... the rank of v by frequency     (Zipf's law)
        unigram       q(v) ~ the frequency of v

    `counts` `[V]` are the frequencies, to each of which 1 is added: a symbol that is never drawn would never be told
    that it is wrong. Unigram follows the data; log-uniform gives rare symbols more, which helps where the data has
    few of each.

    No symbol is expected more than once, so the most frequent ones are always there and all n are of use (drawn
    independently, most would be the same few). The line of all E, n long, is cut into n pieces of length 1, and one
    point is drawn in each: just n draws, and exactly the expected counts.
    """

    def __init__(self, kind: ProposalFrom, counts: npt.NDArray[np.int64], n: int) -> None:
        weights: _Floats = counts.astype(np.float64) + 1.0
        if kind == "log_uniform":
            ranks = np.empty(len(counts))
            ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            weights = np.log((ranks + 2.0) / (ranks + 1.0))
        # The frequent ones in front: each of them then has a piece to itself.
        self._order = np.argsort(-weights, kind="stable")
        expected = expected_counts(weights[self._order], n)
        self._ends, self._log_expected = np.cumsum(expected), np.log(expected)
        self.n = min(n, len(counts))

    def draw(self, uniform: _Floats) -> Candidates:
        """The candidates that `uniform` `[n]` in [0, 1) stands for, one number for each."""
        points = np.arange(self.n) + uniform
        places = np.searchsorted(self._ends, points, side="right").clip(max=len(self._ends) - 1)
        return Candidates(torch.from_numpy(self._order[places]), torch.from_numpy(self._log_expected[places]))


def expected_counts(weights: _Floats, n: int) -> _Floats:
    """E(v) = min(1, c w(v)) `[V]` for positive weights in falling order, c such that the sum is n; all 1 if n >= V."""
    if n >= len(weights):
        return np.ones(len(weights))
    # With the first k at 1, c = (n - k) / (w_k + w_{k+1} + ...), the sum of the rest; k is the first that fits.
    rest = np.cumsum(weights[::-1])[::-1][:n]
    scale = (n - np.arange(n)) / rest
    full = int(np.argmax(scale * weights[:n] <= 1.0))
    expected: _Floats = scale[full] * weights
    expected[:full] = 1.0
    return expected


def sampled_loss(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    ids: Tensor,
    weights: Tensor | None,
    candidates: Candidates,
    step: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The scalar sum of -log p of `ids` `[R]` after hidden states `rows` `[R, D]`, by the equation above.

    `weights` `[R]`: how much each row counts (None: 1).
    `weight` `[V, D]` and `bias` `[V]` are read, and have a gradient, in the rows of `ids` and of the candidates only.
    `step` rows of logits exist at a time; matrices are multiplied in `dtype` (None: as they are).
    """
    candidates = candidates.to(weight)
    loss: Tensor = _SampledLoss.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
        rows, weight, bias, ids, weights, *candidates, step, dtype or weight.dtype
    )
    return loss


class _SampledLoss(torch.autograd.Function):
    """Computes the gradient in the forward pass, while the logits of a chunk are there, as the full loss does."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        ids: Tensor,
        weights: Tensor | None,
        candidates: Tensor,
        log_expected: Tensor,
        step: int,
        dtype: torch.dtype,
    ) -> Tensor:
        learns = any(ctx.needs_input_grad[:3])
        exact = rows.to(weight.dtype)
        right = weight.index_select(0, ids)
        picked = (exact * right).sum(-1) + bias.index_select(0, ids)
        rounded, matrix = rows.to(dtype), weight.index_select(0, candidates).to(dtype)
        offset = bias.index_select(0, candidates) - log_expected
        normaliser, by_rows = torch.empty_like(picked), torch.empty_like(exact)
        by_matrix, by_offset = weight.new_zeros(matrix.shape), torch.zeros_like(offset)
        for low in range(0, len(rows), step):
            part = slice(low, low + step)
            logits = affine(rounded[part], matrix).to(weight.dtype).add_(offset)
            logits.masked_fill_(candidates == ids[part, None], -torch.inf)
            normaliser[part] = torch.logaddexp(picked[part], torch.logsumexp(logits, -1))
            if learns:
                grad = logits.sub_(normaliser[part, None]).exp_()
                if weights is not None:
                    grad.mul_(weights[part, None])
                by_offset += grad.sum(0)
                grad = grad.to(dtype)
                by_rows[part] = product(grad, matrix).to(weight.dtype)
                by_matrix += product(grad.T, rounded[part])
        losses = normaliser - picked
        if weights is not None:
            losses = losses * weights
        if learns:
            by_picked = torch.expm1(picked - normaliser)  # p(y) - 1
            by_picked = by_picked if weights is None else by_picked * weights
            by_rows += by_picked[:, None] * right
            ctx.save_for_backward(exact, ids, candidates, by_picked, by_rows, by_matrix, by_offset)
            ctx.size, ctx.rows_dtype = len(weight), rows.dtype
        return losses.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by = gradients[0]
        exact, ids, candidates, by_picked, by_rows, by_matrix, by_offset = ctx.saved_tensors
        by_weight = exact.new_zeros(ctx.size, exact.shape[-1])
        by_weight.index_add_(0, candidates, by_matrix * by)
        by_weight.index_add_(0, ids, exact * (by_picked * by)[:, None])
        by_bias = exact.new_zeros(ctx.size)
        by_bias.index_add_(0, candidates, by_offset * by)
        by_bias.index_add_(0, ids, by_picked * by)
        return (by_rows * by).to(ctx.rows_dtype), by_weight, by_bias, None, None, None, None, None, None
