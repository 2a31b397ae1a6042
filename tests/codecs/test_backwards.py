"""A codec turned round: the same text, the same symbols, the last of them first."""

import numpy as np
import pytest

from seq2x.codecs import TextCodec
from seq2x.codecs.backwards import Backwards

LINES = ["the cat sat on the mat", "a dog ran home", "你好 世界", "naïve café", "the the the"]
TEXTS = [*LINES, "", " ", "ünseen \u2028 w\u0301ords", "x" * 20]


@pytest.mark.parametrize("units", ["byte", "char", "word", "bpe", "unigram"])
def test_it_is_the_codec_from_its_end(units):
    codec = TextCodec.learn(LINES, units, 400)
    turned = Backwards(codec.vocabulary)
    for text in TEXTS:
        ids = codec.encode(text)
        assert turned.encode(text) == ids[::-1] and turned.decode(ids[::-1]) == codec.decode(ids)
        assert turned.decode(np.array(ids[::-1], np.int64)) == codec.decode(ids)  # what a search gives
        assert turned.word_of(ids[::-1]) == codec.word_of(ids)[::-1]
        assert turned.spellings(text) == [one[::-1] for one in codec.spellings(text)]
    assert turned.encode_batch(TEXTS) == [ids[::-1] for ids in codec.encode_batch(TEXTS)]
    assert turned.to_bytes() == codec.to_bytes() and turned.size == codec.size


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_other_segmentations_are_turned_round_too(dropout):
    codec = TextCodec.learn(LINES, "bpe", 400)
    turned, found = Backwards(codec.vocabulary), set()
    for seed in range(20):
        plain, other = (one.resample(LINES[0], dropout, np.random.default_rng(seed)) for one in (codec, turned))
        assert other == plain[::-1] and turned.decode(other) == LINES[0]
        found.add(tuple(other))
    assert len(found) > 1 if dropout else found == {tuple(turned.encode(LINES[0]))}
