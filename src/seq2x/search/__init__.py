"""Step in, `Hypotheses` out: greedy, beam, sampling, over anything that can step; and what writes all at once.

search      the n best outputs of each sentence (beam search; beam size 1 is greedy)
sample      draws from the distribution over outputs
refine      all symbols at once, and the least certain ones again, over anything that fills in
spell       a symbol or nothing at each frame, read off
Ensemble    a decoder over decoders
Fusion      a decoder over a decoder and a language model
Rules, Sampling, Refinement, limits     what a search obeys
Automaton   which outputs there may be; Automata guide the sentences of a batch, and so may any other Guide
in_a_loop   whether an output says the same again and again
"""

from seq2x.search.automaton import NEVER, Automaton
from seq2x.search.beam import search
from seq2x.search.ctc import spell
from seq2x.search.ensemble import Ensemble
from seq2x.search.fusion import Fusion
from seq2x.search.guide import Automata, Guide
from seq2x.search.loops import in_a_loop
from seq2x.search.refine import refine
from seq2x.search.rules import Refinement, Rules, Sampling, limits
from seq2x.search.sample import sample

__all__ = [
    "NEVER",
    "Automata",
    "Automaton",
    "Ensemble",
    "Fusion",
    "Guide",
    "Refinement",
    "Rules",
    "Sampling",
    "in_a_loop",
    "limits",
    "refine",
    "sample",
    "search",
    "spell",
]
