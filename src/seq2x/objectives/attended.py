"""What attention itself is trained for, beside the likelihood: to cover the source once, to follow the diagonal, or to
look where somebody says it should.

Both are read off the weights `alpha` `[B,T,S]` that a decoder shows, so they work with every decoder that attends; of a
Transformer these are the mean over the heads of the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from seq2x.nn.pooling import valid
from seq2x.types import Batch, Loss, Want

from .likelihood import Answer, Likelihood

__all__ = ["Attended", "alignment_loss", "coverage_loss", "guided_loss"]

_SPREAD = 0.2
"""g of `guided_loss`: how far from the diagonal is still near, a share of the whole length."""

_FLOOR = 1e-9
"""The least weight whose logarithm is taken."""

_ATTENTION: Want = frozenset({"attention"})


class _Answer(Answer, Protocol):
    @property
    def attention(self) -> Tensor | None: ...


class _Model(Protocol):
    def answer(self, batch: Batch, want: Want) -> _Answer: ...


@dataclass(frozen=True, slots=True)
class Attended:
    """`likelihood`, and so much of `coverage_loss`, `guided_loss` and `alignment_loss` for each target symbol."""

    likelihood: Likelihood
    coverage: float = 0.0
    guided: float = 0.0
    alignment: float = 0.0

    def __call__(self, model: _Model, batch: Batch) -> Loss:
        """`parts` beside the likelihood's, unweighted sums over symbols: `coverage`, `guided`, and `alignment` where a
        batch has given links.

        Raises `ValueError` for a model that shows no attention.
        """
        answer = model.answer(batch, _ATTENTION)
        loss, alpha_BTS = self.likelihood.of(answer, batch), answer.attention
        if alpha_BTS is None or batch.source is None or batch.target is None:
            raise ValueError("there is no attention to learn")
        sides, device = (batch.source, batch.target), alpha_BTS.device
        sources, targets = (side.lengths.to(device, non_blocking=True) for side in sides)
        mask_BT1 = valid(targets, alpha_BTS.shape[1])[..., None]
        alpha_BTS = torch.where(mask_BT1, alpha_BTS, alpha_BTS.new_zeros(()))
        coverage, guided = coverage_loss(alpha_BTS), guided_loss(alpha_BTS, sources, targets)
        total = loss.total + self.coverage * coverage + self.guided * guided
        parts = {"coverage": coverage.detach(), "guided": guided.detach()}
        if self.alignment and "links" in batch.extras:
            aligned = alignment_loss(alpha_BTS, batch.extras["links"])
            total, parts["alignment"] = total + self.alignment * aligned, aligned.detach()
        return Loss(total, loss.count, {**loss.parts, **parts})


def coverage_loss(alpha_BTS: Tensor) -> Tensor:
    """sum_t sum_s min(alpha_{t,s}, c_{t,s}), c the sum of the weights before t (See et al. 2017, eq. 12)."""
    before_BTS = alpha_BTS.cumsum(1) - alpha_BTS
    return torch.minimum(alpha_BTS, before_BTS).sum()


def guided_loss(alpha_BTS: Tensor, sources_B: Tensor, targets_B: Tensor) -> Tensor:
    """sum_t sum_s alpha_{t,s} W_{t,s}, W = 1 - exp(-(t/T - s/S)^2 / (2 g^2)) (Tachibana et al. 2018, section 3.2).

    g = 0.2. For tasks that keep the order of the source. `sources_B`, `targets_B`: the lengths S and T of each pair.
    """
    _, T, S = alpha_BTS.shape
    at_BT1 = (torch.arange(T, device=alpha_BTS.device) / targets_B[:, None].clamp(min=1))[..., None]
    at_B1S = (torch.arange(S, device=alpha_BTS.device) / sources_B[:, None].clamp(min=1))[:, None]
    far_BTS = 1.0 - torch.exp((at_BT1 - at_B1S).square() / (-2 * _SPREAD**2))
    return (alpha_BTS * far_BTS.to(alpha_BTS.dtype)).sum()


def alignment_loss(alpha_BTS: Tensor, links_L3: Tensor) -> Tensor:
    """- sum_t sum_s g_{t,s} log alpha_{t,s}, g_t equal shares of the places linked with t (Mi et al. 2016; for
    Transformers Garg et al. 2019).

    `links_L3`: sentence, target symbol and source symbol of each link, none twice. A target symbol without one is free.
    """
    b, t, s = links_L3.unbind(-1)
    counts_BT = alpha_BTS.new_zeros(alpha_BTS.shape[:2]).index_put((b, t), alpha_BTS.new_ones(()), accumulate=True)
    return -(alpha_BTS[b, t, s].clamp_min(_FLOOR).log() / counts_BT[b, t]).sum()
