"""Encoder, decoder and output layer as one model: the same for every kind of each."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from seq2x.nn.outputs import VocabularyAnswer, VocabularyOutput
from seq2x.nn.pooling import valid
from seq2x.types import BOS, NOTHING, PAD, Batch, Memory, Padded, Scored, State, Want

from .no_encoder import NoEncoder

__all__ = ["DecoderModule", "EncoderDecoder", "EncoderModule", "shift"]

S_co = TypeVar("S_co", bound=State)


@runtime_checkable
class EncoderModule(Protocol):
    """What an encoder is: an `nn.Module` that reads symbols `[B,S]` and leaves a `Memory`.

    Padded positions of `Memory.states` are zero, and nothing that stands in padding changes anything.
    """

    def __call__(self, source: Padded) -> Memory: ...


@runtime_checkable
class DecoderModule(Protocol):
    """What a decoder is: an `nn.Module` from symbols to hidden states of width `shape.width`.

    N = B * K rows (K beams of each sentence side by side) go against B memories, which are never repeated.
    """

    def __call__(self, memory: Memory, inputs: Tensor, want: Want) -> tuple[Tensor, Tensor | None]:
        """All positions at once: `inputs` `[N,T]` -> (hidden `[N,T,D]`, attention `[N,T,S]` if wanted)."""
        ...

    def start(self, memory: Memory, beams: int, top: int, want: Want) -> State:
        """A state for B * `beams` rows that have consumed nothing; `want` holds for all its steps."""
        ...

    def step(self, previous: Tensor, origin: Tensor, state: Any) -> tuple[Tensor, Tensor | None, State]:
        """Row n continues row `origin[n]` with symbol `previous[n]`: (hidden `[N,D]`, attention `[N,S]`, state)."""
        ...


class EncoderDecoder(nn.Module):
    """A `seq2x.types.Model`: p(Y|X) = prod_t p(y_t | y_<t, X) (Sutskever et al. 2014, eq. 1).

    `decode` and `step` give the same answers: the first for all positions of known targets at once, the second one
    symbol at a time. Hidden states become symbols only in `output`. With `NoEncoder` it is a language model, p(Y).
    """

    def __init__(self, encoder: EncoderModule, decoder: DecoderModule, output: VocabularyOutput) -> None:
        super().__init__()
        self.encoder, self.decoder, self.output = encoder, decoder, output

    def encode(self, source: Padded) -> Memory:
        """Read `source.values` `[B,S]`, of which `source.lengths` `[B]` count."""
        return self.encoder(source)

    def decode(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> VocabularyAnswer:
        """What follows each prefix of `inputs` `[N,T]` (they begin with `<s>`; N = B*K rows, B memories)."""
        hidden, attention = self.decoder(memory, inputs, want)
        return self._answer(hidden, attention)

    def start(self, memory: Memory, beams: int, top: int, want: Want = NOTHING) -> State:
        """A state for `beams` rows per sentence. `top` is a promise to other engines; nothing depends on it here."""
        return self.decoder.start(memory, beams, top, want)

    def step(self, previous: Tensor, origin: Tensor, state: Any) -> tuple[VocabularyAnswer, State]:
        """Row n continues row `origin[n]` of the last step with symbol `previous[n]` (both `[N]`)."""
        hidden, attention, state = self.decoder.step(previous, origin, state)
        return self._answer(hidden, attention), state

    def answer(self, batch: Batch, want: Want = NOTHING) -> VocabularyAnswer:
        """What the model says at every position `[B,T]` of the batch's targets, having read those before it."""
        if batch.target is None:
            raise ValueError("there is no target to answer for")
        return self.decode(self.encode(self._source(batch.source, batch.target)), shift(batch.target), want)

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p of the batch's targets, `</s>` included: `total` `[B]` and `items` `[B,T]`."""
        if batch.target is None:
            raise ValueError("there is no target to score")
        answer = self.answer(batch, want)
        values, lengths = batch.target
        valid_BT = valid(lengths, values.shape[1], values.device)
        items = answer.of(torch.where(valid_BT, values, PAD))
        items = torch.where(valid_BT, items, items.new_zeros(()))
        return Scored(items.sum(1), items, {} if answer.attention is None else {"attention": answer.attention})

    def _source(self, source: Padded | None, target: Padded) -> Padded:
        if source is not None:
            return source
        if not isinstance(self.encoder, NoEncoder):
            raise ValueError("an encoder-decoder needs a source")
        return target  # how many there are is all that is looked at

    def _answer(self, hidden: Tensor, attention: Tensor | None) -> VocabularyAnswer:
        answer: VocabularyAnswer = self.output(hidden, attention)
        return answer


def shift(target: Padded) -> Tensor:
    """A decoder's inputs `[B,T]` for `target`: `<s>`, then all its symbols but the last; `PAD` past each length."""
    values, lengths = target
    begin = values.new_full((len(values), 1), BOS)
    inputs = torch.cat([begin, values[:, :-1]], 1)
    return torch.where(valid(lengths, values.shape[1], values.device), inputs, PAD)
