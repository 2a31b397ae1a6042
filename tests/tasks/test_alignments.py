"""Links of words read off attention, against the sums written out, and what has none."""

import numpy as np
import pytest
import torch

from seq2x.errors import UsageError
from seq2x.predict import Predictor
from seq2x.settings import Settings
from seq2x.tasks.alignments import links, pharaoh
from seq2x.types import BOS, Prediction

from .conftest import LINES, make_task

ATTENTION = frozenset({"attention"})
SEARCH = Settings(beam_size=3, max_length=12, device="cpu")


def spans(codec, ids):
    """For each word its symbols, told from how `tokens` shows them: a blank is `▁` or a byte of its own."""
    found, within, spelled = [], False, False
    for place, token in enumerate(codec.tokens(ids)):
        byte, blank = token.startswith("<0x"), token in ("<0x20>", "<0x0A>", "<0x0D>")
        alone = codec.units == "word" and not (byte and spelled)
        within = within and not (token.startswith("▁") or blank or alone)
        if token.strip("▁") and not blank:
            found += [] if within else [[]]
            found[-1].append(place)
            within = True
        spelled = byte
    return found


def by_hand(attention, source, target):
    """The same in loops, from the symbols of each word."""
    found = []
    for j, rows in enumerate(target):
        sums = [sum(attention[t][s] for t in rows for s in columns) for columns in source]
        if max(sums, default=0.0) > 0.0:
            found.append((sums.index(max(sums)), j))
    return found


@pytest.mark.parametrize("kind", ["transformer", "gru"])
@pytest.mark.parametrize("units", ["char", "bpe", "word"])
def test_links_are_the_largest_sums_over_the_symbols_of_two_words(kind, units):
    predictor = Predictor(make_task(kind, units=units))
    codec = predictor.task.source_codec
    texts = [*LINES[:4], "  the   cat ", "a dog é ran"]
    several = 0
    for text, found in zip(texts, predictor(texts, details=True, want=ATTENTION, prefix="a dog ran"), strict=True):
        source, target = spans(codec, codec.encode(text)), spans(codec, found.ids)
        assert len(source) == len(text.split()) and len(target) == len([w for w in found.value.split(" ") if w])
        expected = by_hand(found.attention.astype(np.float64), source, target)
        assert predictor.align(text, found) == expected
        several += len(expected) > 1 and len(source) > 1
    assert several


def test_what_belongs_to_no_word_counts_for_none():
    """Blanks and `</s>` may have all the weight there is."""
    weights = np.array([[0.1, 0.9, 0.0, 0.0], [0.2, 0.0, 0.1, 0.7], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert links(weights, [0, -1, 1, -1], [0, 1, 2]) == [(0, 0), (0, 1)]
    assert links(weights, [-1, -1, -1, -1], [0, 1, 2]) == [] == links(weights, [], []) == links(weights, [0], [-1])
    assert links(np.ones((3, 3)), [0, 1, 2], [-1, 0, 0]) == [(0, 0)]  # of equal ones the first
    assert pharaoh([(0, 0), (2, 1)]) == "0-0 2-1" and pharaoh([]) == ""


def test_a_blank_text_and_a_run_without_attention():
    predictor = Predictor(make_task("gru"))
    (blank,) = predictor([" "], details=True, want=ATTENTION)
    assert predictor.align(" ", blank) == []
    (plain,) = predictor(["a dog"], details=True)
    with pytest.raises(UsageError, match="this prediction holds no attention"):
        predictor.align("a dog", plain)
    without = Predictor(make_task("gru", context="mean"))
    with pytest.raises(UsageError, match=r'no attention \(context = "mean"\).*train one with context = "attention"'):
        without.align("a dog", Prediction("x"))


def test_an_ensemble_gives_the_mean_of_its_attention():
    one, two = make_task("gru", units="bpe"), make_task("transformer", seed=3, units="bpe")
    text = "a dog ran home"
    (found,) = one.with_team([two]).predict([text], SEARCH, ATTENTION)
    shown = []
    for task in (one, two):
        source, _ = task.prepare([text])
        inputs = torch.tensor([[BOS, *found.ids]])[:, : len(found.attention)]
        with torch.no_grad():
            shown.append(task.model.decode(task.model.encode(source), inputs, ATTENTION).attention[0].numpy())
    np.testing.assert_allclose(found.attention, (shown[0] + shown[1]) / 2, atol=1e-6)
    words = one.source_codec.word_of(one.source_codec.encode(text)), one.target_codec.word_of(found.ids)
    assert one.with_team([two]).align(text, found) == links((shown[0] + shown[1]) / 2, *words)
    other = make_task("gru", units="bpe", source_units="char")
    with pytest.raises(UsageError, match="cut a source in different symbols"):
        one.with_team([other]).align(text, found)
