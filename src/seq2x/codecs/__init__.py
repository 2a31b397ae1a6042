"""Raw data <-> symbol numbers, both directions in one class, learned on the user's data and stored with the run."""

from __future__ import annotations

from .text import TextCodec
from .unknown import Unknowns

__all__ = ["TextCodec", "Unknowns"]
