import pytest
import torch

from seq2x.nn import products
from seq2x.nn.products import Affine, affine, product


@pytest.fixture(params=["oneDNN", "torch"])
def way(request, monkeypatch):
    operation = None if request.param == "torch" else products._operation()
    if request.param == "oneDNN" and operation is None:
        pytest.skip("this torch has no such operation")
    monkeypatch.setattr(products, "_LINEAR", operation)


@pytest.mark.parametrize("rows", [(0,), (1,), (5,), (3, 7), (129,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_double_precision(way, rows, dtype, biased):
    torch.manual_seed(0)
    tensors = [torch.randn(*rows, 33), torch.randn(19, 33), torch.randn(19) if biased else None]
    ours = [None if tensor is None else tensor.to(dtype, copy=True).requires_grad_() for tensor in tensors]
    exact = [None if tensor is None else tensor.double().requires_grad_() for tensor in tensors]
    out, expected = affine(*ours), torch.nn.functional.linear(*exact)
    assert out.dtype == dtype and out.shape == expected.shape
    weights = torch.randn(expected.shape, dtype=torch.float64)
    (out * weights.to(dtype)).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=2e-5)
    for mine, theirs in zip(ours, exact, strict=True):
        if mine is not None:
            torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-5, atol=5e-5)
    with torch.inference_mode():
        torch.testing.assert_close(affine(*ours), out)


def test_onednn_is_taken_only_where_it_is_the_faster_one():
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    assert (products._LINEAR is not None) == (wide and products._operation() is not None)


def test_products_of_views_and_transposes(way):
    torch.manual_seed(0)
    a, b = torch.randn(40, 60), torch.randn(40, 70)
    torch.testing.assert_close(product(a.t(), b), (a.double().t() @ b.double()).float(), rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(product(a[:, 5:35], b[2:32]), a[:, 5:35] @ b[2:32], rtol=1e-5, atol=2e-5)


def test_only_gradients_that_are_needed(way):
    x, weight = torch.randn(8, 4), torch.randn(3, 4, requires_grad=True)
    affine(x, weight).sum().backward()
    assert x.grad is None and weight.grad is not None


def test_affine_is_a_linear_layer():
    torch.manual_seed(0)
    ours, torchs = Affine(6, 4), torch.nn.Linear(6, 4)
    ours.load_state_dict(torchs.state_dict())
    x = torch.randn(2, 5, 6, requires_grad=True)
    torch.testing.assert_close(ours(x), torchs(x), rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(ours(x).square().sum(), (x, *ours.parameters())),
        torch.autograd.grad(torchs(x).square().sum(), (x, *torchs.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
