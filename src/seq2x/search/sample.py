"""Outputs drawn from the distribution over outputs, the same ones whatever else is in the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from seq2x.arrays import float64, namespace
from seq2x.search.drive import Drive, lengths_of
from seq2x.search.guide import Guide
from seq2x.search.roll import roll
from seq2x.search.rules import Sampling
from seq2x.search.trace import empty, read_off
from seq2x.types import NOTHING, Array, Decoder, Hypotheses, Want

__all__ = ["mixed", "sample", "uniforms"]


def sample(
    decoder: Decoder,
    memory: Any,
    source_lengths: Array,
    max_lengths: Array,
    sampling: Sampling,
    row_keys: Array,
    prefix: Array | None = None,
    want: Want = NOTHING,
    guide: Guide | None = None,
) -> Hypotheses:
    """`sampling.n` draws for each sentence, in the order they are drawn (not sorted); `scores` are log P.

    `row_keys` `[B]` (integers, such as line numbers) tell the sentences apart: the same seed and key give the same
    draws in any batch, and further draws do not change the first. Other arguments as in `seq2x.search.search`.
    The log p of each token is the model's own, neither tempered nor cut. A draw that runs into a dead end (all
    symbols forbidden) is cut there; one that cannot even begin has `stopped` -1. Raises `DivergedError` where a
    log p is NaN.
    """
    sources, most = lengths_of(source_lengths, max_lengths)
    if len(sources) == 0:
        return empty(sampling.n)
    drive = Drive(decoder, memory, len(sources), sampling.n, 1, want, sampling, prefix, most, guide, alone=True)
    uniform_BnT = drive.here(uniforms(sampling.seed, row_keys, sampling.n, int(most.max())))

    def one(drive: Drive) -> tuple[Array, Array]:
        uniform_N = drive.there(uniform_BnT[drive.rows_B, :, drive.length].reshape(-1))
        forbid_NF = drive.forbidden()
        (said,) = drive.answers()
        log_p_N, ids_N = said.sample(uniform_N, sampling.temperature, sampling.top_k, sampling.top_p, forbid_NF)
        log_p_N1, ids_N1 = float64(drive.here(log_p_N))[:, None], drive.here(ids_N)[:, None]
        # Where everything is forbidden, a decoder has nothing right to draw.
        against_N1 = (drive.here(forbid_NF) == ids_N1).any(-1)[:, None] & (log_p_N1 < np.inf)
        values_N1, ids_N1 = drive.force(namespace(log_p_N1).where(against_N1, -np.inf, log_p_N1), ids_N1)
        return values_N1[:, 0], ids_N1[:, 0]

    notes, ends, _ = roll(drive, one, most, "attention" in want)
    return read_off(notes, ends, sampling.n)


def uniforms(seed: int, row_keys: Array, draws: int, steps: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers in [0,1), `[B,draws,steps]`: each a function of (seed, row key, draw, step) and of nothing else.

    The four numbers are folded into 64 bits one after another by the finaliser of SplitMix64 (Steele et al. 2014);
    the upper 53 bits are the fraction.
    """
    keys_B11 = np.asarray(row_keys).astype(np.int64).view(np.uint64)[:, None, None]
    state = mixed(np.full((1, 1, 1), seed % 2**64, dtype=np.uint64))
    state = mixed(state ^ keys_B11)
    state = mixed(state ^ np.arange(draws, dtype=np.uint64)[None, :, None])
    state = mixed(state ^ np.arange(steps, dtype=np.uint64)[None, None, :])
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mixed(x: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """One step of SplitMix64: every bit of `x` reaches every bit of the result."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
