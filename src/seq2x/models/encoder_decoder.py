"""Encoder, decoder and output layer as one model: the same for every kind of each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from seq2x.nn.copying import Copyable, CopyingAnswer, CopyingOutput
from seq2x.nn.inputs import shift
from seq2x.nn.outputs import VocabularyAnswer, VocabularyOutput
from seq2x.nn.pooling import valid
from seq2x.types import NOTHING, PAD, Batch, Memory, Padded, Scored, State, Want

from .no_encoder import NoEncoder

__all__ = ["DecoderModule", "EncoderDecoder", "EncoderModule"]

S_co = TypeVar("S_co", bound=State)

_Answer: TypeAlias = VocabularyAnswer | CopyingAnswer


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


@dataclass(slots=True)
class _CopyingState:
    """A decoder's state, and what its sentences hold to be copied. `want` is what the caller wants to see."""

    decoder: State
    source: Copyable
    want: Want

    @property
    def position(self) -> Tensor:
        """`[N]`: how many symbols each row has consumed."""
        return cast(Tensor, self.decoder.position)

    def keep(self, rows: Tensor) -> _CopyingState:
        """Only the sentences `rows` go on, with all their beams."""
        rows = torch.as_tensor(rows, device=self.source.ids.device)
        return dataclasses.replace(self, decoder=self.decoder.keep(rows), source=self.source.keep(rows))

    def clone(self) -> _CopyingState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self, decoder=self.decoder.clone())


class EncoderDecoder(nn.Module):
    """A `seq2x.types.Model`: p(Y|X) = prod_t p(y_t | y_<t, X) (Sutskever et al. 2014, eq. 1).

    `decode` and `step` give the same answers: the first for all positions of known targets at once, the second one
    symbol at a time. Hidden states become symbols only in `output`. One that copies has V + S symbols, and has to be
    told what copying each symbol of a source means: `Batch.copy_ids`. With `NoEncoder` it is a language model, p(Y).
    """

    def __init__(
        self, encoder: EncoderModule, decoder: DecoderModule, output: VocabularyOutput | CopyingOutput
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.output = encoder, decoder, output

    def encode(self, source: Padded, copy_ids: Tensor | None = None) -> Memory:
        """Read `source.values` `[B,S]`, of which `source.lengths` `[B]` count. `copy_ids` `[B,S]`, for a model that
        copies: the target symbol at each place.
        """
        memory = self.encoder(source)
        if isinstance(self.output, CopyingOutput):
            if copy_ids is None or copy_ids.shape != source.values.shape:
                found = None if copy_ids is None else list(copy_ids.shape)
                raise ValueError(f"this model copies: copy_ids are {found}, not {list(source.values.shape)}")
            memory.parts = {**memory.parts, "copy_ids": copy_ids}
        return memory

    def decode(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> _Answer:
        """What follows each prefix of `inputs` `[N,T]` (they begin with `<s>`; N = B*K rows, B memories)."""
        if isinstance(self.output, CopyingOutput):
            read = self.output.readable(inputs)
            hidden, attention = self.decoder(memory, read, want | self.output.wants)
            return self._answer(hidden, attention, read, self.output.look(memory), "attention" in want)
        hidden, attention = self.decoder(memory, inputs, want)
        return self._answer(hidden, attention)

    def start(self, memory: Memory, beams: int, top: int, want: Want = NOTHING) -> State:
        """A state for `beams` rows per sentence. `top` is a promise to other engines; nothing depends on it here."""
        if isinstance(self.output, CopyingOutput):
            state = self.decoder.start(memory, beams, top, want | self.output.wants)
            return _CopyingState(state, self.output.look(memory), want)
        return self.decoder.start(memory, beams, top, want)

    def step(self, previous: Tensor, origin: Tensor, state: Any) -> tuple[_Answer, State]:
        """Row n continues row `origin[n]` of the last step with symbol `previous[n]` (both `[N]`)."""
        if isinstance(self.output, CopyingOutput):
            read = self.output.readable(previous)
            hidden, attention, after = self.decoder.step(read, origin, state.decoder)
            answer = self._answer(hidden, attention, read, state.source, "attention" in state.want)
            return answer, dataclasses.replace(state, decoder=after)
        hidden, attention, state = self.decoder.step(previous, origin, state)
        return self._answer(hidden, attention), state

    def answer(self, batch: Batch, want: Want = NOTHING) -> _Answer:
        """What the model says at every position `[B,T]` of the batch's targets, having read those before it."""
        if batch.target is None:
            raise ValueError("there is no target to answer for")
        memory = self.encode(self._source(batch.source, batch.target), batch.copy_ids)
        return self.decode(memory, shift(batch.target), want)

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

    def _answer(self, *parts: Any) -> _Answer:
        answer: _Answer = self.output(*parts)
        return answer
