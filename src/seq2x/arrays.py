"""Arrays of numpy or torch, one code for both.

Everything here takes a `numpy.ndarray` or a `torch.Tensor` and gives back the same kind on the same device.
torch is imported only if a tensor is handed in (or asked for). Functions named alike in both libraries are
reached through `namespace(x)`; only what differs has a function here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seq2x.types import Array, Padded

__all__ = [
    "Table",
    "copy",
    "draw",
    "float64",
    "is_torch",
    "like",
    "namespace",
    "on_host",
    "order",
    "take_along",
    "to_numpy",
    "to_torch",
    "top",
    "without",
]
# ------------------------------------------------------------------ the two libraries


def is_torch(x: Array) -> bool:
    """Whether `x` is a tensor; never imports torch."""
    return type(x).__module__.partition(".")[0] == "torch"


def namespace(x: Array) -> Any:
    """The library of `x`: the module `numpy` or `torch`."""
    if is_torch(x):
        import torch

        return torch
    return np


def on_host(x: Array) -> bool:
    """Whether numpy can look at `x` without moving it: a numpy array, or a tensor on the CPU."""
    return not is_torch(x) or x.device.type == "cpu"


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """`x` as a numpy array; shares memory with a tensor on the CPU. bfloat16 becomes float32."""
    if not is_torch(x):
        return np.asarray(x)
    x = x.detach().cpu()
    return np.asarray((x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy())


def to_torch(padded: Padded, device: Any = "cpu") -> Padded:
    """The same rectangle as tensors on `device`."""
    import torch

    return Padded(torch.as_tensor(padded.values, device=device), torch.as_tensor(padded.lengths, device=device))


def like(x: Array, other: Array) -> Array:
    """`x` in the library and on the device of `other`, its own dtype kept; shares memory where it can."""
    if not is_torch(other):
        return to_numpy(x)
    import torch

    return torch.as_tensor(x, device=other.device)


def copy(x: Array) -> Array:
    """A copy with its own memory."""
    return x.clone() if is_torch(x) else x.copy()


def float64(x: Array) -> Array:
    """`x` in double precision."""
    return x.double() if is_torch(x) else np.asarray(x, dtype=np.float64)


def take_along(x: Array, index: Array, axis: int = -1) -> Array:
    """`x` at `index` along `axis`: `numpy.take_along_axis`, `torch.take_along_dim`."""
    if is_torch(x):
        return namespace(x).take_along_dim(x, index, dim=axis)
    return np.take_along_axis(x, index, axis=axis)


# ------------------------------------------------------------------ the best of each row


def top(x_NV: Array, c: int) -> tuple[Array, Array]:
    """The `c` best of each row, exactly: values `[N,c]`, best first, and ids `[N,c]` int64, ties by the lower id.

    `-inf` is a value like any other (its ties too go to the lower id); NaN ranks above all numbers, so that it
    cannot hide; 0.0 and -0.0 are equal. A row with fewer than `c` symbols is filled up with value `-inf`, id 0.
    Booleans and integers are not meant.

    Rows are cut into blocks; the `c` blocks with the largest maxima (ties by the lower block) hold the `c` best:
    an element outside them would be preceded by the maxima of `c` blocks. Only those blocks are looked at
    closely, where value and position make one unique integer, so that any selection of the largest is stable.
    Prefer it to `topk` where rows are long: about 3 times faster at 6,000 symbols, and equal from run to run.
    """
    if c > x_NV.shape[1]:
        return _filled_up(x_NV, c)
    ids = _first(x_NV) if c == 1 else _best(x_NV, c)
    return take_along(x_NV, ids), ids


def _filled_up(x_NV: Array, c: int) -> tuple[Array, Array]:
    """As `top`, for a row shorter than `c`."""
    xp = namespace(x_NV)
    N, V = x_NV.shape
    values, ids = top(x_NV, V)
    missing = xp.zeros_like(values[:, :1]) - np.inf
    values = xp.concatenate([values, xp.broadcast_to(missing, (N, c - V))], -1)
    return values, xp.concatenate([ids, like(np.zeros((N, c - V), dtype=np.int64), x_NV)], -1)


def _first(x_NV: Array) -> Array:
    """`[N,1]`: the argmax, ties by the lower id (both libraries promise that; numpy is 10 times faster)."""
    if is_torch(x_NV) and on_host(x_NV):
        return like(to_numpy(x_NV).argmax(-1)[:, None], x_NV)
    return x_NV.argmax(-1)[:, None]


def _best(x_NV: Array, c: int) -> Array:
    """`[N,c]` ids of the best, by block maxima where that pays. c <= V."""
    N, V = x_NV.shape
    size = 64 if V <= 16384 else 128
    count = V // size
    if 2 * c * size > V:
        return _select(x_NV, c)
    xp = namespace(x_NV)
    blocks_NCS = x_NV[:, : count * size].reshape(N, count, size)
    best_Nc = xp.sort(_select(_maxima(x_NV, blocks_NCS), c))
    best_Nc = best_Nc.values if is_torch(x_NV) else best_Nc  # ascending, so that a lower position is a lower id
    rows_N1 = like(np.arange(N)[:, None], x_NV)
    chosen = blocks_NCS[rows_N1, best_Nc].reshape(N, c * size)
    position = _select(
        xp.concatenate([chosen, x_NV[:, count * size :]], -1), c
    )  # the incomplete block always comes along
    place = position // size
    id_in_block = take_along(best_Nc, place.clip(max=c - 1)) * size + position % size
    return xp.where(place < c, id_in_block, position + (count - c) * size)


def _maxima(x_NV: Array, blocks_NCS: Array) -> Array:
    """`[N,C]`: the largest of each block, NaN if it holds one."""
    if is_torch(x_NV):
        return blocks_NCS.amax(-1)
    _, count, size = blocks_NCS.shape  # reduceat is several times faster than a maximum over a short last axis
    return np.maximum.reduceat(x_NV[:, : count * size], np.arange(0, count * size, size), axis=1)


def _select(x_NV: Array, c: int) -> Array:
    """`[N,c]` positions of the best, best first, ties by the lower position."""
    if is_torch(x_NV) and on_host(x_NV):
        return like(_select(to_numpy(x_NV), c), x_NV)
    if is_torch(x_NV):
        torch = namespace(x_NV)
        if x_NV.dtype == torch.float64:
            return torch.sort(x_NV, dim=-1, descending=True, stable=True).indices[:, :c]
        x_NV = x_NV.float()
        bits = (x_NV + 0.0).view(torch.int32).long()
        return _position(torch.topk(_keys(torch, x_NV, bits), c).values, x_NV.shape[1])
    if x_NV.dtype == np.float64 or x_NV.shape[1] <= 64:
        return np.argsort(np.where(np.isnan(x_NV), -np.inf, -x_NV), axis=-1, kind="stable")[:, :c]
    x_NV = x_NV.astype(np.float32, copy=False)
    keys = _keys(np, x_NV, (x_NV + np.float32(0)).view(np.int32).astype(np.int64))
    return _position(-np.sort(-np.partition(keys, keys.shape[1] - c, axis=-1)[:, -c:], axis=-1), keys.shape[1])


def _keys(xp: Any, x_NV: Array, bits_NV: Array) -> Array:
    """int64 numbers ordered as the float32 values are, and among equal ones as the lower position is.

    The bits of a positive float are ordered as integers are; those of a negative one the other way round.
    """
    order = bits_NV ^ ((bits_NV >> 31) & 0x7FFFFFFF)
    order = xp.where(x_NV != x_NV, 0x7FFFFFFF, order)
    V = x_NV.shape[1]
    return (order << 32) | like(np.arange(V - 1, -1, -1), x_NV)


def _position(keys_Nc: Array, V: int) -> Array:
    """What `_keys` hid in the lower half."""
    return V - 1 - (keys_Nc & 0xFFFFFFFF)


def order(x: Array) -> Array:
    """Positions that sort `x` along its last axis, ascending, equal ones in their own order."""
    if is_torch(x):
        return namespace(x).argsort(x, dim=-1, stable=True)
    return np.argsort(x, axis=-1, kind="stable")


# ------------------------------------------------------------------ distributions as arrays


def without(x_NV: Array, forbid_NF: Array) -> Array:
    """A copy of `x` with `-inf` at the ids `forbid` `[N,F]` of each row; -1 forbids nothing. NaN stays NaN."""
    xp = namespace(x_NV)
    forbid_NF = like(forbid_NF, x_NV)
    nothing = xp.where(forbid_NF < 0, np.inf, -np.inf)  # the smaller of it and what stands there, in any order
    if is_torch(x_NV):
        return x_NV.scatter_reduce(1, forbid_NF.clip(min=0), nothing.to(x_NV.dtype), "amin")
    out = x_NV.copy()
    np.minimum.at(out, (np.arange(len(out))[:, None], forbid_NF.clip(min=0)), nothing)
    return out


def draw(log_p_NV: Array, uniform_N: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Array:
    """One id per row `[N]` int64 by inverse CDF of `uniform` `[N]` in [0,1), in double precision.

    The distribution is tempered (`p^(1/temperature)`), cut to the `top_k` best (Fan et al. 2018; 0: all), of these
    to the smallest set whose share reaches `top_p` (Holtzman et al. 2020), and renormalised. Cut distributions are
    laid out best first (ties by the lower id), whole ones by id. A row that is all `-inf` draws its first.
    """
    whole = top_k == 0 and top_p == 1.0
    V = log_p_NV.shape[1]
    values, ids = (log_p_NV, None) if whole else top(log_p_NV, min(top_k or V, V))
    xp = namespace(values)
    values = float64(values)
    best = xp.amax(values, -1)[:, None]
    p = xp.exp((values - xp.where(best > -np.inf, best, 0.0)) / temperature)
    reached = p.cumsum(-1)
    if top_p < 1.0:
        p = xp.where(reached - p < top_p * reached[:, -1:], p, 0.0)
        reached = p.cumsum(-1)
    aim = float64(like(uniform_N, values))[:, None] * reached[:, -1:]
    # Rounding must not carry the aim past the last symbol that has a share.
    place = xp.minimum((reached <= aim).sum(-1), (reached < reached[:, -1:]).sum(-1))
    return place if ids is None else take_along(ids, place[:, None])[:, 0]


class Table:
    """An `Answer` over a dense array `[...,V]` of normalised log p, numpy or torch.

    For decoders that own a small distribution: numpy functions, ensembles, counted models, tests. `attention`
    is handed on as it is. Prefer a lazy answer where V is large.
    """

    def __init__(self, log_p: Array, attention: Array | None = None) -> None:
        self._log_p = log_p
        self._attention = attention

    @property
    def attention(self) -> Array | None:
        """`[...,S]`, if it was given."""
        return self._attention

    def of(self, ids: Array) -> Array:
        """log p of one symbol of every row, shaped like `ids`."""
        return take_along(self._log_p, like(ids, self._log_p)[..., None])[..., 0]

    def mean(self) -> Array:
        """The mean of log p over the vocabulary, per row."""
        return self._log_p.mean(-1)

    def top(self, c: int, forbid: Array | None = None, bias: Array | None = None) -> tuple[Array, Array]:
        """The `c` best of each row `[N,c]`: see `seq2x.arrays.top`."""
        log_p = self._log_p if bias is None else self._log_p + like(bias, self._log_p)
        return top(log_p if forbid is None else without(log_p, forbid), c)

    def sample(
        self, uniform: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, forbid: Array | None = None
    ) -> tuple[Array, Array]:
        """One draw per row: (the model's own log p `[N]`, ids `[N]`); `-inf` where everything is forbidden."""
        log_p = self._log_p if forbid is None else without(self._log_p, forbid)
        ids = draw(log_p, uniform, temperature, top_k, top_p)
        return take_along(log_p, ids[:, None])[:, 0], ids

    def all(self) -> Array:
        """log p of every symbol, `[...,V]`."""
        return self._log_p
