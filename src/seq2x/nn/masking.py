"""Which symbols of a target are hidden from a decoder that is to guess them."""

from __future__ import annotations

import torch
from torch import Tensor

from .pooling import valid

__all__ = ["draw_masks"]


def draw_masks(counts_B: Tensor, size: int) -> Tensor:
    """`[B,size]`, true where a symbol is hidden: n of the first `counts` of each row, n uniform in 1 .. `counts`.

    All subsets of n are alike (Ghazvininejad et al. 2019, section 3.2: the decoder meets easy and hard examples). Draws
    come from torch's default generator of the device, and from nothing else. A row without symbols hides none.
    """
    device = counts_B.device
    share_B = torch.rand(len(counts_B), dtype=torch.float64, device=device)
    hidden_B = torch.minimum((share_B * counts_B).long() + 1, counts_B)
    there_BT = valid(counts_B, size)
    lot_BT = torch.rand(len(counts_B), size, device=device).masked_fill(~there_BT, 2.0)
    rank_BT = lot_BT.argsort(dim=-1, stable=True).argsort(-1)
    hidden_BT: Tensor = rank_BT < hidden_B[:, None]
    return hidden_BT
