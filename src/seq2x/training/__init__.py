"""Training: one readable loop, and a run folder that survives whatever happens to it."""

from seq2x.training.start import RunInfo, train

__all__ = ["RunInfo", "train"]
