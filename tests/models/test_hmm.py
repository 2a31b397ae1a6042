"""The hidden Markov model: its counts by hand, its probabilities and its EM by enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch

from seq2x.codecs.tokens import ENDINGS, SHAPE, SYMBOLS
from seq2x.errors import FolderError
from seq2x.models import Hmm, HmmShape, shape_from_json
from seq2x.models.hmm_counts import UNKNOWN, count, of_letters
from seq2x.types import EOS, Batch, Padded

A, B, C = 4, 5, 6  # words; of labels, 4 and 5
S, V = 12, 6


def batch(sentences, labels=None):
    """Tokens that are a word alone, or `(word, shape, ending)`."""
    lengths = np.array([len(one) for one in sentences])
    tokens = np.zeros((len(sentences), lengths.max(), SYMBOLS), np.int64)
    tags = np.zeros(tokens.shape[:2], np.int64)
    for row, sentence in enumerate(sentences):
        for place, token in enumerate(sentence):
            word, shape, ending = token if isinstance(token, tuple) else (token, 0, 0)
            tokens[row, place, 0], tokens[row, place, SHAPE], tokens[row, place, ENDINGS[0]] = word, shape, ending
            tags[row, place] = labels[row][place] if labels else 0
    return Batch(Padded(tokens, lengths), Padded(tags, lengths) if labels else None, np.arange(len(sentences)))


TAGGED = batch(
    [[A, B, A], [A, (UNKNOWN, 7, 8)], [C, A, B, C], [(UNKNOWN, 7, 9)]], [[4, 5, 4], [4, 5], [5, 4, 5, 5], [4]]
)
UNLABELLED = [batch([[A, B], [C, C, A], [B]]), batch([[A, (UNKNOWN, 7, 8), C]])]


def tensors(one):
    return Batch(*(None if part is None else Padded(*map(torch.from_numpy, part)) for part in one[:2]), one.rows)


def fitted(order, passes=1):
    model = Hmm(HmmShape(source_size=S, target_size=V, order=order))
    for number in range(1, passes + 1):
        model.fit(number, lambda: [TAGGED], lambda: UNLABELLED)
    return model


def test_transitions_are_counted_and_every_history_has_some_of_each_label():
    table = count(lambda: [TAGGED], S, V, 1)[0].numpy()
    raw = np.zeros((V, V))
    for tags in ([4, 5, 4], [4, 5], [5, 4, 5, 5], [4]):
        for before, after in itertools.pairwise([EOS, *tags, EOS]):
            raw[before, after] += 1
    share = raw.sum(0) + 5.0 * np.array([0, 0, 1, 1, 1, 1]) / 4
    np.testing.assert_allclose(table, raw + 5.0 * share / share.sum(), atol=1e-12)
    assert (table[:, :EOS] == 0).all() and (table[:, EOS:] > 0).all()


def test_a_pair_of_labels_leans_on_one_label():
    one, two = (count(lambda: [TAGGED], S, V, order)[0] for order in (1, 2))
    p = one / one.sum(1, keepdim=True)
    torch.testing.assert_close(two[3, 3], 5.0 * p[3])  # never seen
    torch.testing.assert_close(two[4, 5] - 5.0 * p[5], torch.tensor([0, 0, 1.0, 0, 1.0, 1.0], dtype=torch.float64))


def test_words_are_as_frequent_as_they_were():
    _, words, letters = count(lambda: [TAGGED], S, V, 1)
    assert words.sum(1)[[A, B, C, UNKNOWN]].tolist() == pytest.approx([4, 2, 2, 2])
    assert words[A, 4] > words[A, 5] > 0 and words[A, EOS] == 0
    assert letters[7].tolist() == [0, 0, 0, 0, 1, 1] and letters[8].tolist() == [0, 0, 0, 0, 0, 1]


def test_an_ending_tells_and_an_unknown_one_does_not():
    _, _, letters = count(lambda: [TAGGED], S, V, 1)
    tokens = torch.from_numpy(batch([[(UNKNOWN, 7, 8), (UNKNOWN, 7, 9), (UNKNOWN, 7, 10)]]).source.values)
    told = of_letters(letters, tokens)[0]
    assert told[0, 5] > told[2, 5] > told[1, 5]
    torch.testing.assert_close(told.sum(-1), torch.ones(3, dtype=torch.float64))


def joint(model, sentence, labels):
    """p(X, Y) in plain Python, from the tables."""
    words, transitions, order = model.words.numpy(), model.transitions.numpy(), model.shape.order
    padded, total = [EOS] * order + list(labels) + [EOS], 0.0
    for i in range(len(labels) + 1):
        row = transitions[tuple(padded[i : i + order])]
        total += math.log(max(row[padded[i + order]] / row.sum(), 1e-300))
    letters = model.letters.numpy()
    rare = letters[UNKNOWN] + 0.1 * (np.arange(V) >= UNKNOWN)
    rare /= rare.sum()
    for token, label in zip(sentence, labels, strict=True):
        word, shape, ending = token if isinstance(token, tuple) else (token, 0, 0)
        total += math.log(max(words[word, label] / words[:, label].sum(), 1e-300) if words[:, label].any() else 1e-300)
        if word == UNKNOWN:
            shaped, ended = ((letters[part] + rare) / (letters[part].sum() + 1) for part in (shape, ending))
            both = shaped * ended / np.maximum(rare, 1e-300)
            total += math.log(max(both[label] / both.sum(), 1e-300)) - math.log(max(rare[label], 1e-300))
    return total


@pytest.mark.parametrize("order", [1, 2])
def test_a_labelling_has_its_share_of_all_of_them(order):
    model = fitted(order)
    sentence = [A, (UNKNOWN, 7, 8), C]
    scores = {tags: joint(model, sentence, tags) for tags in itertools.product(range(V), repeat=3)}
    log_z = np.logaddexp.reduce(list(scores.values()))
    for tags in itertools.product((3, 4, 5), repeat=3):
        found = model.log_prob(tensors(batch([sentence], [tags])))
        assert float(found.total) == pytest.approx(scores[tags] - log_z, abs=1e-9)
    assert float(model.chain(tensors(batch([sentence])).source).log_z()) == pytest.approx(log_z, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_special_symbols_have_no_share_even_where_no_unknown_word_was_counted(order):
    model = Hmm(HmmShape(source_size=S, target_size=V, order=order))
    model.fit(1, lambda: [batch([[A, B]] * 2, [[4, 5]] * 2)])
    every = list(itertools.product((3, 4, 5), repeat=3))
    found = model.log_prob(tensors(batch([[A, (UNKNOWN, 7, 8), B]] * len(every), every)))
    assert float(found.total.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    assert model.fit(2, lambda: [TAGGED], lambda: UNLABELLED) < model.fit(3, lambda: [TAGGED], lambda: UNLABELLED)


@pytest.mark.parametrize("order", [1, 2])
def test_em_adds_what_is_expected_by_enumeration(order):
    before, after = fitted(order), fitted(order, passes=2)
    transitions, words, _ = (table.numpy().copy() for table in count(lambda: [TAGGED], S, V, order))
    for sentence in ([A, B], [C, C, A], [B], [A, (UNKNOWN, 7, 8), C]):
        scores = {tags: joint(before, sentence, tags) for tags in itertools.product(range(V), repeat=len(sentence))}
        log_z = np.logaddexp.reduce(list(scores.values()))
        for tags, score in scores.items():
            p, padded = math.exp(score - log_z), (EOS,) * order + tags + (EOS,)
            for i in range(len(tags) + 1):
                transitions[padded[i : i + order + 1]] += p
            for token, tag in zip(sentence, tags, strict=True):
                words[token[0] if isinstance(token, tuple) else token, tag] += p
    np.testing.assert_allclose(after.transitions.numpy(), transitions, atol=1e-9)
    np.testing.assert_allclose(after.words.numpy(), words, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_em_never_makes_it_less_likely(order):
    model = fitted(order)
    values = [model.fit(number, lambda: [TAGGED], lambda: UNLABELLED) for number in range(2, 14)]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(values))
    assert values[-1] > values[0]


def test_a_shape_is_stored_and_a_wrong_one_is_not_believed():
    shape = HmmShape(source_size=S, target_size=V, order=2)
    assert shape_from_json(shape.to_json(), "x") == shape
    for change in ({"order": 3}, {"order": True}, {"target_size": 81}, {"source_size": 0}, {"kind": "hmms"}, {"x": 1}):
        with pytest.raises(FolderError):
            shape_from_json(shape.to_json() | change, "x")
    with pytest.raises(FolderError):
        shape_from_json([], "x")
