"""From hidden states to what a model says about the next symbol, without ever holding `[B, T, V]`.

Logits are `z = W h + b`; log p(v) = z_v - lse(z). The vocabulary is by far the widest axis of a model, so logits exist
for a chunk of rows at a time, small enough to stay in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2x import arrays
from seq2x.types import EOS, PAD

from .embedding import Embedding
from .initial import normal_
from .precision import matrix_dtype
from .products import affine, product
from .sampled_softmax import Candidates, sampled_loss

__all__ = ["DenseSearch", "VocabularyAnswer", "VocabularyOutput"]

_CHUNK_BYTES = 8 << 20  # of logits: a share of the last-level cache, and rows enough for efficient products
_DEVICE_CHUNK_BYTES = 256 << 20  # on a device, where each chunk costs a dozen launches and a product wants many rows


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
            normal_(self.matrix, width**-0.5)
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


class DenseSearch:
    """What a search asks of an answer, by looking at all of its symbols."""

    def all(self) -> Tensor:
        """log p of every symbol, `[..., V]`."""
        raise NotImplementedError

    def top(self, c: int, forbid: Tensor | None = None, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The `c` best symbols of each row `[N]`, best first: (log p, ids), both `[N, c]`."""
        log_p = self.all()
        if bias is not None:
            log_p = log_p + bias
        values, ids = arrays.top(log_p if forbid is None else arrays.without(log_p, forbid, own=True), c)
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
        log_p, ids = arrays.Table(self.all()).sample(uniform, temperature, top_k, top_p, forbid)
        return log_p, ids


