import pytest
import torch

from seq2x.nn.norms import BatchNorm, norm


@pytest.mark.parametrize("kind", ["layer", "rms", "batch"])
def test_gradients(kind):
    torch.manual_seed(0)
    module = norm(kind, 4).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[True, True, False], [True, False, False]])
    assert torch.autograd.gradcheck(lambda x: module(x, valid)[valid], (x,))


def test_batch_statistics_leave_padding_out():
    torch.manual_seed(0)
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    lengths = torch.tensor([5, 2])
    valid = torch.arange(5) < lengths[:, None]
    for _ in range(3):
        x = torch.randn(2, 5, 4)
        expected = theirs(x[valid])
        x[~valid] = float("nan")
        torch.testing.assert_close(ours(x, valid)[valid], expected)
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    ours.eval(), theirs.eval()
    x = torch.randn(7, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_batch_norm_of_one_row_is_finite():
    module = BatchNorm(3)
    x = torch.randn(1, 1, 3, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all() and module.variance.isfinite().all()
    module(torch.randn(1, 2, 3), torch.zeros(1, 2, dtype=torch.bool))
    assert module.mean.isfinite().all() and module.variance.isfinite().all()


def test_without_padding_a_mask_changes_nothing():
    torch.manual_seed(0)
    module, x = BatchNorm(3).double(), torch.randn(2, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(module(x), module(x, torch.ones(2, 3, dtype=torch.bool)))
