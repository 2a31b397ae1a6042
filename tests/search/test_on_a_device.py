"""What a search does on a device, where all its small arrays are tensors: the same as on the host, in tensors."""

from __future__ import annotations

import numpy as np
import pytest

from seq2x.search import Automata, Automaton, Rules, Sampling, drive, loops, sample, search

from .decoders import RandomDecoder
from .test_guided import Brackets
from .test_loops import PHRASES, Parrot

FIELDS = ("tokens", "lengths", "scores", "log_p", "stopped")
WAYS = {
    "greedy": Rules(beam_size=1, no_repeat_ngram_size=3),
    "beam": Rules(beam_size=4, n_best=3, min_length=1, coverage_beta=0.2),
    "groups": Rules(beam_size=6, n_best=6, diversity_groups=3, stop="bound"),
    "draws": Sampling(n=3, top_k=8),
}


def found(way, guide, library="torch"):
    decoder = RandomDecoder(4, V=11, library=library)
    memory = decoder.memory(range(6), [3] * 6, 1.0)
    most, prefix = [3, 9, 5, 8, 9, 7], np.array([[-1], [4], [-1], [-1], [-1], [-1]])
    if guide == "automata":
        phrase = Automaton.containing([[[4, 5]], [[6]]], 11)
        given = Automata([phrase, Automaton.anything(11), phrase, Automaton.only((3, 4), 11), phrase, phrase])
    else:
        given = Automata([Automaton.containing([[[7]]], 11)] * 6) if guide == "one" else None
    if guide == "brackets":
        given, prefix, most = Brackets([1, 2, 1, 2, 1, 1], 11), None, [9] * 6
    rules = WAYS[way]
    if isinstance(rules, Sampling):
        return sample(decoder, memory, [3] * 6, most, rules, range(6), prefix, guide=given)
    return search(decoder, memory, [3] * 6, most, rules, prefix, guide=given)


@pytest.mark.parametrize("guide", ["none", "one", "automata", "brackets"])
@pytest.mark.parametrize("way", WAYS)
def test_tensors_do_what_arrays_do(way, guide, monkeypatch):
    expected = found(way, guide)
    for module in (drive, loops):
        monkeypatch.setattr(module, "on_host", lambda x: False)
    tensors = found(way, guide)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(tensors, name), getattr(expected, name), atol=1e-12, err_msg=name)


@pytest.mark.parametrize("beam_size", [1, 2])
def test_loops_end_there_too(beam_size, monkeypatch):
    decoder = Parrot(PHRASES, library="torch")
    rules = Rules(beam_size=beam_size)
    expected = search(decoder, range(5), [3] * 5, [400] * 5, rules)
    for module in (drive, loops):
        monkeypatch.setattr(module, "on_host", lambda x: False)
    tensors = search(decoder, range(5), [3] * 5, [400] * 5, rules)
    np.testing.assert_array_equal(tensors.tokens, expected.tokens)
    assert expected.lengths.max() < 400
