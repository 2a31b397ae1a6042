"""Step in, `Hypotheses` out: greedy, beam, sampling, over anything that can step.

search      the n best outputs of each sentence (beam search; beam size 1 is greedy)
sample      draws from the distribution over outputs
Ensemble    a decoder over decoders
Fusion      a decoder over a decoder and a language model
Rules, Sampling, limits     what a search obeys
"""

from seq2x.search.beam import search
from seq2x.search.ensemble import Ensemble
from seq2x.search.fusion import Fusion
from seq2x.search.rules import Rules, Sampling, limits
from seq2x.search.sample import sample

__all__ = ["Ensemble", "Fusion", "Rules", "Sampling", "limits", "sample", "search"]
