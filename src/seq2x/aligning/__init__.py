"""Which word of a source stands for which word of its target: a hidden Markov model, in numpy alone.

    for links in seq2x.align("pairs.tsv"): ...      # [(0, 0), (1, 2), ...] of each pair, source place first

No run is made: alignments are of the very pairs they are learned on.
"""

from __future__ import annotations

from seq2x.aligning.links import align
from seq2x.aligning.symmetry import SYMMETRIES

__all__ = ["SYMMETRIES", "align"]
