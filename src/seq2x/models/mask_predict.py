"""A conditional masked language model: all symbols at once, given those that are not masked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2x.nn.lengths import LengthOutput
from seq2x.nn.masking import draw_masks
from seq2x.nn.outputs import VocabularyAnswer, VocabularyOutput
from seq2x.nn.pooling import valid
from seq2x.nn.sampled_softmax import Candidates
from seq2x.types import MASK, NOTHING, PAD, Batch, Memory, Padded, Scored, Want

from .encoder_decoder import EncoderModule
from .transformer_decoder import TransformerDecoder

__all__ = ["MaskPredict", "MaskedAnswer"]


@dataclass(frozen=True, slots=True)
class MaskedAnswer:
    """What is said of a batch's targets `[B,T]`: of the `asked` symbols given the others, and of their length.

    `symbols`: at every position; `asked` `[B,T]`: which were masked; `length` `[B]`: log p(T | X).
    """

    symbols: VocabularyAnswer
    asked: Tensor
    length: Tensor

    @property
    def attention(self) -> Tensor | None:
        """`[B,T,S]`, if it was wanted."""
        return self.symbols.attention

    def losses(self, ids: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The summed loss of the masked ones of `ids` `[B,T]`, smoothed, and -log p of the lengths; and the plain one.

        Ghazvininejad et al. 2019, sections 3.2 and 3.3. See `seq2x.nn.outputs.VocabularyAnswer.losses`.
        """
        smoothed, plain = self.symbols.losses(torch.where(self.asked, ids, PAD), smoothing, weights)
        length = -self.length.sum()
        return smoothed + length, plain + length.detach()

    def sampled_losses(self, ids: Tensor, candidates: Candidates) -> Tensor:
        """The plain loss of the masked ones of `ids` `[B,T]`, as `candidates` estimate it, and that of the lengths."""
        masked = torch.where(self.asked, ids, PAD)
        return self.symbols.sampled_losses(masked, candidates) - self.length.sum()


class MaskPredict(nn.Module):
    """A `seq2x.types.Refiner` (Ghazvininejad et al. 2019): the length of the output, then its symbols, in parallel.

        p(T | X),      p(y_t | Y_obs, X, T) for every masked t,      Y_obs: the symbols that are not masked

    The decoder is the Transformer's without the causal mask. It reads `MASK` (`<s>`: no symbol of the codec is new)
    where a symbol is masked, and `</s>`, never masked, at the end: what a model that writes from the left says of
    `</s>`, this one says of the length. In training n of the symbols are masked, n uniform from 1 to all; in evaluation
    all are, so that a loss is no matter of luck:

        log p(Y | X) = log p(T | X) + sum_t log p(y_t | X, T)                         (a proper distribution)

    Prefer it where outputs are long and few are wanted at once; it writes worse than from the left, the more so the
    more right outputs there are (section 5; it learns best from the outputs of another model).
    """

    def __init__(
        self, encoder: EncoderModule, decoder: TransformerDecoder, output: VocabularyOutput, length: LengthOutput
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.output, self.length = encoder, decoder, output, length

    def encode(self, source: Padded) -> Memory:
        """Read `source.values` `[B,S]`, of which `source.lengths` `[B]` count."""
        return self.decoder.remember(self.encoder(source))

    def lengths(self, memory: Memory) -> Tensor:
        """log p of each length, `[B,L]`; column t is t + 1 symbols, `</s>` counted."""
        log_p: Tensor = self.length(memory.states, memory.lengths)
        return log_p

    def fill(self, memory: Memory, inputs: Tensor, want: Want = NOTHING) -> VocabularyAnswer:
        """What stands at each position of `inputs` `[N,T]` (`</s>` last, then `PAD`); N = B*K rows, B memories."""
        hidden, attention = self.decoder(memory, inputs, want)
        answer: VocabularyAnswer = self.output(hidden, attention)
        return answer

    def answer(self, batch: Batch, want: Want = NOTHING) -> MaskedAnswer:
        """What is said of the batch's targets, some of them masked in training, all of them in evaluation."""
        return self._answer(batch, want, some=self.training)

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p of the batch's targets, all masked at once: `total` `[B]` and `items` `[B,T]`.

        The item of `</s>` is log p of the length. `parts`: "length" `[B]`, and "attention" if it was wanted.
        """
        answer = self._answer(batch, want, some=False)
        assert batch.target is not None
        values, lengths = batch.target
        size, lengths = values.shape[1], lengths.to(values.device, non_blocking=True)
        symbols = answer.symbols.of(torch.where(answer.asked, values, PAD))
        ends = torch.arange(size, device=values.device) == lengths[:, None] - 1
        items = torch.where(answer.asked, symbols, torch.where(ends, answer.length[:, None], symbols.new_zeros(())))
        parts = {"length": answer.length}
        return Scored(
            items.sum(1), items, parts if answer.attention is None else parts | {"attention": answer.attention}
        )

    def _answer(self, batch: Batch, want: Want, some: bool) -> MaskedAnswer:
        if batch.source is None or batch.target is None:
            raise ValueError("a masked model needs a source and a target")
        values, lengths = batch.target
        size, lengths = values.shape[1], lengths.to(values.device, non_blocking=True)
        counts = (lengths - 1).clamp(min=0)
        asked = draw_masks(counts, size) if some else valid(counts, size)
        inputs = torch.where(asked, MASK, torch.where(valid(lengths, size), values, PAD))
        memory = self.encode(batch.source)
        log_p_BL = self.lengths(memory)
        most = log_p_BL.shape[1]
        length = log_p_BL.gather(1, counts[:, None].clamp(max=most - 1)).squeeze(1)
        length = torch.where(lengths <= most, length, -torch.inf)  # never that long
        return MaskedAnswer(self.fill(memory, inputs, want), asked, length)
