"""D1: no text takes a codec more than its length."""

import time

import pytest

from seq2x.codecs import TextCodec

LINES = [
    "the cat sat on the mat .",
    "newer newest lower lowest wider widest",
    "我们喜欢学习中文。我们喜欢中文。",
    "naïve café déjà vu café naïve",
] * 4
UNITS = ("byte", "char", "word", "bpe", "unigram")
HARD = {
    "one letter": "a",
    "brackets": ">>",
    "combining marks": "e\u0301\u0302",
    "joiners": "👩\u200d👧",
    "a word in a letter": "\ufdfa",
    "zeros": "\0",
    "words": "the newest ",
    "no blanks": "我们喜欢",
}


@pytest.mark.slow
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("piece", HARD.values(), ids=HARD)
def test_time_is_linear(units, piece):
    """D1: twice the text takes at most 2.5 times as long, up to a megabyte. The better of a few tries, as the
    processor has other work, too."""
    codec, ratios = TextCodec.learn(LINES, units, 600), []
    text = piece * (500_000 // len(piece.encode()))
    for _ in range(5):
        spent = []
        for line in (text, text * 2):
            began = time.process_time()
            codec.decode(codec.encode(line))
            spent.append(time.process_time() - began)
        ratios.append(spent[1] / spent[0])
        if ratios[-1] <= 2.5:
            return
    pytest.fail(f"the ratios of five tries: {ratios}")
