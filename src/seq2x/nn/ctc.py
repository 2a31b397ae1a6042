r"""Connectionist temporal classification (Graves et al. 2006): a symbol or nothing at each of F frames.

A *path* names for every frame one of the V symbols or the blank. What it spells is found by merging equal neighbours
and leaving out blanks, so that `a a _ a b` spells `aab`. Frames are independent given the source (eq. 2), and the
probability of an output is the sum over all paths that spell it (eq. 3):

    p(path | X) = prod_f p_f(path_f),        p(Y | X) = sum over paths that spell Y

An output of U symbols, of which r are equal to the one before, needs U + r frames. `Emissions` are what a model says of
B sentences: log p of every symbol and of the blank (the last column) at each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2x.types import EOS, PAD, SPECIALS

from .dropout import Dropout
from .initial import normal_
from .pooling import valid
from .precision import linear

__all__ = ["CtcOutput", "Emissions", "losses_spelled", "spelled"]

_NEVER = -1e30
"""log 0: finite, for the gradient of log(0 + 0) would be no number."""


class CtcOutput(nn.Module):
    """States `[B,S,M]` of an encoder to `Emissions` over S * `frames` frames.

        [g_1; ..; g_k] = tanh(W h_s + b),      log p_f = log softmax(E g_f + c)      f = (s - 1) k + i

    Each state gives k = `frames` frames (Libovicky & Helcl 2018, section 3), so that an output may be longer than its
    source. E has a row for every symbol but the special ones, which no frame holds, and as the last one the blank's.
    """

    def __init__(self, inputs: int, width: int, size: int, frames: int, dropout: float) -> None:
        super().__init__()
        self.width, self.size, self.frames, self.dropout = width, size, frames, Dropout(dropout)
        self.split = nn.Parameter(normal_(torch.empty(frames * width, inputs), inputs**-0.5))
        self.split_bias = nn.Parameter(torch.zeros(frames * width))
        rows = size - len(SPECIALS) + 1
        self.matrix = nn.Parameter(normal_(torch.empty(rows, width), width**-0.5))
        self.bias = nn.Parameter(torch.zeros(rows))

    def forward(self, states_BSM: Tensor, lengths_B: Tensor) -> Emissions:
        """A source of no symbol at all has the frames of one."""
        hidden = self.dropout(torch.tanh(linear(states_BSM, self.split, self.split_bias)))
        frames_BFD = hidden.reshape(len(hidden), -1, self.width)
        logits = linear(frames_BFD, self.matrix, self.bias).to(self.matrix.dtype)
        log_p = functional.pad(torch.log_softmax(logits, -1), (len(SPECIALS), 0), value=_NEVER)
        return Emissions(log_p, lengths_B.clamp(min=1) * self.frames)


@dataclass(frozen=True, slots=True)
class Emissions:
    """`log_p` `[B,F,V+1]`, the blank last; `lengths` `[B]`: how many of the frames count."""

    log_p: Tensor
    lengths: Tensor

    @property
    def attention(self) -> None:
        """There is none."""

    def losses(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """-log p of the outputs `ids` `[B,T]` (`</s>` last, `PAD` behind it), summed, and the same without a gradient.

        Nothing is smoothed: a path says of no frame what is right there. Infinite where an output does not fit into its
        frames. By torch's own kernel on a CPU; on a device that one adds up in no fixed order, and ours is taken.
        """
        if weights is not None:
            raise ValueError("symbols have no weights here: their places are not known")
        lengths = (ids != PAD).sum(1) - 1
        if self.log_p.device.type == "cpu":
            total = functional.ctc_loss(
                self.log_p.transpose(0, 1), ids, self.lengths, lengths, self.log_p.shape[-1] - 1, "sum"
            )
        else:
            total = losses_spelled(self.log_p, self.lengths, ids, lengths).sum()
        return total, total.detach()

    def items(self, ids_BnT: Tensor, lengths_Bn: Tensor) -> Tensor:
        """log p of each symbol given those before it, `[B,n,T]`, of n outputs for each sentence; zero in padding.

        The probability that the output begins with y_1 .. y_t, divided by that for y_1 .. y_{t-1}; for `</s>`, that it
        is just this. So what is summed over a whole output is log p(Y|X), exactly.
        """
        begun_BnU, whole_BnU = spelled(self.log_p, self.lengths, ids_BnT)
        before = functional.pad(begun_BnU[..., :-1], (1, 0))
        ends = ids_BnT == EOS
        reached = torch.where(ends, whole_BnU[..., :-1], begun_BnU)
        items = torch.where(reached > _NEVER / 2, reached - before, -torch.inf)
        there = torch.arange(ids_BnT.shape[-1], device=items.device) < lengths_Bn[..., None]
        return torch.where(there, items, items.new_zeros(()))


def losses_spelled(log_p_BFV: Tensor, frames_B: Tensor, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """-log p of the first `lengths` symbols of each output, `[B]`, by `spelled`; infinite for one that does not fit."""
    _, whole_B1U = spelled(log_p_BFV, frames_B, ids_BT[:, None])
    whole_B = whole_B1U[:, 0].gather(1, lengths_B[:, None])[:, 0]
    return torch.where(whole_B > _NEVER / 2, -whole_B, torch.inf)


def spelled(log_p_BFV: Tensor, frames_B: Tensor, ids_BnU: Tensor) -> tuple[Tensor, Tensor]:
    """What the first `frames` of each sentence spell, of n outputs `ids`: (log p that it begins with the first u
    symbols, u = 1 .. U, `[B,n,U]`; log p that it is just the first u, u = 0 .. U, `[B,n,U+1]`). Near -1e30: never.

    With l_u, b_u the log p of all that has spelled u symbols so far and ends in the last of them, or in a blank:

        b_u <- p_f(blank) (l_u + b_u)      enter_u = p_f(y_u) (b_{u-1} + [y_u != y_{u-1}] l_{u-1})
        l_u <- p_f(y_u) l_u + enter_u      begun_u <- begun_u + enter_u

    in probabilities: the forward variables of Graves et al. 2006, eq. 6 and 7, with blanks and symbols apart; `begun`
    is the prefix probability of Graves 2012, section 7.5. Differentiable.
    """
    B, F, _ = log_p_BFV.shape
    n, U = ids_BnU.shape[1:]
    log_p_FBnU = log_p_BFV.gather(-1, ids_BnU.reshape(B, 1, n * U).expand(B, F, n * U)).view(B, F, n, U).movedim(1, 0)
    blank_FB = log_p_BFV[..., -1].T[..., None, None]
    repeats_BnU = functional.pad(ids_BnU[..., 1:] == ids_BnU[..., :-1], (1, 0))
    never = log_p_BFV.new_full((B, n, U), _NEVER)
    symbol, begun = never, never
    blank = functional.pad(never, (1, 0), value=0.0)
    # Where lengths lie on the host, nothing is computed for frames that no sentence has.
    last = int(frames_B.max()) if frames_B.device.type == "cpu" and B else F
    there_BF = valid(frames_B, F, log_p_BFV.device)
    for f in range(min(last, F)):
        going = there_BF[:, f, None, None]
        ended = functional.pad(symbol, (1, 0), value=_NEVER)
        apart = torch.where(repeats_BnU, never, ended[..., :-1])
        enter = log_p_FBnU[f] + torch.logaddexp(blank[..., :-1], apart)
        begun = torch.where(going, torch.logaddexp(begun, enter), begun)
        blank = torch.where(going, blank_FB[f] + torch.logaddexp(blank, ended), blank)
        symbol = torch.where(going, torch.logaddexp(log_p_FBnU[f] + symbol, enter), symbol)
    return begun, torch.logaddexp(blank, functional.pad(symbol, (1, 0), value=_NEVER))
