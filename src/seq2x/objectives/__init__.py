"""What training minimises: functions from (model, batch) to a `Loss`, a sum and what to divide it by.

Likelihood          the right symbols, one after another
Attended            and what attention is to look at
ScheduledSampling   either, of a model that reads some symbols of its own
Rewarded            whole outputs, as a metric judges them
at                  what one update minimises, of an objective that varies
"""

from __future__ import annotations

from .attended import Attended
from .likelihood import Likelihood
from .modes import at
from .reward import Rewarded, Watch
from .scheduled_sampling import ScheduledSampling
from .sequence import SequenceLikelihood

__all__ = ["Attended", "Likelihood", "Rewarded", "ScheduledSampling", "SequenceLikelihood", "Watch", "at"]
