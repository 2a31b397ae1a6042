"""How a context meets the state that asked for it, other than side by side.

    sum     h_t + W C_t
    gate    g h_t + (1 - g) W C_t        g = sigmoid(W_g [h_t; C_t] + b), one gate for each unit

Both keep the width of the state. `concat`, [h_t; C_t] before the output's own matrix (Luong et al. 2015, eq. 5), can
do what the sum can, at the price of a larger matrix; the gate may turn either off (as in a highway, Srivastava et al.
2015, eq. 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from seq2x.choices import ContextJoin

from .products import Affine

__all__ = ["JOINS", "Gate", "Join", "Sum"]


class Join(nn.Module):
    """A state `[...,D]` and a context `[...,M]` become `[...,D]`. `state` is D, `context` M."""

    def __init__(self, state: int, context: int) -> None:
        super().__init__()
        self.of_context = Affine(context, state, bias=False)
        nn.init.xavier_uniform_(self.of_context.weight)

    def forward(self, state: Tensor, context: Tensor) -> Tensor:
        """The two joined."""
        raise NotImplementedError


class Sum(Join):
    """h + W C."""

    def forward(self, state: Tensor, context: Tensor) -> Tensor:
        joined: Tensor = state + self.of_context(context)
        return joined


class Gate(Join):
    """g h + (1 - g) W C; at the start g is about one half."""

    def __init__(self, state: int, context: int) -> None:
        super().__init__(state, context)
        self.gate = Affine(state + context, state)
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, state: Tensor, context: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([state, context], -1)))
        return torch.lerp(self.of_context(context), state, gate)


JOINS: Mapping[ContextJoin, type[Join]] = {"sum": Sum, "gate": Gate}
"""By the name they have in the setting `context_join` ("concat": none, the output's matrix reads both)."""
