from __future__ import annotations

import json

import pytest

from seq2x.codecs import TextCodec
from seq2x.errors import FolderError

LINES = ["the cat sat on the mat", "the newest widest mat"] * 3
BPE = json.loads(TextCodec.learn(LINES, "bpe").to_bytes())
UNIGRAM = json.loads(TextCodec.learn(LINES, "unigram", 300).to_bytes())
WORD = json.loads(TextCodec.learn(LINES, "word").to_bytes())


def refused(data: bytes) -> str:
    with pytest.raises(FolderError) as caught:
        TextCodec.from_bytes(data, "run/best/source.json")
    assert str(caught.value).startswith("run/best/source.json")
    return str(caught.value)


def changed(raw: dict, **change: object) -> bytes:
    return json.dumps(raw | change).encode()


@pytest.mark.parametrize("units", ["byte", "char", "word", "bpe", "unigram"])
def test_reading_and_writing_is_stable(units):
    codec = TextCodec.learn(LINES, units, 300, "nfkc", True)
    data = codec.to_bytes()
    again = TextCodec.from_bytes(data, "x")
    assert again.to_bytes() == data
    assert again.encode_batch(LINES) == codec.encode_batch(LINES)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"[]", "object"),
        (b"[" * 100_000, "JSON"),
        (b'{"format": "seq2x text codec", "format": "x"}', "twice"),
        (changed(BPE, format="other"), "format"),
        (changed(BPE, version=2), "version"),
        (changed(BPE, version=True), "version"),
        (changed(BPE, extra=1), "extra"),
        (json.dumps({k: v for k, v in BPE.items() if k != "lower"}).encode(), "lower"),
        (changed(BPE, units="wordpiece"), "units"),
        (changed(BPE, units=["bpe"]), "units"),
        (changed(BPE, normalise="nfd"), "normalise"),
        (changed(BPE, lower=0), "lower"),
        (changed(BPE, asked=-1), "asked"),
        (changed(BPE, unknown="closed", bytes=0), "unknown"),
        (changed(BPE, bytes=255), "byte symbols"),
        (changed(BPE, pieces="abc"), "pieces"),
        (changed(BPE, pieces=[*BPE["pieces"], BPE["pieces"][3]]), "pieces"),
        (changed(BPE, pieces=["", *BPE["pieces"][1:]]), r"pieces[0]"),
        (changed(BPE, pieces=[7, *BPE["pieces"][1:]]), r"pieces[0]"),
        (changed(BPE, pieces=[*BPE["pieces"], "\ud800"]), "UTF-8"),
        (changed(BPE, pieces=[*BPE["pieces"], "x" * 65]), "characters"),
        (changed(BPE, pieces=[*BPE["pieces"], "zz"]), "made by no merge"),
        (changed(WORD, pieces=["x"] * 1_000_001), "1000001 entries"),
        (changed(WORD, pieces=["a b"]), r"pieces[0]"),
        (changed(WORD, merges=[[0, 1]]), "merges"),
        (changed(WORD, scores=[0.0]), "scores"),
        (changed(BPE, merges=[*BPE["merges"], BPE["merges"][0]]), "twice"),
        (changed(BPE, merges=BPE["merges"][::-1]), r"merges["),
        (changed(BPE, merges=[[len(BPE["pieces"]) - 1, 0], *BPE["merges"]]), "cycle"),
        (changed(BPE, merges=[[0, 10**9], *BPE["merges"]]), r"merges[0]"),
        (changed(BPE, merges=[[-1, 0], *BPE["merges"]]), r"merges[0]"),
        (changed(BPE, merges=[[0, True], *BPE["merges"]]), r"merges[0]"),
        (changed(BPE, merges=[[0, 0], *BPE["merges"]]), r"merges[0]"),
        (changed(BPE, merges=[[0], *BPE["merges"]]), r"merges[0]"),
        (changed(UNIGRAM, scores=UNIGRAM["scores"][1:]), "scores"),
        (changed(UNIGRAM, scores=[1.5, *UNIGRAM["scores"][1:]]), r"scores[0]"),
        (changed(UNIGRAM, scores=["x", *UNIGRAM["scores"][1:]]), r"scores[0]"),
        (changed(UNIGRAM, scores=[float("nan"), *UNIGRAM["scores"][1:]]), "NaN"),
        (TextCodec.learn(LINES, "bpe").to_bytes()[:-40], "JSON"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_damaged_files_are_refused_and_the_place_is_named(data, place):
    assert place in refused(data)


def test_every_flipped_byte_is_refused_or_still_a_codec():
    data = TextCodec.learn(LINES, "bpe", 270).to_bytes()
    for i in range(0, len(data), 3):
        damaged = data[:i] + bytes([data[i] ^ 0x15]) + data[i + 1 :]
        try:
            codec = TextCodec.from_bytes(damaged, "x")
        except FolderError:
            continue
        assert codec.decode(codec.encode("the cat 的")) == codec.normalise("the cat 的")
