"""How long an output may be follows from the training pairs."""

import types

import numpy as np
import pytest

from seq2x.training.storing import length_ratio


@pytest.mark.parametrize(
    ("sources", "targets", "expected"),
    [([10, 10], [5, 12], 2.0), ([4] * 2000, [22] * 2000, 5.5), ([2] * 9999 + [1], [3] * 9999 + [900], 2.0)],
    ids=["at least two", "long targets", "one odd pair of ten thousand"],
)
def test_nearly_all_training_pairs_keep_to_it(sources, targets, expected):
    store = types.SimpleNamespace(
        source_lengths=np.array(sources, np.int32), target_lengths=np.array(targets, np.int32)
    )
    assert length_ratio(store) == expected
