"""Where attention may go: from scores to weights, where it is not free to look at every position anew.

With e_s the score of source position s for target position t, S the length of the sentence itself and s, t from 0:

    local_m          only s in [p - D, p + D], p = min(t, S - 1)                     Luong et al. 2015, section 3.2
    local_p          the same around p = S sigmoid(v . tanh(W h_t)), each weight
                     times exp(-(s - p)^2 / (2 (D / 2)^2))                           the same, eq. 9, 10
    monotonic        from where it stands attention moves on and stops at s with
                     probability sigmoid(e_s + r); see `Monotonic`                   Raffel et al. 2017
    forward          stays or moves on by one: alpha_{t,s} is proportional to
                     (alpha_{t-1,s} + alpha_{t-1,s-1}) exp(e_s)                      Zhang et al. 2018, eq. 5-8

The last two go from the weights before, one target position after another, in training too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2x.choices import AttentionPath

from .attention import masked_softmax
from .products import Affine

__all__ = ["PATHS", "Forward", "LocalM", "LocalP", "Monotonic", "Path"]


class Path(nn.Module):
    """From scores to weights. `query` is D; a local path looks `window` positions to either side; `noise`: see
    `Monotonic`.
    """

    def __init__(self, query: int, window: int, noise: float) -> None:
        super().__init__()
        self.query, self.window, self.noise = query, window, noise

    def begin(self, rows: int, size: int, like: Tensor) -> Tensor | None:
        """What is remembered of former steps before the first: a tensor of N = `rows`, `[N,S]` or `[N]`, or nothing."""
        return None

    def forward(
        self, scores_NQS: Tensor, query_NtD: Tensor, mask_NS: Tensor, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Weights `[N,Q,S]`, zero where the mask is false, and what is remembered after the last position.

        Q = t: the scores of each of t positions; or a multiple, the heads of a position side by side.
        """
        raise NotImplementedError


