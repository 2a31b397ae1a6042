"""From hidden states to what a model says about the next symbol, without ever holding `[B, T, V]`.

Logits are `z = W h + b`; log p(v) = z_v - lse(z). The vocabulary is by far the widest axis of a model, so logits exist
for a chunk of rows at a time, small enough to stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2x import arrays
from seq2x.types import PAD

from .embedding import Embedding
from .precision import matrix_dtype
from .products import affine, product

__all__ = ["VocabularyAnswer", "VocabularyOutput"]

_CHUNK_BYTES = 8 << 20  # of logits: a share of the last-level cache, and rows enough for efficient products


class VocabularyOutput(nn.Module):
    """The output layer: hidden states `[..., D]` to a lazily normalised `VocabularyAnswer` over V symbols.

    `tied_to` an embedding, its matrix is used (Press & Wolf 2017) and only the bias is new. Else the weights are
    drawn like an embedding, N(0, D^-1), so that logits of normalised states start with unit variance.
    """

    def __init__(self, width: int, size: int, tied_to: Embedding | None = None) -> None:
        super().__init__()
        self.width, self.size = width, size
        self._owner = () if tied_to is None else (tied_to,)  # see Embedding: one tensor, one name
        if tied_to is None:
            self.matrix = nn.Parameter(torch.empty(size, width))
            nn.init.normal_(self.matrix, std=width**-0.5)
        elif (size, width) != (tied_to.size, tied_to.width):
            raise ValueError(f"cannot tie [{size}, {width}] to [{tied_to.size}, {tied_to.width}]")
        self.bias = nn.Parameter(torch.zeros(size))

    @property
    def weight(self) -> Tensor:
        """W, `[V, D]`."""
        return self._owner[0].weight if self._owner else self.matrix

    def forward(self, hidden: Tensor, attention: Tensor | None = None) -> VocabularyAnswer:
        """What `hidden` `[..., D]` says; nothing is computed yet."""
        return VocabularyAnswer(hidden, self.weight, self.bias, attention)


class VocabularyAnswer:
    """An `Answer` (see `seq2x.types`) over a vocabulary, for rows `[...]` = `[B, T]` or `[N]`.

    Each call computes what it needs and keeps nothing. Only `loss` rounds its matrix products (to what
    `matrix_precision` says when it is called); all else is exact in the precision of the weights.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor, attention: Tensor | None = None) -> None:
        self.hidden, self.weight, self.bias = hidden, weight, bias
        self._attention = attention

    @property
    def attention(self) -> Tensor | None:
        """`[B, T, S]` or `[N, S]` if it was wanted."""
        return self._attention

    def of(self, ids: Tensor) -> Tensor:
        """log p of `ids`, shaped like `ids`; in chunks, the gradient by computing the logits again."""
        picked, normaliser = _picked(self._rows(), self.weight, self.bias, ids.reshape(-1))
        return (picked - normaliser).view(ids.shape)

    def mean(self) -> Tensor:
        """The mean over the vocabulary of log p: `h . mean(W) + mean(b) - lse`, one dot product per row."""
        rows = self._rows()
        _, normaliser = _picked(rows, self.weight, self.bias, rows.new_zeros(len(rows), dtype=torch.int64))
        return (rows @ self.weight.mean(0) + self.bias.mean() - normaliser).view(self.hidden.shape[:-1])

    def loss(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        """The scalar sum over rows of the smoothed negative log-likelihood; see `losses`."""
        return self.losses(ids, smoothing, weights)[0]

    def losses(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Two scalar sums over all rows whose id is not `PAD`: the smoothed loss, and the plain one (no gradient).

            loss = sum_r w_r [ -(1 - e) log p(y_r) - e mean_v log p(v) ]          (Szegedy et al. 2016, section 7)

        with e = `smoothing` and `weights` `[...]` like `ids` (None: 1). Logits exist once per chunk: the gradient
        is computed while they are there, so the backward pass is two scalar multiplications.
        """
        rows, ids = self.hidden.reshape(-1, self.hidden.shape[-1]), ids.reshape(-1)
        if weights is not None:
            weights = weights.reshape(-1)
        if ids.device.type == "cpu":  # on other devices the host would have to wait for the count
            kept = (ids != PAD).nonzero().squeeze(1)
            if len(kept) < len(ids):
                rows, ids = rows.index_select(0, kept), ids.index_select(0, kept)
                weights = None if weights is None else weights.index_select(0, kept)
        else:
            valid = (ids != PAD).to(rows.dtype)
            weights = valid if weights is None else weights * valid
        totals: tuple[Tensor, Tensor] = _SmoothedLoss.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            rows, self.weight, self.bias, ids, weights, smoothing, matrix_dtype()
        )
        return totals

    def top(self, c: int, forbid: Tensor | None = None, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The `c` best symbols of each row `[N]`, best first: (log p, ids), both `[N, c]`."""
        log_p = self.all()
        if bias is not None:
            log_p = log_p + bias
        values, ids = arrays.top(log_p if forbid is None else arrays.without(log_p, forbid), c)
        return values, ids

    def sample(
        self,
        uniform: Tensor,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        forbid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One draw per row `[N]` by inverse CDF of `uniform`: (log p of the model itself, ids); `seq2x.arrays.draw`."""
        log_p = self.all()
        ids: Tensor = arrays.draw(
            log_p if forbid is None else arrays.without(log_p, forbid), uniform, temperature, top_k, top_p
        )
        return log_p.gather(1, ids[:, None]).squeeze(1), ids

    def all(self) -> Tensor:
        """log p of every symbol, `[..., V]`: the only place where this tensor exists."""
        return torch.log_softmax(affine(self._rows(), self.weight, self.bias), -1).view(*self.hidden.shape[:-1], -1)

    def _rows(self) -> Tensor:
        """Hidden states `[R, D]` in the precision of the weights."""
        return self.hidden.reshape(-1, self.hidden.shape[-1]).to(self.weight.dtype)


def _chunk_rows(size: int, itemsize: int) -> int:
    """How many rows of logits fit the budget; at least enough for one efficient product."""
    return max(64, _CHUNK_BYTES // (size * itemsize))


def _picked(rows: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """`_Picked` with types."""
    both: tuple[Tensor, Tensor] = _Picked.apply(rows, weight, bias, ids)  # type: ignore[no-untyped-call]  # torch's own
    return both


class _Picked(torch.autograd.Function):
    """(z of one given symbol, lse(z)), both `[R]`, of rows `[R, D]`; backward computes each chunk's logits again.

    Both come from the same product, so that z - lse is never above zero by a rounding error.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        picked, normaliser = rows.new_empty(len(rows)), rows.new_empty(len(rows))
        step = _chunk_rows(len(weight), weight.element_size())
        for low in range(0, len(rows), step):
            part = slice(low, low + step)
            logits = affine(rows[part], weight, bias)
            picked[part] = logits.gather(1, ids[part, None]).squeeze(1)
            normaliser[part] = torch.logsumexp(logits, -1)
        ctx.save_for_backward(rows, weight, bias, ids, normaliser)
        return picked, normaliser

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad_picked, grad_normaliser = gradients
        rows, weight, bias, ids, normaliser = ctx.saved_tensors
        grad_rows, grad_weight, grad_bias = torch.empty_like(rows), torch.zeros_like(weight), torch.zeros_like(bias)
        step = _chunk_rows(len(weight), weight.element_size())
        for low in range(0, len(rows), step):
            part = slice(low, low + step)
            grad = affine(rows[part], weight, bias).sub_(normaliser[part, None]).exp_()
            grad.mul_(grad_normaliser[part, None])
            grad.scatter_add_(1, ids[part, None], grad_picked[part, None])
            grad_rows[part] = product(grad, weight)
            grad_weight += product(grad.T, rows[part])
            grad_bias += grad.sum(0)
        return grad_rows, grad_weight, grad_bias, None


class _SmoothedLoss(torch.autograd.Function):
    """The two sums of `VocabularyAnswer.losses`, with the gradient computed in the forward pass.

    With p = softmax(z), the gradient by the logits of row r is w_r (p - (1 - e) onehot(y_r) - e / V). Its last term
    is the same for every symbol, so it is added after the products, as one vector, instead of `R * V` times.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        ids: Tensor,
        weights: Tensor | None,
        smoothing: float,
        dtype: torch.dtype | None,
    ) -> tuple[Tensor, Tensor]:
        exact = weight.dtype
        dtype = dtype or exact
        needed = any(ctx.needs_input_grad[:3])
        rounded, matrix, offset = rows.to(dtype), weight.to(dtype), bias.to(dtype)
        normaliser, picked = weight.new_empty(len(rows)), weight.new_empty(len(rows))
        grad_rows = torch.empty_like(rounded) if needed else None
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        step = _chunk_rows(len(weight), rounded.element_size())
        for low in range(0, len(rows), step):
            part = slice(low, low + step)
            logits = affine(rounded[part], matrix, offset)
            here = ids[part, None]
            picked[part] = logits.gather(1, here).squeeze(1).to(exact)
            grad = torch.softmax(logits, -1)
            # The largest p is exp(0) / sum and never underflows, so it gives away the sum without another pass.
            normaliser[part] = logits.amax(-1).to(exact) - grad.amax(-1).to(exact).log()
            if grad_rows is None:
                continue
            grad.scatter_add_(1, here, grad.new_full((), smoothing - 1.0).expand(here.shape))
            if weights is not None:
                grad.mul_(weights[part, None])
            grad_bias += grad.sum(0, dtype=exact)
            grad_rows[part] = product(grad, matrix)
            grad_weight += product(grad.T, rounded[part])
        ctx.rows_dtype = rows.dtype
        return _finish(
            ctx, rows, weight, bias, weights, smoothing, normaliser, picked, grad_rows, grad_weight, grad_bias
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad_rows, grad_weight, grad_bias = ctx.saved_tensors
        by = gradients[0]
        return (grad_rows * by).to(ctx.rows_dtype), grad_weight * by, grad_bias * by, None, None, None, None


def _finish(
    ctx: Any,
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    weights: Tensor | None,
    smoothing: float,
    normaliser: Tensor,
    picked: Tensor,
    grad_rows: Tensor | None,
    grad_weight: Tensor,
    grad_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum the rows, and add the part of loss and gradient that is the same for every symbol."""
    exact = weight.dtype
    centre = weight.mean(0)
    plain = normaliser - picked
    smoothed = normaliser - (1.0 - smoothing) * picked
    if smoothing:
        smoothed = smoothed - smoothing * (rows.to(exact) @ centre + bias.mean())
    if weights is not None:
        plain, smoothed = plain * weights, smoothed * weights
    if grad_rows is not None:
        share = smoothing / len(weight)
        each = torch.ones_like(plain) if weights is None else weights.to(exact)
        grad_rows = grad_rows.to(exact).addr_(each, centre, alpha=-smoothing)
        grad_weight -= share * (each @ rows.to(exact))
        grad_bias -= share * each.sum()
        ctx.save_for_backward(grad_rows, grad_weight, grad_bias)
    totals = smoothed.sum(), plain.sum()
    ctx.mark_non_differentiable(totals[1])
    return totals