class VocabularyAnswer(DenseSearch):
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
        shape = self.hidden.shape[:-1]
        return self.of_and_mean(torch.zeros(shape, dtype=torch.int64, device=self.hidden.device))[1]

    def of_and_mean(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """`of` and `mean`, for the logits of one."""
        rows = self._rows()
        picked, normaliser = _picked(rows, self.weight, self.bias, ids.reshape(-1))
        mean = rows @ self.weight.mean(0) + self.bias.mean() - normaliser
        return (picked - normaliser).view(ids.shape), mean.view(ids.shape)

    def loss(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        """The scalar sum over rows of the smoothed negative log-likelihood; see `losses`."""
        return self.losses(ids, smoothing, weights)[0]

    def losses(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Two scalar sums over all rows whose id is not `PAD`: the smoothed loss, and the plain one (no gradient).

            loss = sum_r w_r [ -(1 - e) log p(y_r) - e mean_v log p(v) ]          (Szegedy et al. 2016, section 7)

        with e = `smoothing` and `weights` `[...]` like `ids` (None: 1). Logits exist once per chunk: the gradient
        is computed while they are there, so the backward pass is two scalar multiplications.
        """
        rows = self.hidden.reshape(-1, self.hidden.shape[-1])
        rows, ids, weights = _kept(rows, ids.reshape(-1), None if weights is None else weights.reshape(-1))
        totals: tuple[Tensor, Tensor] = _SmoothedLoss.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            rows, self.weight, self.bias, ids, weights, smoothing, matrix_dtype()
        )
        return totals

    def sampled_losses(self, ids: Tensor, candidates: Candidates) -> Tensor:
        """The scalar sum over all rows whose id is not `PAD` of the negative log-likelihood, as `candidates` estimate
        it: see `seq2x.nn.sampled_softmax`. For learning only.
        """
        rows = self.hidden.reshape(-1, self.hidden.shape[-1])
        rows, ids, weights = _kept(rows, ids.reshape(-1), None)
        step = _chunk_rows(self.weight[: len(candidates.ids)])
        return sampled_loss(rows, self.weight, self.bias, ids, weights, candidates, step, matrix_dtype())

    def guesses(self, uniform: Tensor | None = None) -> Tensor:
        """What would be written next, `[...]`: the best symbol, or the draw that `uniform` `[...]` stands for.

        Only what an output can go on with: neither `<pad>`, `<s>` nor `</s>`. Logits exist for a chunk of rows at a
        time, and have no gradient.
        """
        with torch.no_grad():
            rows, drawn = self._rows(), None if uniform is None else uniform.reshape(-1)
            found = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
            step = _chunk_rows(self.weight)
            for low in range(0, len(rows), step):
                part = slice(low, low + step)
                logits = affine(rows[part], self.weight[EOS + 1 :], self.bias[EOS + 1 :])
                found[part] = logits.argmax(-1) if drawn is None else arrays.draw(logits, drawn[part])
            return (found + EOS + 1).view(self.hidden.shape[:-1])

    def best(self, forbid: Tensor | None = None, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The best symbol of every row, ties by the lower id: (log p, ids), both `[...]`; in chunks.

        `forbid` `[F]`: symbols that no row chooses. `at` `[...]`: the rows that are asked for; of others anything may
        be said. Prefer it to `top` for many positions of many outputs at once.
        """
        if at is not None and arrays.on_host(at):
            values, ids = (torch.zeros(at.shape, dtype=dtype) for dtype in (self.weight.dtype, torch.int64))
            values[at], ids[at] = VocabularyAnswer(self.hidden[at], self.weight, self.bias).best(forbid)
            return values, ids
        rows = self._rows()
        values, ids = rows.new_empty(len(rows)), rows.new_empty(len(rows), dtype=torch.int64)
        step = _chunk_rows(self.weight)
        for low in range(0, len(rows), step):
            part = slice(low, low + step)
            logits = affine(rows[part], self.weight, self.bias)
            normaliser = torch.logsumexp(logits, -1)
            if forbid is not None:
                logits.index_fill_(1, forbid, -torch.inf)
            highest, where = arrays.top(logits, 1)
            values[part], ids[part] = highest.squeeze(1) - normaliser, where.squeeze(1)
        return values.view(self.hidden.shape[:-1]), ids.view(self.hidden.shape[:-1])

    def all(self) -> Tensor:
        """log p of every symbol, `[..., V]`: the only place where this tensor exists."""
        return torch.log_softmax(affine(self._rows(), self.weight, self.bias), -1).view(*self.hidden.shape[:-1], -1)

    def _rows(self) -> Tensor:
        """Hidden states `[R, D]` in the precision of the weights."""
        return self.hidden.reshape(-1, self.hidden.shape[-1]).to(self.weight.dtype)


def _kept(rows: Tensor, ids: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows `[R, D]`, ids and weights `[R]` without those of padding; whatever stands there, NaN included, is gone.

    On a device the host would have to wait for their number: there they stay, as zeros of weight zero.
    """
    valid = ids != PAD
    if not arrays.on_host(ids):
        rows = torch.where(valid[:, None], rows, rows.new_zeros(()))
        return rows, ids, valid.to(rows.dtype) if weights is None else weights * valid
    places = valid.nonzero().squeeze(1)
    if len(places) == len(ids):
        return rows, ids, weights
    weights = None if weights is None else weights.index_select(0, places)
    return rows.index_select(0, places), ids.index_select(0, places), weights


def _chunk_rows(matrix: Tensor) -> int:
    """How many rows of logits `[rows, V]`, made with `matrix` `[V, D]`, fit the budget; enough for one good product."""
    budget = _CHUNK_BYTES if arrays.on_host(matrix) else _DEVICE_CHUNK_BYTES
    return max(64, budget // (len(matrix) * matrix.element_size()))


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
        step = _chunk_rows(weight)
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
        step = _chunk_rows(weight)
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
    """The two sums of `VocabularyAnswer.losses`, with the gradient computed in the forward pass: see `_Smoothed`."""

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
        task = _Smoothed(rows, weight, bias, ids, weights, smoothing)
        gradient = _Gradient.zeros(rows, weight, bias, dtype or weight.dtype) if any(ctx.needs_input_grad[:3]) else None
        totals = task.totals(*task.chunks(dtype or weight.dtype, gradient))
        if gradient is not None:
            ctx.save_for_backward(*task.spread(gradient))
        ctx.rows_dtype = rows.dtype
        ctx.mark_non_differentiable(totals[1])
        return totals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad_rows, grad_weight, grad_bias = ctx.saved_tensors
        by = gradients[0]
        return (grad_rows * by).to(ctx.rows_dtype), grad_weight * by, grad_bias * by, None, None, None, None


class _Gradient(NamedTuple):
    """By hidden states `[R, D]` (as precise as the products), by W `[V, D]` and b `[V]` (as precise as these)."""

    rows: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def zeros(cls, rows: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> _Gradient:
        return cls(torch.empty_like(rows, dtype=dtype), torch.zeros_like(weight), torch.zeros_like(bias))


@dataclass(frozen=True, slots=True)
class _Smoothed:
    """The smoothed loss of `rows` `[R, D]` at `ids` `[R]`, and its gradient, worked out by hand.

    With p = softmax(z), the gradient by the logits of row r is w_r (p - (1 - e) onehot(y_r) - e / V). Its last term
    is the same for every symbol, so it is added after the products, as one vector, instead of `R * V` times.
    """

    rows: Tensor
    weight: Tensor
    bias: Tensor
    ids: Tensor
    weights: Tensor | None
    smoothing: float

    def chunks(self, dtype: torch.dtype, gradient: _Gradient | None) -> tuple[Tensor, Tensor]:
        """lse(z) and z of each row's symbol, both `[R]`; `gradient` is filled but for the last term.

        Matrices are multiplied in `dtype`; logits exist for a chunk of rows at a time.
        """
        exact = self.weight.dtype
        rows, matrix, offset = self.rows.to(dtype), self.weight.to(dtype), self.bias.to(dtype)
        normaliser, picked = self.weight.new_empty(len(rows)), self.weight.new_empty(len(rows))
        step = _chunk_rows(matrix)
        for low in range(0, len(rows), step):
            part = slice(low, low + step)
            logits = affine(rows[part], matrix, offset)
            here = self.ids[part, None]
            picked[part] = logits.gather(1, here).squeeze(1).to(exact)
            grad = torch.softmax(logits, -1)
            # The largest p is exp(0) / sum and never underflows, so it gives away the sum without another pass.
            normaliser[part] = logits.amax(-1).to(exact) - grad.amax(-1).to(exact).log()
            if gradient is None:
                continue
            grad.scatter_add_(1, here, grad.new_full((), self.smoothing - 1.0).expand(here.shape))
            if self.weights is not None:
                grad.mul_(self.weights[part, None])
            gradient.bias.add_(grad.sum(0, dtype=exact))
            gradient.rows[part] = product(grad, matrix)
            gradient.weight.add_(product(grad.T, rows[part]))
        return normaliser, picked

    def totals(self, normaliser: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
        """The sums over rows: the smoothed loss, and the plain one."""
        plain = normaliser - picked
        smoothed = normaliser - (1.0 - self.smoothing) * picked
        if self.smoothing:
            mean = self.rows.to(self.weight.dtype) @ self.weight.mean(0) + self.bias.mean()
            smoothed = smoothed - self.smoothing * mean
        if self.weights is not None:
            plain, smoothed = plain * self.weights, smoothed * self.weights
        return smoothed.sum(), plain.sum()

    def spread(self, gradient: _Gradient) -> _Gradient:
        """`gradient` with its last term, and precise throughout."""
        exact = self.weight.dtype
        share = self.smoothing / len(self.weight)
        each = self.weight.new_ones(len(self.rows)) if self.weights is None else self.weights.to(exact)
        by_rows = gradient.rows.to(exact).addr_(each, self.weight.mean(0), alpha=-self.smoothing)
        gradient.weight.sub_(share * (each @ self.rows.to(exact)))
        gradient.bias.sub_(share * each.sum())
        return gradient._replace(rows=by_rows)
