"""One recurrent layer: tanh, GRU or LSTM, in one direction or two, over a whole sequence or one step at a time.

The whole sequence is one call of torch's kernel, and so is a single step, a sequence of length 1: training and search
run the same code. What a layer carries on is one tensor, `[B,C]`: the state `h`, for an LSTM `[h; c]` with its cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["KINDS", "Recurrent"]

KINDS: Mapping[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
"""
    rnn   h_t = tanh(W x_t + U h_{t-1} + b)                                          Elman 1990
    gru   h_t = (1 - z) n + z h_{t-1},   z, r = sigmoid(...), n = tanh(W x + r U h)  Cho et al. 2014
    lstm  c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)                                  Hochreiter & Schmidhuber 1997
"""

_GATES: Mapping[str, int] = {"rnn": 1, "gru": 3, "lstm": 4}
_KEEPING: Mapping[str, int | None] = {"rnn": None, "gru": 1, "lstm": 1}
"""Which block of rows holds the gate that keeps the past: z of a GRU (r z n), f of an LSTM (i f g o)."""


class Recurrent(nn.Module):
    """One layer of `width` units per direction over inputs of width `inputs`; `kind` is one of `KINDS`.

    M = width * directions is the width of its states, C = M (LSTM: 2 M) that of what it carries, laid out as
    `[forward h; backward h; forward c; backward c]`.

    At the start: recurrent matrices orthogonal gate by gate (Saxe et al. 2014), input matrices Xavier-uniform gate
    by gate, biases zero, but one for the gate that keeps the past (Jozefowicz et al. 2015), so that gradients reach
    far back from the first update on.
    """

    def __init__(self, kind: str, inputs: int, width: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.kind, self.inputs, self.width = kind, inputs, width
        self.directions = 2 if bidirectional else 1
        self.kernel = KINDS[kind](inputs, width, batch_first=True, bidirectional=bidirectional)
        self._initialise()

    @property
    def state_width(self) -> int:
        """M, the width of the states that `forward` gives."""
        return self.width * self.directions

    @property
    def carry_width(self) -> int:
        """C, the width of what is carried from step to step."""
        return self.state_width * (2 if self.kind == "lstm" else 1)

    def _initialise(self) -> None:
        for name, weight in self.kernel.named_parameters():
            for gate, block in enumerate(weight.chunk(_GATES[self.kind])):
                if name.startswith("weight_hh"):
                    nn.init.orthogonal_(block)
                elif name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(block)
                else:
                    keeping = name.startswith("bias_ih") and gate == _KEEPING[self.kind]
                    nn.init.constant_(block, 1.0 if keeping else 0.0)

    def forward(
        self, inputs_BTI: Tensor, carry_BC: Tensor | None = None, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All states `[B,T,M]` and what is carried at the end `[B,C]`, beginning from `carry_BC` (none: zeros).

        With `lengths_B` the kernel is given packed sequences: it reads no padded position at all, so that nothing
        in the padding, NaN included, reaches an output or a gradient; states there are zero, and each direction
        starts and ends at the sentence's own ends. Lengths are at least 1, and best on the host, where they are used.
        """
        # The kernels want one precision throughout: that of the weights.
        dtype = next(self.kernel.parameters()).dtype
        inputs_BTI = inputs_BTI.to(dtype)
        carry_BC = None if carry_BC is None else carry_BC.to(dtype)
        with self._differentiable():
            if lengths_B is None:
                return self._read(inputs_BTI, carry_BC)
            lengths_B, order_B, back_B = _longest_first(lengths_B, inputs_BTI.device)
            packed = pack_padded_sequence(inputs_BTI.index_select(0, order_B), lengths_B, batch_first=True)
            carry_BC = None if carry_BC is None else carry_BC.index_select(0, order_B)
            states, carry_BC = self._read(packed, carry_BC)
            states_BTM, _ = pad_packed_sequence(states, batch_first=True, total_length=inputs_BTI.shape[1])
            return states_BTM.index_select(0, back_B), carry_BC.index_select(0, back_B)

    def _read(self, inputs: Any, carry_BC: Tensor | None) -> tuple[Any, Tensor]:
        """The kernel's states of `inputs`, packed where they are, and what is carried at the end."""
        states, end = self.kernel(inputs, None if carry_BC is None else self._unpack(carry_BC))
        ends = end if self.kind == "lstm" else (end,)
        return states, torch.cat([part.transpose(0, 1).flatten(1) for part in ends], -1)

    def _differentiable(self) -> AbstractContextManager[None]:
        """cuDNN's kernel has no backward pass in evaluation: where gradients are wanted there, torch's own is used."""
        cuda = next(self.kernel.parameters()).is_cuda
        missing = cuda and torch.is_grad_enabled() and not self.training
        return torch.backends.cudnn.flags(enabled=False) if missing else nullcontext()

    def _unpack(self, carry_BC: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The carry as torch's kernels take it: `[directions,B,width]`, a pair of them for an LSTM."""
        parts = torch.tensor_split(carry_BC, 2 if self.kind == "lstm" else 1, -1)
        shaped = tuple(part.view(-1, self.directions, self.width).transpose(0, 1).contiguous() for part in parts)
        return shaped if self.kind == "lstm" else shaped[0]


def _longest_first(lengths_B: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(sorted lengths, on the host; which row comes where; where each row went, both on `device`), all `[B]`.

    What `pack_padded_sequence` does with `enforce_sorted=False`, but that its host waits for the device.
    """
    lengths_B, order_B = torch.sort(lengths_B.cpu(), descending=True)
    back_B = order_B.argsort()
    return lengths_B, order_B.to(device, non_blocking=True), back_B.to(device, non_blocking=True)
