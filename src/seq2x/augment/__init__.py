"""More pairs out of those there are, out of text alone, and out of a trained run.

noise       text with mistakes made on purpose: drop, mask, infill, swap, switch
back        back-translation: a run that goes the other way makes the sources of genuine targets
distill     a teacher's outputs in the place of the targets
"""

from __future__ import annotations

from .made import back, distill
from .noise import Noise
from .noisy import noise
from .pairs import Made

__all__ = ["Made", "Noise", "back", "distill", "noise"]
