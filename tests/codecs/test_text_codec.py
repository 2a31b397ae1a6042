from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2x.codecs import TextCodec
from seq2x.codecs.bpe import Bpe
from seq2x.codecs.vocabulary import Vocabulary
from seq2x.errors import UsageError

LINES = [
    "the cat sat on the mat .",
    "The dog, the cat and the lower newest widest dogs!",
    "newer newest lower lowest wider widest",
    "我们喜欢学习中文。我们喜欢中文。",
    "私は日本語を勉強します。日本語を勉強。",
    "ผมชอบเรียนภาษาไทย ภาษาไทย",
    "naïve café déjà vu café naïve",
] * 4
UNITS = ("byte", "char", "word", "bpe", "unigram")
CODECS = {units: TextCodec.learn(LINES, units, 600) for units in UNITS}
LOWER = {units: TextCodec.learn(LINES, units, 600, "nfkc", True) for units in UNITS}

tricky = st.lists(
    st.sampled_from(
        ["</s>", "<s>", "<pad>", "<unk>", "▁", "@@ ", "@@", "<0x41>", " ", "  ", "\t", "\0", "\r", "\u2028", "\u0301",
         "\u200d", "的", "我们", "the", " cat", "😀", "A", "é", "e\u0301", "\ufdfa", "\u3000", "\u00a0", "\ufeff"]
    ),
    max_size=12,
).map("".join)  # fmt: skip
anything = st.one_of(st.text(max_size=40), tricky)


def expected(codec: TextCodec, text: str) -> str:
    text = codec.normalise(text).replace("\n", " ")
    return " ".join(word for word in text.split(" ") if word) if codec.units == "word" else text


@pytest.mark.no_cover  # see tests/contracts
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("codecs", [CODECS, LOWER], ids=["nfc", "nfkc-lower"])
@given(text=anything)
def test_round_trip(codecs, units, text):
    codec = codecs[units]
    ids = codec.encode(text)
    assert codec.decode(ids) == expected(codec, text)
    assert all(3 <= symbol < codec.size for symbol in ids)
    assert len(codec.tokens(ids)) == len(ids)


@pytest.mark.no_cover  # see tests/contracts
@pytest.mark.parametrize("units", UNITS)
@given(text=anything, more=st.lists(st.integers(0, 599), max_size=12))
def test_every_symbol_knows_its_word(units, text, more):
    """Words are those of the decoded text, in order; of any symbols, not of good ones alone."""
    codec = CODECS[units]
    for ids in (codec.encode(text), [symbol % codec.size for symbol in more]):
        words = codec.word_of(ids)
        shown = codec.decode(ids).replace("\r", " ")
        known = [word for word in words if word >= 0]
        assert len(words) == len(ids) and known == sorted(known)
        assert set(words) - {-1} == set(range(sum(map(bool, shown.split(" ")))))


def test_a_word_has_all_its_symbols_and_a_blank_none():
    assert CODECS["char"].word_of(CODECS["char"].encode("ab  é c")) == [0, 0, -1, -1, 1, -1, 2]
    assert CODECS["byte"].word_of([*CODECS["byte"].encode("a é"), 2]) == [0, -1, 1, 1, -1]
    words = CODECS["word"]
    assert words.word_of(words.encode("the Ab cat xy z")) == [0, 1, 1, 2, 3, 3, -1, 4]
    pieces = CODECS["bpe"]
    ids = pieces.encode("the newestlower dog")
    texts = ["".join(pieces.tokens([i for i, word in zip(ids, pieces.word_of(ids), strict=True) if word == n]))
             for n in range(3)]  # fmt: skip
    assert texts == ["▁the", "▁newestlower", "▁dog"]
    closed = TextCodec.learn(LINES, "word", unknown="closed")
    assert closed.word_of([*closed.encode("the q r cat"), 2]) == [0, 1, 2, 3, -1]


@pytest.mark.parametrize("units", UNITS)
def test_round_trip_of_random_strings(units):
    codec = CODECS[units]
    rng = np.random.default_rng(7)
    for _ in range(1_000):
        codes = rng.integers(0, [128, 0x800, 0x3000, 0xD800, 0x110000][rng.integers(5)], rng.integers(0, 30))
        text = "".join(map(chr, codes))
        assert codec.decode(codec.encode(text)) == expected(codec, text)


@pytest.mark.parametrize("units", UNITS)
@given(data=st.data())
def test_decoded_text_is_one_line_of_utf8_whatever_the_ids(units, data):
    codec = CODECS[units]
    ids = data.draw(st.lists(st.integers(0, codec.size - 1), max_size=20))
    text = codec.decode(ids)
    assert "\n" not in text
    assert codec.normalise(text) == text
    assert text.encode("utf-8").decode("utf-8") == text


