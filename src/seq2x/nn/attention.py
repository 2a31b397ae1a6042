"""Attention of a recurrent decoder: one query against all states of its sentence.

A decoder state `q` asks the encoder states `h_1 .. h_S` (already projected to *keys*, once per sentence):

    e_s = score(q, h_s)        alpha = softmax(e / temperature)        C = sum_s alpha_s h_s

Queries come as `[B,Q,D]`: all target positions at once in training, all beams of a sentence in search. Keys and
states lead with `B` and are never repeated. The scores: `seq2x.nn.attention_scores`; several heads around one:
`seq2x.nn.attention_heads`; all parts put together: `seq2x.nn.attending`. (Of the Transformer: `seq2x.nn.multihead`.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Attention", "masked_softmax"]


def masked_softmax(scores_BQS: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where `mask` `[B,S]` or `[B,Q,S]` is true; exactly zero elsewhere.

    A row without a single valid position gets equal weights instead of NaN, so that the (zero) states of an empty
    sentence give a finite context and finite gradients.
    """
    lowest = torch.finfo(scores_BQS.dtype).min
    return scores_BQS.masked_fill(~(mask if mask.dim() == 3 else mask[:, None, :]), lowest).softmax(-1)


class Attention(nn.Module):
    """What all scores share. A subclass has `keys` and `scores`; `seq2x.nn.attending` makes weights and contexts of it.

    `query` is D, the width of the asking state, `memory` is M, the width of the encoder's states.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.query, self.memory = query, memory

    @property
    def width(self) -> int:
        """A, the width of the keys."""
        return self.query

    def keys(self, states_BSM: Tensor) -> Tensor:
        """What the queries are compared with, `[B,S,A]`: computed once per sentence."""
        raise NotImplementedError

    def scores(self, query_BQD: Tensor, keys_BSA: Tensor) -> Tensor:
        """`e`, `[B,Q,S]`, before the mask and the softmax."""
        raise NotImplementedError

    def spread(self, keys_BSA: Tensor) -> Tensor:
        """What is added to the keys, in the form they have."""
        return keys_BSA

    def values(self, states_BSM: Tensor) -> Tensor:
        """What the weights are of, once per sentence: the states themselves."""
        return states_BSM

    def read(self, alpha_BQS: Tensor, values_BSM: Tensor) -> tuple[Tensor, Tensor]:
        """The contexts `C` `[B,Q,M]` and the weights to show `[B,Q,S]`; the values are zero where nothing is."""
        return alpha_BQS @ values_BSM, alpha_BQS
