"""Batches that are segmented anew: how often, how long at most, and the same from the same seed."""

import numpy as np
import pytest
import torch

from seq2x.codecs.copying import Copies
from seq2x.codecs.text import TextCodec
from seq2x.data.store_writer import write_store
from seq2x.settings import Settings
from seq2x.training.feed import StoreFeed
from seq2x.types import EOS, PAD, Example

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
NUMBERS = [" ".join(DIGITS[int(digit)] for digit in str(number)) for number in range(100, 300)]


def feed_of(folder, units, **given):
    codec = TextCodec.learn(NUMBERS, units, 400)
    settings = Settings(subword_dropout=0.1, batch_tokens=4000, **given)
    examples = [Example(text, (text,), line) for line, text in enumerate(NUMBERS, 1)]
    store = write_store(folder, examples, codec, codec, settings.max_source_length, settings.max_target_length)
    return StoreFeed(store, settings, (codec, codec), torch.device("cpu"))


@pytest.mark.parametrize("units", ["bpe", "unigram"])
def test_rows_are_segmented_anew_however_long_they_become(tmp_path, units):
    """All rows are 3 symbols long: the longest that was seen is no limit."""
    feed = feed_of(tmp_path, units)
    batch = feed.batch(np.arange(200), 1)
    assert (batch.target.lengths > 4).float().mean() > 0.2 and batch.target.lengths.max() > 8
    again = feed.batch(np.arange(200), 1)
    assert torch.equal(again.source.values, batch.source.values) and torch.equal(
        again.target.values, batch.target.values
    )
    assert not torch.equal(feed.batch(np.arange(200), 2).target.lengths, batch.target.lengths)
    alone = feed.batch(np.array([7]), 1)
    assert alone.target.lengths[0] == batch.target.lengths[7]


def test_what_is_copied_follows_each_segmentation(tmp_path):
    """The target symbol of every piece of the source, however it was cut; the target is cut by other draws."""
    codecs = TextCodec.learn(NUMBERS, "bpe", 300), TextCodec.learn([*NUMBERS, *DIGITS], "bpe", 330)
    settings, copies = Settings(subword_dropout=0.3, batch_tokens=4000, copy="generator"), Copies(*codecs)
    examples = [Example(text, (text,), line) for line, text in enumerate(NUMBERS, 1)]
    store = write_store(tmp_path, examples, *codecs, 60, 60, copies=copies)
    feed = StoreFeed(store, settings, codecs, torch.device("cpu"))
    plain = StoreFeed(store, Settings(batch_tokens=4000), codecs, torch.device("cpu")).batch(np.arange(200), 1)
    batch = feed.batch(np.arange(200), 1)
    assert not torch.equal(batch.source.lengths, plain.source.lengths)
    for row in range(200):
        ids = batch.copy_ids[row, : batch.source.lengths[row]].tolist()
        copied = copies(NUMBERS[row], batch.source.values[row, : len(ids) - 1].tolist())
        assert ids == [*copied.ids, EOS] and (batch.copy_ids[row, len(ids) :] == PAD).all()
        assert codecs[1].decode(ids, copied.extra) == NUMBERS[row]
        target = batch.target.values[row, : batch.target.lengths[row]].tolist()
        assert codecs[1].decode(target, copied.extra) == NUMBERS[row]


def test_none_is_longer_than_the_limits_and_each_side_has_its_own(tmp_path):
    feed = feed_of(tmp_path, "bpe", max_source_length=3, max_target_length=5)
    batch = feed.batch(np.arange(200), 1)
    assert batch.source.lengths.max() == 4 and batch.target.lengths.max() == 6  # with </s>
    assert (batch.target.lengths > 4).any()
