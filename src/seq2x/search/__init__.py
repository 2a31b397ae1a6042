"""Step in, `Hypotheses` out: greedy, beam, sampling, over anything that can step; and what writes all at once.

search      the n best outputs of each sentence (beam search; beam size 1 is greedy)
sample      draws from the distribution over outputs
refine      all symbols at once, and the least certain ones again, over anything that fills in
spell       a symbol or nothing at each frame, read off
Ensemble    a decoder over decoders
Rules, Sampling, Refinement, limits     what a search obeys
"""

from seq2x.search.beam import search
from seq2x.search.ctc import spell
from seq2x.search.ensemble import Ensemble
from seq2x.search.refine import refine
from seq2x.search.rules import Refinement, Rules, Sampling, limits
from seq2x.search.sample import sample

__all__ = ["Ensemble", "Refinement", "Rules", "Sampling", "limits", "refine", "sample", "search", "spell"]
