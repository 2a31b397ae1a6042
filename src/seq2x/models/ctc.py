"""An encoder alone that says at each place of the source which symbol stands there, or none (Graves et al. 2006)."""

from __future__ import annotations

from torch import nn

from seq2x.nn.ctc import CtcOutput, Emissions
from seq2x.types import NOTHING, Batch, Memory, Padded, Scored, Want

from .encoder_decoder import EncoderModule

__all__ = ["Ctc"]


class Ctc(nn.Module):
    """A `seq2x.types.Emitter`: p(Y|X) is the sum over all ways to spell Y frame by frame; see `seq2x.nn.ctc`.

    Any encoder will do; there is no decoder, no attention and no end to predict: an output ends with its frames, of
    which each source symbol gives `ctc_upsample`. Prefer it where the output keeps the order of the source and is not
    much longer (spelling, pronunciation, speech): all of it is written in one pass. It cannot reorder, and it does not
    know of one symbol which other it has chosen.
    """

    def __init__(self, encoder: EncoderModule, output: CtcOutput) -> None:
        super().__init__()
        self.encoder, self.output = encoder, output

    def encode(self, source: Padded) -> Memory:
        """Read `source.values` `[B,S]`, of which `source.lengths` `[B]` count."""
        return self.encoder(source)

    def emit(self, memory: Memory) -> Emissions:
        """What the frames of each sentence say."""
        emissions: Emissions = self.output(memory.states, memory.lengths)
        return emissions

    def answer(self, batch: Batch, want: Want = NOTHING) -> Emissions:
        """What is said of the batch's targets. There is no attention to want."""
        if batch.source is None:
            raise ValueError("this model needs a source")
        return self.emit(self.encode(batch.source))

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p of the batch's targets: `total` `[B]`, and `items` `[B,T]`, of each symbol given those before it."""
        if batch.target is None:
            raise ValueError("there is no target to score")
        values, lengths = batch.target
        items = self.answer(batch).items(values[:, None], lengths.to(values.device, non_blocking=True)[:, None])[:, 0]
        return Scored(items.sum(1), items)
