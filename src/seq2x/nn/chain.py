"""The probability of a whole sequence of labels, exactly: linear chains (Lafferty et al. 2001; Rabiner 1989).

    score(Y) = sum_t [ u_t(y_t) + A(y_{t-k}, .., y_{t-1}, y_t) ] + A(.., y_T, </s>)        p(Y|X) = exp score(Y) / Z

`u` is what the input says of each place, `A` what labels say of the label after them; before the first and after the
last stands `</s>`. A conditional random field learns both by gradients (`seq2x.nn.crf`). A hidden Markov model counts
them, u = log p(x_t|y_t) and A = log p(y_t|..): exp score(Y) is then p(X,Y), and Z is p(X) (`seq2x.models.hmm`). Without
`A` places are independent: one softmax each.

All of it is one recursion from the end, the backward pass in the logarithm; what the forward pass is needed for
elsewhere, expected counts, is the gradient of log Z (Eisner 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2x.types import EOS, SPECIALS

from .pooling import valid

__all__ = ["Chain", "of_labels"]


@dataclass(frozen=True, slots=True)
class Chain:
    """What a model says of all label sequences of a batch.

    `unary` `[B,T,V]`: u, finite or -inf, at padding anything. `lengths` `[B]`: places of each sequence. `transitions`:
    A, `[V] * (k + 1)` for a chain of order k, the label that follows on the last axis; None for none.
    """

    unary: Tensor
    lengths: Tensor
    transitions: Tensor | None = None

    @property
    def order(self) -> int:
        """k: how many labels before it a label depends on."""
        return 0 if self.transitions is None else self.transitions.dim() - 1

    def items(self, labels: Tensor) -> Tensor:
        """log p(y_t | y_1 .. y_{t-1}, X) of labels `[B,T]`, or of K labellings of each row `[B,K,T]`; shaped like them,
        zero at padding. Each sees all of X; their sum is log p(Y|X).
        """
        inside_B1T = self._inside()[:, None]
        labels_BKT = torch.where(inside_B1T, labels if labels.dim() == 3 else labels[:, None], EOS)
        if self.transitions is None:
            items_BKT = self.unary.log_softmax(-1).gather(-1, labels_BKT.mT).mT
        else:
            items_BKT = self._chained(self.transitions, labels_BKT)
        return torch.where(inside_B1T, items_BKT, items_BKT.new_zeros(())).view_as(labels)

    def log_z(self) -> Tensor:
        """log Z, `[B]`: of a sequence of no places, that of its end."""
        if self.transitions is None:
            sums_BT = self.unary.logsumexp(-1)
            return torch.where(self._inside(), sums_BT, sums_BT.new_zeros(())).sum(1)
        return self._ahead(self.transitions)[0][:, self._start(self.transitions)]

    # -------------------------------------------------------------- within

    def _inside(self) -> Tensor:
        return valid(self.lengths, self.unary.shape[1], self.unary.device)

    @staticmethod
    def _start(transitions: Tensor) -> int:
        """The history before the first label: `</s>`, `order` times."""
        return sum(EOS * transitions.shape[0] ** place for place in range(transitions.dim() - 1))

    def _ahead(self, transitions: Tensor) -> list[Tensor]:
        """T + 1 times `[B,H]`: the log of the summed exp scores of all that may come from each place on, after each of
        the H = V^k histories; the last is that of the end.

            b_t(h) = log sum_y exp [ A(h, y) + u_t(y) + b_{t+1}(h', y) ],    h' being h without its first label
        """
        B, T, V = self.unary.shape
        steps_FRV = transitions.reshape(V, -1, V)  # the first label of a history, the others, the one that follows
        ahead_BH = transitions[..., EOS].reshape(1, -1).expand(B, -1)
        inside_BT, found = self._inside(), [ahead_BH]
        for place in range(T - 1, -1, -1):
            follow_BRV = ahead_BH.view(B, -1, V) + self.unary[:, place, None]
            before_BFR = (steps_FRV + follow_BRV[:, None]).logsumexp(-1)
            ahead_BH = torch.where(inside_BT[:, place, None], before_BFR.view(B, -1), ahead_BH)
            found.append(ahead_BH)
        return found[::-1]

    def _chained(self, transitions: Tensor, labels_BKT: Tensor) -> Tensor:
        """`items`: what a label adds to the score, and by how much it narrows what may come."""
        ahead, V = self._ahead(transitions), self.unary.shape[-1]
        flat_HV = transitions.reshape(-1, V)
        history_BK = torch.full_like(labels_BKT[..., 0], self._start(transitions))
        items = []
        for place in range(labels_BKT.shape[-1]):
            label_BK = labels_BKT[..., place]
            after_BK = (history_BK * V + label_BK) % len(flat_HV)
            gained_BK = flat_HV[history_BK, label_BK] + self.unary[:, place].gather(-1, label_BK)
            items.append(gained_BK + ahead[place + 1].gather(-1, after_BK) - ahead[place].gather(-1, history_BK))
            history_BK = after_BK
        return torch.stack(items, -1)


def of_labels(unary_BTV: Tensor) -> Tensor:
    """`unary_BTV` with -inf for the special symbols, which are labels of no place: they have no part in Z."""
    special_V = torch.arange(unary_BTV.shape[-1], device=unary_BTV.device) < len(SPECIALS)
    return unary_BTV.masked_fill(special_V, -torch.inf)
