import torch

from seq2x.nn.dropout import Dropout, dropout, keep_mask


def test_rate_and_scale_are_exact_for_the_rounded_p():
    torch.manual_seed(0)
    x = torch.ones(1000, 1003)
    for p in (0.1, 0.3, 0.5):
        rounded = round(p * 256) / 256
        y = dropout(x, p)
        assert abs((y == 0).double().mean() - rounded) < 2e-3
        assert torch.equal(y[y != 0].unique(), torch.tensor([1 / (1 - rounded)]))
        assert abs(y.double().mean() - 1) < 3e-3


def test_every_byte_of_a_draw_is_uniform():
    torch.manual_seed(0)
    kept = keep_mask(torch.Size([200_000]), 0.25, torch.device("cpu"), torch.float32).view(-1, 8) != 0
    assert (kept.double().mean(0) - 0.75).abs().max() < 0.012
    words = kept.double() - kept.double().mean(0)  # neighbours in a word are independent
    correlation = (words.T @ words / len(words)) / 0.1875 - torch.eye(8, dtype=torch.float64)
    assert correlation.abs().max() < 0.03


def test_identity_without_a_share_or_in_evaluation():
    x, state = torch.randn(3, 4), torch.random.get_rng_state()
    assert dropout(x, 0.0) is x and Dropout(0.5).eval()(x) is x and Dropout(0.001)(x) is x
    assert torch.equal(torch.random.get_rng_state(), state)


def test_gradient_goes_where_the_value_went():
    for dtype in (torch.float64, torch.bfloat16):
        x = torch.ones(50, 7, dtype=dtype, requires_grad=True)
        y = Dropout(0.5)(x)
        y.sum().backward()
        assert y.dtype == dtype and torch.equal(x.grad, y.detach())


def test_follows_the_default_generator_alone():
    x = torch.ones(11, 13)
    torch.manual_seed(5)
    first = dropout(x, 0.4)
    second = dropout(x, 0.4)
    torch.manual_seed(5)
    assert torch.equal(dropout(x, 0.4), first) and not torch.equal(first, second)


def test_nearly_everything_dropped_keeps_a_little():
    torch.manual_seed(0)
    assert dropout(torch.ones(100_000), 0.9999).count_nonzero() > 0
