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
    "numbers",
    "on_host",
    "order",
    "running_max",
    "take_along",
    "to_numpy",
    "to_torch",
    "top",
    "without",
]
# ------------------------------------------------------------------ the two libraries


def is_torch(x: Array) -> bool:
    """Whether `x` is a tensor; never imports torch."""
    return type(x) is not np.ndarray and type(x).__module__.partition(".")[0] == "torch"


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


def numbers(count: int, other: Array) -> Array:
    """0, 1, .. `count` - 1, int64, in the library and on the device of `other`.

    Made there: what the host sends to a device, it waits for.
    """
    xp = namespace(other)
    return xp.arange(count, device=other.device) if is_torch(other) else xp.arange(count)


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
    if x.ndim == 2 and axis == -1:  # several times faster than the general way
        return x[np.arange(len(x))[:, None], index]
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
    Prefer it to `topk` where rows are long: 1.5 to 2 times faster at 6,000 symbols, and equal from run to run.
    """
    if c > x_NV.shape[1]:
        return _filled_up(x_NV, c)
    ids = _first(x_NV) if c == 1 else _without_ties(x_NV, c)
    if ids is None:
        ids = _best(x_NV, c)
    return take_along(x_NV, ids), ids


def _filled_up(x_NV: Array, c: int) -> tuple[Array, Array]:
    """As `top`, for a row shorter than `c`."""
    xp = namespace(x_NV)
    N, V = x_NV.shape
    values, ids = top(x_NV, V)
    missing = xp.zeros_like(values[:, :1]) - np.inf
    values = xp.concatenate([values, xp.broadcast_to(missing, (N, c - V))], -1)
    return values, xp.concatenate([ids, xp.broadcast_to(xp.zeros_like(ids[:, :1]), (N, c - V))], -1)


def _first(x_NV: Array) -> Array:
    """`[N,1]`: the argmax, ties by the lower id (both libraries promise that; numpy is 10 times faster)."""
    if is_torch(x_NV) and on_host(x_NV):
        return like(to_numpy(x_NV).argmax(-1)[:, None], x_NV)
    return x_NV.argmax(-1)[:, None]


def _without_ties(x_NV: Array, c: int) -> Array | None:
    """`[N,c]` as torch sees it, which is quickest for few short rows; None where it might have mixed up ties."""
    if not is_torch(x_NV) or not on_host(x_NV) or x_NV.numel() > 65536 or c == x_NV.shape[1]:
        return None
    values, ids = x_NV.topk(c + 1)
    descending = to_numpy(values)
    return ids[:, :c] if (descending[:, :-1] > descending[:, 1:]).all() else None


def _best(x_NV: Array, c: int) -> Array:
    """`[N,c]` ids of the best, by block maxima where that pays. c <= V."""
    N, V = x_NV.shape
    size = 64 if V <= 16384 else 128
    count = V // size
    if 2 * c * size > V:
        return _select(x_NV, c)
    blocks_NCS = x_NV[:, : count * size].reshape(N, count, size)
    maxima_NC = _maxima(x_NV, blocks_NCS)
    if is_torch(x_NV) and on_host(x_NV):  # numpy gathers and selects several times faster
        maxima_NC, blocks_NCS = to_numpy(maxima_NC), to_numpy(blocks_NCS)
    # Ascending, so that a lower position among the chosen is a lower id; the incomplete block always comes along.
    chosen_Nc = _ascending(_select(maxima_NC, c))
    blocks_NW = blocks_NCS[numbers(N, chosen_Nc)[:, None], chosen_Nc].reshape(N, c * size)
    rest = like(x_NV[:, count * size :], blocks_NW)
    position = _select(namespace(blocks_NW).concatenate([blocks_NW, rest], -1), c)
    place = position // size
    in_block = take_along(chosen_Nc, place.clip(max=c - 1)) * size + position % size
    return like(namespace(place).where(place < c, in_block, position + (count - c) * size), x_NV)


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
    V = x_NV.shape[1]
    if str(x_NV.dtype).endswith("float64") or (V <= 64 and not is_torch(x_NV)):
        return order(namespace(x_NV).where(x_NV != x_NV, -np.inf, -x_NV))[:, :c]
    if is_torch(x_NV):
        return V - 1 - (namespace(x_NV).topk(_keys(x_NV), c).values & 0xFFFFFFFF)
    best_Nc = np.partition(_keys(x_NV), V - c, axis=-1)[:, V - c :]
    return V - 1 - (np.sort(best_Nc, axis=-1)[:, ::-1] & 0xFFFFFFFF)


def _keys(x_NV: Array) -> Array:
    """int64 numbers, all different, ordered as the values are in float32, equal ones by the lower position.

    The bits of a positive float are ordered as integers are, those of a negative one the other way round.
    """
    xp = namespace(x_NV)
    x_NV = (x_NV.float() if is_torch(x_NV) else x_NV.astype(np.float32)) + 0.0  # -0.0 becomes 0.0
    bits = x_NV.view(xp.int32)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    bits = xp.where(x_NV != x_NV, 0x7FFFFFFF, bits)
    keys = bits.long() if is_torch(bits) else bits.astype(np.int64)
    keys <<= 32
    keys |= x_NV.shape[1] - 1 - numbers(x_NV.shape[1], x_NV)
    return keys


def _ascending(x: Array) -> Array:
    """`x` sorted along its last axis."""
    return x.sort(-1).values if is_torch(x) else np.sort(x, axis=-1)


def order(x: Array) -> Array:
    """Positions that sort `x` along its last axis, ascending, equal ones in their own order."""
    if is_torch(x):
        return namespace(x).argsort(x, dim=-1, stable=True)
    return np.argsort(x, axis=-1, kind="stable")


def running_max(x: Array) -> Array:
    """The largest so far, along the last axis."""
    return x.cummax(-1).values if is_torch(x) else np.maximum.accumulate(x, axis=-1)


# ------------------------------------------------------------------ distributions as arrays


def without(x_NV: Array, forbid_NF: Array, own: bool = False) -> Array:
    """`x` with `-inf` at the ids `forbid` `[N,F]` of each row; -1 forbids nothing. NaN stays NaN.

    A copy, unless the caller owns `x` and lets it be written over, which is much cheaper where V is large.
    """
    xp = namespace(x_NV)
    forbid_NF = like(forbid_NF, x_NV)
    nothing = xp.where(forbid_NF < 0, np.inf, -np.inf)  # the smaller of it and what stands there, in any order
    out = x_NV if own else copy(x_NV)
    if is_torch(x_NV):
        return out.scatter_reduce_(1, forbid_NF.clip(min=0), nothing.to(x_NV.dtype), "amin")
    np.minimum.at(out, (np.arange(len(out))[:, None], forbid_NF.clip(min=0)), nothing)
    return out


def draw(log_p_NV: Array, uniform_N: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Array:
    """One id per row `[N]` int64 by inverse CDF of `uniform` `[N]` in [0,1), in double precision.

    The distribution is tempered (`p^(1/temperature)`), cut to the `top_k` best (Fan et al. 2018; 0: all), of these
    to the smallest set whose share reaches `top_p` (Holtzman et al. 2020), and renormalised. Cut distributions are
    laid out best first (ties by the lower id), whole ones by id. A row that is all `-inf` draws its first symbol,
    a row that holds NaN or +inf draws that.
    """
    whole = top_k == 0 and top_p == 1.0
    V = log_p_NV.shape[1]
    values, ids = (log_p_NV, None) if whole else top(log_p_NV, min(top_k or V, V))
    xp = namespace(values)
    values = float64(values)
    best = xp.amax(values, -1)[:, None]
    with np.errstate(invalid="ignore"):  # rows with NaN or +inf are dealt with at the end
        p = xp.exp((values - xp.where(best > -np.inf, best, 0.0)) / temperature)
        reached = p.cumsum(-1)
        if top_p < 1.0:
            p = xp.where(reached - p < top_p * reached[:, -1:], p, 0.0)
            reached = p.cumsum(-1)
        aim = float64(like(uniform_N, values))[:, None] * reached[:, -1:]
        # Rounding must not carry the aim past the last symbol that has a share.
        place = xp.minimum((reached <= aim).sum(-1), (reached < reached[:, -1:]).sum(-1))
    place = xp.where(best[:, 0] < np.inf, place, xp.argmax(~(values < np.inf) * 1, -1))
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
