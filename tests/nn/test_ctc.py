"""CTC against all its paths, one by one (Graves et al. 2006, eq. 3)."""

import itertools
import math

import pytest
import torch

from seq2x.nn.ctc import CtcOutput, Emissions, losses_spelled
from seq2x.types import EOS, PAD

BLANK = 5
FRAMES = torch.tensor([5, 3])


def emissions(seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(2, 5, BLANK + 1, dtype=torch.float64, generator=draw)
    return Emissions(torch.log_softmax(logits, -1), FRAMES)


def all_outputs(frames, row):
    """The probability of every output, by every path."""
    p = frames.log_p[row].exp().tolist()
    found = {}
    for path in itertools.product(range(BLANK + 1), repeat=int(FRAMES[row])):
        merged = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)
        found[merged] = found.get(merged, 0.0) + math.prod(p[f][symbol] for f, symbol in enumerate(path))
    return found


def target(*outputs):
    """`[1,n,T]` with `</s>`, for both sentences, and lengths."""
    longest = max(map(len, outputs)) + 1
    rows = [[*output, EOS] + [PAD] * (longest - 1 - len(output)) for output in outputs]
    lengths = torch.tensor([len(output) + 1 for output in outputs])
    return torch.tensor(rows).expand(2, -1, -1), lengths.expand(2, -1)


def test_log_p_is_the_sum_over_paths_and_items_are_of_the_beginnings():
    frames = emissions()
    outputs = [(), (3,), (4, 4), (3, 4, 3), (3, 3, 3), (0, 1, 4, 4), (4, 4, 4)]
    items = frames.items(*target(*outputs))
    for row, expected in enumerate([all_outputs(frames, 0), all_outputs(frames, 1)]):
        assert math.isclose(sum(expected.values()), 1.0)
        for number, output in enumerate(outputs):
            found = items[row, number]
            assert math.isclose(float(found.sum().exp()), expected.get(output, 0.0), abs_tol=1e-15)
            for length in range(1, len(output) + 1):
                begun = sum(p for other, p in expected.items() if other[:length] == output[:length])
                assert math.isclose(float(found[:length].sum().exp()), begun, abs_tol=1e-15)
    assert items[1, 4].sum() == -torch.inf  # 3 3 3 needs five frames
    assert (items[:, 0, 1:] == 0).all()


def test_the_loss_and_its_gradient_are_those_of_the_recursion():
    """Two ways: torch's kernel, and our recursion differentiated."""
    ids, lengths = target((3, 3), (4,), ())
    for number in range(3):
        logits = emissions(1).log_p.clone().requires_grad_()
        frames = Emissions(torch.log_softmax(logits, -1), FRAMES)
        total, plain = frames.losses(ids[:, number], 0.3)
        (found,) = torch.autograd.grad(total, logits)
        frames = Emissions(torch.log_softmax(logits, -1), FRAMES)
        ours = losses_spelled(frames.log_p, FRAMES, ids[:, number], lengths[:, number] - 1).sum()
        (expected,) = torch.autograd.grad(ours, logits)
        torch.testing.assert_close(total, ours, rtol=0, atol=1e-12)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert torch.equal(plain, total.detach()) and not plain.requires_grad
        assert (found[1, 3:] == 0).all()


def test_what_does_not_fit_is_infinitely_unlikely_and_symbols_have_no_weights():
    frames, (ids, _) = emissions(), target((3, 3, 3))
    assert frames.losses(ids[:, 0])[0] == torch.inf
    log_p = frames.log_p.clone().requires_grad_()
    ours = losses_spelled(log_p, FRAMES, ids[:, 0], torch.tensor([3, 3]))  # what a device has
    assert torch.isfinite(ours).tolist() == [True, False] and ours[1] == torch.inf
    (found,) = torch.autograd.grad(ours.sum(), log_p)
    assert torch.isfinite(found).all() and (found[1] == 0).all()
    with pytest.raises(ValueError, match="no weights"):
        frames.losses(ids[:, 0], 0.0, torch.ones(2, 4))


def test_an_output_layer_gives_frames_and_no_special_symbol():
    torch.manual_seed(1)
    layer = CtcOutput(6, 4, 9, 3, 0.0).double()
    frames = layer(torch.randn(2, 4, 6, dtype=torch.float64), torch.tensor([4, 0]))
    assert frames.log_p.shape == (2, 12, 10) and frames.lengths.tolist() == [12, 3]
    p = frames.log_p.exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 12, dtype=torch.float64))
    assert (p[..., :3] == 0).all() and (p[..., 3:] > 0).all()
    assert frames.attention is None