@pytest.mark.no_cover  # see tests/contracts
@pytest.mark.parametrize("units", UNITS)
@given(texts=st.lists(anything, max_size=5))
def test_batch_is_single(units, texts):
    codec = CODECS[units]
    fresh = TextCodec(codec.vocabulary)  # nothing remembered
    assert fresh.encode_batch(texts) == [codec.encode(text) for text in texts]


@pytest.mark.parametrize("units", UNITS)
def test_special_symbols_are_skipped_and_cannot_be_written(units):
    codec = CODECS[units]
    ids = codec.encode("</s> <s> <pad>")
    assert min(ids) >= 3
    assert codec.decode([1, *ids, 2, 0]) == "</s> <s> <pad>"
    assert codec.tokens([0, 1, 2]) == ["<pad>", "<s>", "</s>"]


def test_numpy_ids_are_ids():
    codec = CODECS["bpe"]
    ids = codec.encode("the newest 中文")
    assert codec.decode(np.array(ids)) == "the newest 中文"
    assert codec.tokens(np.array(ids)) == codec.tokens(ids)


def test_broken_bytes_become_the_replacement_character():
    codec = CODECS["byte"]
    assert codec.decode([3 + 0xE4, 3 + 0xBD, 3 + 0x41, 3 + 0xFF]) == "\ufffdA\ufffd"
    assert codec.decode([3 + 0x0A, 3 + 0x41]) == " A"


# ------------------------------------------------------------------ units


def test_bpe_learns_what_sennrich_et_al_learn():
    # The example of the paper: low 5, lower 2, newest 6, widest 3. "es", "est" come first, "low" follows.
    lines = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    codec = TextCodec.learn(lines, "bpe")
    made = ["".join(codec.vocabulary.pieces[i] for i in pair) for pair in codec.vocabulary.merges]
    assert made[:3] == ["es", "est", "we"] or made[:2] == ["es", "est"]
    assert codec.tokens(codec.encode("lowest")) == ["▁low", "est"]


def test_bpe_takes_the_earliest_merge_and_the_leftmost_of_it():
    vocabulary = Vocabulary("bpe", ("a", "b", "aa", "ab", "aab"), ((0, 0), (0, 1), (2, 1)))
    codec = TextCodec(vocabulary)
    word = Bpe(vocabulary).cut
    assert codec.tokens(word("aaab")) == ["aa", "ab"]
    assert codec.tokens(word("aab")) == ["aab"]
    assert codec.tokens(word("aaa")) == ["aa", "a"]


def test_unigram_takes_the_most_probable_cut():
    pieces = ("ab", "bc", "a", "b", "c", "abc")
    scores = (-1.0, -1.5, -2.0, -2.5, -3.0, -4.5)
    codec = TextCodec(Vocabulary("unigram", pieces, (), scores))
    assert codec.tokens(codec.encode("abc")) == ["<0x20>", "a", "bc"]  # -3.5 beats -4.0 and -4.5


def test_unigram_equals_exhaustive_search():
    codec = CODECS["unigram"]
    scores = dict(zip(codec.vocabulary.pieces, codec.vocabulary.scores, strict=True))

    def best(text: str) -> float:
        if not text:
            return 0.0
        return max(scores[text[:n]] + best(text[n:]) for n in range(1, len(text) + 1) if text[:n] in scores)

    for word in ("newest", "widest", "lower", "theca", "我们喜欢", "日本語"):
        if all(char in scores for char in word):
            cut = codec.tokens(codec._segmenter.cut(word))
            assert sum(scores[piece] for piece in cut) == pytest.approx(best(word))


def test_words_are_joined_by_one_blank():
    codec = TextCodec.learn(["K AE1 T", "D AO1 G"], "word")
    ids = codec.encode(" K  AE1 G ")
    assert codec.tokens(ids) == ["K", "AE1", "G"]
    assert codec.decode(ids) == "K AE1 G"


def test_unknown_words_are_spelled_and_counted():
    codec = TextCodec.learn(["a b"], "word")
    assert codec.decode(codec.encode("x a y z b")) == "x a y z b"
    assert codec.unknown_count("x a y z b") == 3
    closed = TextCodec.learn(["a b"], "word", unknown="closed")
    assert closed.size == 6
    assert closed.encode("a x b y") == [4, 3, 5, 3]
    assert closed.decode(closed.encode("a x b")) == "a <unk> b"
    assert closed.unknown_count("a x b y") == 2
    assert closed.tokens([3, 4]) == ["<unk>", "a"]


def test_unknown_characters_are_counted():
    assert CODECS["bpe"].unknown_count("the ю 😀") == 2
    assert CODECS["char"].unknown_count("the ю 😀") == 2
    assert CODECS["byte"].unknown_count("ю") == 0


