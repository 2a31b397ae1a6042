"""An encoder and a label for each place that it read: a softmax each, or a chain of them."""

from __future__ import annotations

from torch import Tensor, nn

from seq2x.nn.chain import Chain
from seq2x.nn.crf import Crf
from seq2x.nn.dropout import Dropout
from seq2x.nn.outputs import VocabularyAnswer, VocabularyOutput
from seq2x.types import NOTHING, Batch, Padded, Scored, Want

from .encoder_decoder import EncoderModule

__all__ = ["Labeller"]


class Labeller(nn.Module):
    """p(Y|X) of one label for each token: N in, N out, by construction.

    Without a `crf` the labels are independent given X, p(Y|X) = prod_t p(y_t|X): each sees all tokens, no label sees
    another (Graves & Schmidhuber 2005). With one the same scores are those of a chain (Huang et al. 2015). Sources are
    tokens `[B,S,F]` (F symbols each, see `seq2x.codecs.tokens`) with lengths in tokens; targets are labels `[B,S]` of
    the same lengths, without `</s>`.
    """

    def __init__(
        self, encoder: EncoderModule, output: VocabularyOutput, dropout: float, crf: Crf | None = None
    ) -> None:
        super().__init__()
        self.encoder, self.output, self.crf = encoder, output, crf
        self.dropout = Dropout(dropout)

    def answer(self, batch: Batch, want: Want = NOTHING) -> VocabularyAnswer:
        """What the encoder's states say of each place `[B,S]` by itself; for a chain, its u."""
        if batch.source is None:
            raise ValueError("a labeller needs a source")
        return self._answer(batch.source)

    def chain(self, source: Padded) -> Chain:
        """What the model says of all label sequences of `source`."""
        unary_BTV = self._answer(source).all()  # normalised or not is one for a chain: Z takes it back
        if self.crf is None:
            return Chain(unary_BTV, source.lengths)
        chain: Chain = self.crf(unary_BTV, source.lengths)
        return chain

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p of the batch's labels: `total` `[B]` and `items` `[B,S]`, see `Chain.items`."""
        if batch.source is None or batch.target is None:
            raise ValueError("a labeller scores labels of a source")
        items = self.chain(batch.source).items(batch.target.values)
        return Scored(items.sum(1), items)

    def _answer(self, source: Padded) -> VocabularyAnswer:
        states: Tensor = self.dropout(self.encoder(source).states)
        answer: VocabularyAnswer = self.output(states)
        return answer
