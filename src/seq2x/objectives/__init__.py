"""What training minimises: functions from (model, batch) to a `Loss`, a sum and what to divide it by."""

from __future__ import annotations

from .attended import Attended
from .likelihood import Likelihood
from .sequence import SequenceLikelihood

__all__ = ["Attended", "Likelihood", "SequenceLikelihood"]
