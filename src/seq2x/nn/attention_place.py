"""A score that knows the position alone, not what stands there (Luong et al. 2015, section 3.1, eq. 8)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .products import Affine, affine

__all__ = ["Place"]


class Place(nn.Module):
    """`alpha W_a h_t`: what a state says about each of the first `places` positions of a source, times `alpha`.

    The paper's location-based attention is its softmax alone; here it is added to the score of the content. For inputs
    whose layout means something. Beyond `places` it says nothing (0), and the content decides.
    """

    def __init__(self, query: int, places: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.of_query = Affine(query, places, bias=False)
        nn.init.xavier_uniform_(self.of_query.weight)

    def forward(self, query_NtD: Tensor, size: int) -> Tensor:
        """`[N,t,S]`, S = `size`."""
        scores_Ntp = affine(query_NtD, self.of_query.weight[:size])
        return functional.pad(self.alpha * scores_Ntp, (0, size - scores_Ntp.shape[-1]))