class LocalM(Path):
    """local-m: a window that moves on by one a step (Luong et al. 2015, section 3.2).

    For outputs as long as their input that keep its order. Beyond the end of the source the window stays there.
    """

    def begin(self, rows: int, size: int, like: Tensor) -> Tensor:
        return torch.zeros(rows, dtype=torch.int64, device=like.device)

    def forward(
        self, scores_NQS: Tensor, query_NtD: Tensor, mask_NS: Tensor, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert trace is not None  # by construction: told to mypy
        t = query_NtD.shape[1]
        at_Nt = trace[:, None] + torch.arange(t, device=trace.device)
        centre_Nt = torch.minimum(at_Nt, mask_NS.sum(-1, keepdim=True) - 1)
        away_NQS = _away(centre_Nt, scores_NQS)
        return masked_softmax(scores_NQS, mask_NS[:, None] & (away_NQS.abs() <= self.window)), trace + t


class LocalP(Path):
    """local-p: a window whose centre is predicted (Luong et al. 2015, eq. 9, 10).

    alpha_{t,s} = softmax(e)_s exp(-(s - p)^2 / (2 sigma^2)), sigma = D / 2, the softmax over the window. As in the
    paper they are not scaled up again: they sum to less than one, the less the farther away what scores best.
    """

    def __init__(self, query: int, window: int, noise: float) -> None:
        super().__init__(query, window, noise)
        self.inner = Affine(query, query, bias=False)
        self.v = nn.Parameter(torch.empty(query))
        nn.init.xavier_uniform_(self.inner.weight)
        nn.init.uniform_(self.v, -((3 / query) ** 0.5), (3 / query) ** 0.5)

    def forward(
        self, scores_NQS: Tensor, query_NtD: Tensor, mask_NS: Tensor, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        share_Nt = torch.sigmoid(torch.tanh(self.inner(query_NtD)) @ self.v)
        away_NQS = _away(mask_NS.sum(-1, keepdim=True) * share_Nt, scores_NQS)
        near_NQS = mask_NS[:, None] & (away_NQS.abs() <= self.window)
        spread = self.window / 2
        return masked_softmax(scores_NQS, near_NQS) * torch.exp(away_NQS.square() / (-2 * spread**2)), None


def _away(centre_Nt: Tensor, scores_NQS: Tensor) -> Tensor:
    """How far each position is from the centre of each query, `[N,Q,S]`; the heads of a position share its centre."""
    _, Q, S = scores_NQS.shape
    centre_NQ = centre_Nt.repeat_interleave(Q // centre_Nt.shape[1], 1)
    return torch.arange(S, device=centre_Nt.device) - centre_NQ[..., None]


class _FromFirst(Path):
    """A path that begins at the first position and goes on from the weights before, `[N,S]`."""

    def begin(self, rows: int, size: int, like: Tensor) -> Tensor:
        first_NS = like.new_zeros(rows, size)
        first_NS[:, 0] = 1
        return first_NS


class Monotonic(_FromFirst):
    """Attention that only moves on (Raffel et al. 2017). It begins at the first position. Each step goes on from where
    the last one stopped and stops at s with probability p_s = sigmoid(e_s + r); past the end it sees nothing any more.

    In training the weights are the probabilities of having stopped there (section 2.3, eq. 8-14),

        alpha_{t,s} = p_{t,s} q_{t,s}        q_{t,s} = (1 - p_{t,s-1}) q_{t,s-1} + alpha_{t-1,s}

    with noise of standard deviation `noise` on the scores, which drives p to 0 and 1 (section 2.5). In evaluation
    (`hard`) it stops where p > 1/2 (section 2.2): the same equations with p rounded, so that a weight is 0 or 1 and
    what is scored is what a search does. r begins at -1: about every fourth position is one to stop at.

    q is a recursion over S whose factors are all within [0, 1]: it is unrolled in log2 S steps (Hillis & Steele 1986),
    without the quotient of cumulative products that the paper computes it by, which overflows on long sources.
    """

    START = -1.0

    def __init__(self, query: int, window: int, noise: float, hard: bool = True) -> None:
        super().__init__(query, window, noise)
        self.hard = hard
        self.offset = nn.Parameter(torch.full((1,), self.START))

    def forward(
        self, scores_NQS: Tensor, query_NtD: Tensor, mask_NS: Tensor, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert trace is not None  # by construction: told to mypy
        scores_NQS = scores_NQS + self.offset
        if self.training and self.noise:
            scores_NQS = scores_NQS + self.noise * torch.randn_like(scores_NQS)
        if self.hard and not self.training:
            stop_NQS = (scores_NQS > 0).to(scores_NQS.dtype)
            go_NQS = 1 - stop_NQS
        else:
            stop_NQS, go_NQS = torch.sigmoid(scores_NQS), torch.sigmoid(-scores_NQS)
        stop_NQS = torch.where(mask_NS[:, None], stop_NQS, stop_NQS.new_zeros(()))
        go_NQS = _moved(go_NQS)
        weights = []
        for stop_NS, go_NS in zip(stop_NQS.unbind(1), go_NQS.unbind(1), strict=True):
            trace = stop_NS * _recursion(go_NS, trace)
            weights.append(trace)
        return torch.stack(weights, 1), trace


class Forward(_FromFirst):
    """Forward attention: stays where it is or moves on by one position (Zhang, Ling & Dai 2018, eq. 5-8, without the
    transition agent). It begins at the first position, so that position s is out of reach before step s.

    For outputs longer than their input that keep its order, as in speech synthesis. The normaliser of the softmax
    cancels out, so all is done in logarithms: alpha_t = softmax(e + log(alpha_{t-1,s} + alpha_{t-1,s-1})).
    """

    def forward(
        self, scores_NQS: Tensor, query_NtD: Tensor, mask_NS: Tensor, trace: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert trace is not None  # by construction: told to mypy
        tiny = torch.finfo(scores_NQS.dtype).tiny
        weights = []
        for scores_NS in scores_NQS.unbind(1):
            reached_NS = trace + _moved(trace)
            within_NS = mask_NS & (reached_NS > 0)
            logits_NS = scores_NS + reached_NS.clamp_min(tiny).log()
            trace = masked_softmax(logits_NS[:, None], within_NS)[:, 0]
            weights.append(trace)
        return torch.stack(weights, 1), trace


def _moved(x: Tensor, by: int = 1) -> Tensor:
    """What stood `by` positions before, zero where there is none; along the last axis."""
    return functional.pad(x[..., :-by], (by, 0))


def _recursion(factor_NS: Tensor, term_NS: Tensor) -> Tensor:
    """x_s = factor_s x_{s-1} + term_s: after each step, over twice as many positions as before."""
    by = 1
    while by < term_NS.shape[-1]:
        term_NS = term_NS + factor_NS * _moved(term_NS, by)
        factor_NS = factor_NS * _moved(factor_NS, by)
        by *= 2
    return term_NS


_Made: TypeAlias = Callable[[int, int, float], Path]

PATHS: Mapping[AttentionPath, _Made] = {
    "local_m": LocalM,
    "local_p": LocalP,
    "monotonic": Monotonic,
    "monotonic_soft": partial(Monotonic, hard=False),
    "forward": Forward,
}
"""By the name they have in the setting `attention_path` ("any": weights are the softmax over all positions)."""
