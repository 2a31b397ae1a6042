"""Several heads around any score of recurrent attention (Vaswani et al. 2017, section 3.2.2).

    head_h = sum_s alpha_{h,s} V_h h_s      alpha_h from score(Q_h q, K_h h_s)      C = W [head_1; ..; head_H]

Each head looks for something else in the source at the same step; with one head there is only one place to look at.
"""

from __future__ import annotations

from torch import Tensor, nn

from .attention import Attention
from .products import Affine

__all__ = ["Heads"]


class Heads(Attention):
    """`heads` times the same `score`, each over its own part of projected queries, keys and values.

    The heads of a query stand side by side, as queries: weights are `[B,Q*H,S]`, and what is shown is their mean. Keys
    are `[B,H,S,D/H]`, values `[B,H,S,M/H]`. H divides D and M.
    """

    def __init__(self, score: type[Attention], heads: int, query: int, memory: int) -> None:
        super().__init__(query, memory)
        self.heads = heads
        self.of_query, self.of_key = Affine(query, query, bias=False), Affine(memory, query, bias=False)
        self.of_value, self.join = Affine(memory, memory, bias=False), Affine(memory, memory, bias=False)
        for layer in (self.of_query, self.of_key, self.of_value, self.join):
            nn.init.xavier_uniform_(layer.weight)
        self.score = score(query // heads, query // heads)

    def keys(self, states_BSM: Tensor) -> Tensor:
        keys_BHSd = self.spread(self.of_key(states_BSM))
        return self.score.keys(keys_BHSd)

    def spread(self, keys_BSA: Tensor) -> Tensor:
        B, S, A = keys_BSA.shape
        return keys_BSA.view(B, S, self.heads, A // self.heads).transpose(1, 2).contiguous()

    def values(self, states_BSM: Tensor) -> Tensor:
        return self.spread(self.of_value(states_BSM))

    def scores(self, query_BQD: Tensor, keys_BSA: Tensor) -> Tensor:
        B, Q, _ = query_BQD.shape
        queries = self.spread(self.of_query(query_BQD)).flatten(0, 1)
        scores_RQS = self.score.scores(queries, keys_BSA.flatten(0, 1))  # R = B * H rows, each its own sentence
        return scores_RQS.view(B, self.heads, Q, -1).transpose(1, 2).flatten(1, 2)

    def read(self, alpha_BQS: Tensor, values_BSM: Tensor) -> tuple[Tensor, Tensor]:
        B, Q, S = alpha_BQS.shape  # Q counts the heads of each query
        alpha_BQHS = alpha_BQS.view(B, Q // self.heads, self.heads, S)
        parts_BQHm = (alpha_BQHS.transpose(1, 2) @ values_BSM).transpose(1, 2)
        context_BQM: Tensor = self.join(parts_BQHm.flatten(2))
        return context_BQM, alpha_BQHS.mean(2)
