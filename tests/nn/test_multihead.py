import math

import pytest
import torch

from seq2x.nn.multihead import CrossAttention, SelfAttention, attend, key_mask, valid_positions
from seq2x.nn.positions import Rotary
from seq2x.nn.precision import matrix_precision


def _written_out(queries, keys, values, mask, causal):
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    if causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf, dtype=scores.dtype).triu(1)
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    return scores.softmax(-1) @ values, scores.softmax(-1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_fused_and_explicit_attention_are_the_equation(causal, masked):
    torch.manual_seed(0)
    queries, keys, values = (torch.randn(3, 2, 5, 4, dtype=torch.float64) for _ in range(3))
    mask = key_mask(valid_positions(torch.tensor([5, 2, 0]), 5)) if masked and not causal else None
    expected, weights = _written_out(queries, keys, values, mask, causal)
    fused, nothing = attend(queries, keys, values, mask, causal)
    explicit, shown = attend(queries, keys, values, mask, causal, want_weights=True)
    assert nothing is None
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(explicit, expected)
    torch.testing.assert_close(shown, weights)
    rounded, _ = attend(queries.bfloat16(), keys.bfloat16(), values.bfloat16(), mask, causal)
    assert rounded.dtype == torch.bfloat16 and (rounded - expected).abs().max() < 0.05


def test_attention_gradients():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 1, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = key_mask(valid_positions(torch.tensor([3, 1]), 3))
    assert torch.autograd.gradcheck(lambda *qkv: attend(*qkv, mask, want_weights=True), inputs)
    assert torch.autograd.gradcheck(lambda *qkv: attend(*qkv, causal=True, want_weights=True), inputs)
    assert torch.autograd.gradcheck(lambda *qkv: attend(*qkv, mask)[0], inputs)


def test_dropped_weights_keep_their_mean_and_are_off_in_evaluation():
    torch.manual_seed(0)
    queries, keys, values = (torch.randn(1, 1, 6, 4) for _ in range(3))
    exact, _ = attend(queries, keys, values)
    mean = torch.stack([attend(queries, keys, values, dropout=0.25)[0] for _ in range(3000)]).mean(0)
    assert (mean - exact).abs().max() < 0.08
    layer, x = SelfAttention(8, 2, dropout=0.5), torch.randn(2, 5, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_masks_are_none_only_where_nothing_is_padded():
    assert valid_positions(torch.tensor([4, 4]), 4) is None
    assert valid_positions(torch.tensor([4, 3]), 4).tolist() == [[True] * 4, [True] * 3 + [False]]
    assert key_mask(None) is None
    assert key_mask(valid_positions(torch.tensor([0]), 2)).tolist() == [[[[True, False]]]]


def test_the_layer_is_torchs_own_with_the_same_weights():
    torch.manual_seed(0)
    ours, theirs = SelfAttention(8, 2).double(), torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv), theirs.in_proj_bias.copy_(ours.qkv_bias.normal_())
        theirs.out_proj.weight.copy_(ours.out), theirs.out_proj.bias.copy_(ours.out_bias.normal_())
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])


def test_beams_are_queries():
    torch.manual_seed(0)
    layer = CrossAttention(8, 2).double()
    states, queries = torch.randn(2, 5, 8, dtype=torch.float64), torch.randn(2, 3, 8, dtype=torch.float64)
    keys, values = layer.remember(states)
    mask = key_mask(valid_positions(torch.tensor([5, 2]), 5))
    together, weights = layer(queries, keys, values, mask, want_weights=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, dtype=torch.float64))
    assert (weights[1, :, 2:] == 0).all()
    for beam in range(3):
        alone, _ = layer(queries[:, beam : beam + 1], keys, values, mask)
        torch.testing.assert_close(together[:, beam : beam + 1], alone)


def test_rotary_scores_depend_on_distance_alone():
    torch.manual_seed(0)
    rotary = Rotary(6, length=4).double()
    query, key = torch.randn(1, 1, 1, 6, dtype=torch.float64), torch.randn(1, 1, 1, 6, dtype=torch.float64)

    def score(at, other):
        return (rotary(query, at) * rotary(key, other)).sum()

    torch.testing.assert_close(score(0, 3), score(700, 703), rtol=1e-4, atol=1e-4)  # the table grew on the way
    torch.testing.assert_close(rotary(query, 0), query)
    assert abs(score(0, 1) - score(0, 3)) > 1e-3


def test_bf16_blocks_round_only_products():
    torch.manual_seed(0)
    layer, x = SelfAttention(16, 2), torch.randn(2, 4, 16, requires_grad=True)
    exact = layer(x)
    with matrix_precision("bf16"):
        rounded = layer(x)
        with matrix_precision("fp32"):
            assert torch.equal(layer(x), exact)
    assert rounded.dtype == torch.bfloat16 and (rounded - exact).abs().max() < 0.05
    rounded.float().sum().backward()
    assert layer.qkv.grad.dtype == torch.float32 and x.grad.dtype == torch.float32
    assert layer(x).dtype == torch.float32
