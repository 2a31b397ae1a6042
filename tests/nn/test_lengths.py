"""Lengths and masks: two small distributions, against their formulas."""

import torch

from seq2x.nn.lengths import LengthOutput
from seq2x.nn.masking import draw_masks


def test_a_length_is_a_class_by_its_difference_to_the_source():
    torch.manual_seed(1)
    layer = LengthOutput(6, 4, 5).double()
    with torch.no_grad():
        layer.bias.normal_()
    states, lengths = torch.randn(4, 7, 6, dtype=torch.float64), torch.tensor([3, 1, 7, 0])
    found = layer(states, lengths)
    for row, length in enumerate(lengths.tolist()):
        h = states[row, :length].sum(0) / max(length, 1)
        counted = min(length, 4)  # what is longer than any source counts as that long
        z = torch.stack([layer.matrix[T - counted + 3] @ h + layer.bias[T - counted + 3] for T in range(1, 6)])
        torch.testing.assert_close(found[row], torch.log_softmax(z, 0), rtol=0, atol=1e-12)


def test_masks_hide_any_number_of_symbols_alike_and_any_of_them():
    torch.manual_seed(2)
    counts = torch.tensor([4, 1, 0, 3]).repeat(4000)
    masks = draw_masks(counts, 6)
    assert not masks[torch.arange(6) >= counts[:, None]].any()
    number = masks.sum(1).view(-1, 4)
    assert (number[:, 1] == 1).all() and (number[:, 2] == 0).all()
    for column, most in ((0, 4), (3, 3)):
        shares = torch.bincount(number[:, column], minlength=most + 1)[1:] / len(number)
        assert (shares - 1 / most).abs().max() < 0.03
    first = masks.view(-1, 4, 6)[:, 0, :4]
    each = first.float().mean(0)
    assert (each - 2.5 / 4).abs().max() < 0.03  # all places alike: the mean of n is 2.5
    torch.manual_seed(2)
    assert torch.equal(draw_masks(counts, 6), masks)