@pytest.mark.parametrize(
    ("units", "text"),
    [(units, text) for units in ("bpe", "unigram") for text in ("我们喜欢中文。", "日本語を勉強")]
    + [("bpe", "ภาษาไทย")],
)
def test_scripts_without_blanks_have_pieces_longer_than_a_character(units, text):
    codec = TextCodec.learn([line + str(i) for i in range(20) for line in LINES], units, 800)
    ids = codec.encode(text)
    assert len(ids) < len(text)
    assert not codec.tokens(ids)[0].startswith("▁")


# ------------------------------------------------------------------ size


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("lines", [[], [""], ["a"], ["\n"], ["的的的"], ["x y z"] * 50, LINES], ids=repr)
@pytest.mark.parametrize("size", [None, 8, 260, 300, 100_000])
def test_any_size_and_any_data_give_a_codec(units, lines, size):
    codec = TextCodec.learn(lines, units, size)
    assert codec.size <= max(259, size or codec.size)
    assert codec.decode(codec.encode("ab 的")) == "ab 的"
    again = TextCodec.from_bytes(codec.to_bytes(), "codec.json")
    assert again.vocabulary == codec.vocabulary


def test_the_codec_says_what_it_got():
    assert "asked" in TextCodec.learn(LINES, "bpe", 50_000).describe()
    assert "asked" in TextCodec.learn(LINES, "bpe", 10).describe()
    assert TextCodec.learn(LINES, "bpe", 400).describe() == "bpe, 400 symbols"


def test_wrong_choices_are_named():
    with pytest.raises(UsageError, match=r"units.*bpe"):
        TextCodec.learn([], "bep")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="normalise"):
        TextCodec.learn([], "bpe", normalise="nfd")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown"):
        TextCodec.learn([], "word", unknown="drop")  # type: ignore[arg-type]


# ------------------------------------------------------------------ sampling


@pytest.mark.parametrize("units", UNITS)
@settings(max_examples=30)
@given(text=anything, dropout=st.sampled_from([0.0, 0.1, 0.5, 1.0]), seed=st.integers(0, 5))
def test_resampled_text_is_the_same_text(units, text, dropout, seed):
    codec = CODECS[units]
    ids = codec.resample(text, dropout, np.random.default_rng(seed))
    assert codec.decode(ids) == expected(codec, text)
    assert ids == codec.resample(text, dropout, np.random.default_rng(seed))
    if dropout == 0.0:
        assert ids == codec.encode(text)


@pytest.mark.parametrize("units", ["bpe", "unigram"])
def test_resampling_varies_and_ends_at_characters(units):
    codec = CODECS[units]
    rng = np.random.default_rng(1)
    cuts = {tuple(codec.resample("the newest widest dogs", 0.3, rng)) for _ in range(50)}
    assert len(cuts) > 5
    assert all(len(token) == 1 for token in codec.tokens(codec.resample("the newest", 1.0, rng)))


def test_dropout_leaves_out_each_merge_with_its_probability():
    codec = TextCodec(Vocabulary("bpe", (" ", "a", " a"), ((0, 1),)))
    rng = np.random.default_rng(3)
    merged = sum(len(codec.resample("a", 0.25, rng)) == 1 for _ in range(4000))
    assert abs(merged / 4000 - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5


# ------------------------------------------------------------------ the same everywhere

_LEARN = """
import sys
from seq2x.codecs import TextCodec
import hashlib
lines = sys.stdin.buffer.read().decode().split("\\n")
print([hashlib.sha256(TextCodec.learn(lines, units, 700).to_bytes()).hexdigest() for units in
       ("byte", "char", "word", "bpe", "unigram")])
assert "torch" not in sys.modules
"""


def test_two_processes_learn_the_same_bytes(tmp_path):
    text = "\n".join(f"{line} {i % 13} {'abcdefg'[i % 7] * (i % 5)}" for i, line in enumerate(LINES * 5))
    found = set()
    for seed, threads, parallel in (("0", "1", "false"), ("1", "4", "true"), ("77", "2", "true")):
        env = os.environ | {
            "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": parallel, "LC_ALL": "C"
        }  # fmt: skip
        run = subprocess.run(
            [sys.executable, "-c", _LEARN], input=text.encode(), capture_output=True, env=env, cwd=tmp_path, check=True
        )
        found.add(run.stdout)
    assert len(found) == 1


def test_using_a_codec_needs_neither_torch_nor_tokenizers():
    code = (
        "import sys; from seq2x.codecs import TextCodec; "
        "c = TextCodec.from_bytes(sys.stdin.buffer.read(), 'x'); assert c.decode(c.encode('the cat')) == 'the cat'; "
        "assert not {'torch', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], input=CODECS["bpe"].to_bytes(), check=True)
