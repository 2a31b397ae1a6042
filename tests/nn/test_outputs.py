"""The output layer against the formulae, written out the long way."""

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from seq2x.nn import outputs
from seq2x.nn.embedding import Embedding
from seq2x.nn.outputs import VocabularyAnswer, VocabularyOutput
from seq2x.nn.precision import matrix_precision
from seq2x.types import PAD

V, D = 7, 5


@pytest.fixture(params=[1, 3, 1000], ids=lambda rows: f"chunks of {rows}")
def chunked(request, monkeypatch):
    monkeypatch.setattr(outputs, "_chunk_rows", lambda matrix: request.param)


def _case(dtype=torch.float64, grad=True, shape=(2, 4)):
    torch.manual_seed(3)
    hidden, weight, bias = (torch.randn(*size, dtype=dtype) for size in ((*shape, D), (V, D), (V,)))
    ids = torch.randint(1, V, shape)
    ids.view(-1)[-1] = PAD
    for tensor in (hidden, weight, bias):
        tensor.requires_grad_(grad)
    return (hidden, weight, bias), ids


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_smoothed_cross_entropy(chunked, smoothing, weighted):
    (hidden, weight, bias), ids = _case()
    weights = torch.rand(ids.shape, dtype=torch.float64) if weighted else None
    smoothed, plain = VocabularyAnswer(hidden, weight, bias).losses(ids, smoothing, weights)
    logits = functional.linear(hidden, weight, bias).flatten(0, 1)
    for value, e in ((smoothed, smoothing), (plain, 0.0)):
        each = functional.cross_entropy(logits, ids.flatten(), ignore_index=PAD, label_smoothing=e, reduction="none")
        expected = (each if weights is None else each * weights.flatten()).sum()
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    smoothed.backward()
    got = [tensor.grad.clone() for tensor in (hidden, weight, bias)]
    each = functional.cross_entropy(
        logits, ids.flatten(), ignore_index=PAD, label_smoothing=smoothing, reduction="none"
    )
    wanted = torch.autograd.grad((each if weights is None else each * weights.flatten()).sum(), (hidden, weight, bias))
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("what", ["of", "mean", "loss", "weighted"])
def test_gradients(chunked, what):
    inputs, ids = _case()
    weights = torch.rand(ids.shape, dtype=torch.float64)

    def value(*tensors):
        answer = VocabularyAnswer(*tensors)
        if what == "of":
            return answer.of(ids)
        if what == "mean":
            return answer.mean()
        return answer.loss(ids, 0.2, weights if what == "weighted" else None)

    assert torch.autograd.gradcheck(value, inputs, eps=1e-6, atol=1e-5)


def test_of_mean_and_all_agree(chunked):
    (hidden, weight, bias), ids = _case(grad=False)
    answer = VocabularyAnswer(hidden, weight, bias)
    table = answer.all()
    assert table.shape == (2, 4, V)
    torch.testing.assert_close(table.exp().sum(-1), torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(answer.of(ids), table.gather(-1, ids[..., None]).squeeze(-1))
    torch.testing.assert_close(answer.mean(), table.mean(-1))


def test_log_p_is_never_positive():
    hidden, weight = torch.randn(500, 8), torch.randn(4, 8) * 30
    answer = VocabularyAnswer(hidden, weight, torch.zeros(4))
    best = answer.top(1)[1].squeeze(1)
    assert (answer.of(best) <= 0).all()


def test_loss_never_holds_all_logits(monkeypatch):
    rows, size = 1000, 900
    monkeypatch.setattr(outputs, "_CHUNK_BYTES", 64 * size * 4)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    hidden, weight = torch.randn(rows, D, requires_grad=True), torch.randn(size, D, requires_grad=True)
    ids = torch.randint(1, size, (rows,))
    answer = VocabularyAnswer(hidden, weight, torch.zeros(size, requires_grad=True))
    with Watch():
        answer.loss(ids, 0.1).backward()
        answer.of(ids).sum().backward()
    assert largest <= 64 * size


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_on_a_device_is_the_same(weighted, monkeypatch):
    """Padding stays in the rectangle there; the same code works on CPU tensors."""
    (hidden, weight, bias), ids = _case()
    ids[0, 1] = PAD
    with torch.no_grad():
        hidden[-1, -1], hidden[0, 1] = float("nan"), float("inf")
    weights = torch.rand(ids.shape, dtype=torch.float64) if weighted else None
    results = []
    for device in (False, True):
        if device:
            monkeypatch.setattr("seq2x.arrays.on_host", lambda x: False)
            monkeypatch.setattr(torch.Tensor, "nonzero", lambda x: pytest.fail("nonzero waits for the device"))
        totals = VocabularyAnswer(hidden, weight, bias).losses(ids, 0.1, weights)
        results.append((*totals, *torch.autograd.grad(totals[0], (hidden, weight, bias))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_loss_of_nothing_is_zero():
    (hidden, weight, bias), ids = _case()
    loss = VocabularyAnswer(hidden, weight, bias).loss(torch.full_like(ids, PAD), 0.1)
    loss.backward()
    assert loss.item() == 0 and hidden.grad.abs().sum() == 0 and weight.grad.abs().max() < 1e-15


def test_padded_rows_get_no_gradient_and_may_be_garbage():
    (hidden, weight, bias), ids = _case()
    with torch.no_grad():
        hidden[-1, -1] = float("nan")
    loss = VocabularyAnswer(hidden, weight, bias).loss(ids, 0.1)
    loss.backward()
    assert loss.isfinite() and hidden.grad.isfinite().all() and weight.grad.isfinite().all()


def test_bf16_loss_is_near_and_so_is_its_gradient():
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32, requires_grad=True), (torch.randn(50, 32) / 6).requires_grad_()
    bias, ids = torch.zeros(50, requires_grad=True), torch.randint(1, 50, (64,))
    exact = VocabularyAnswer(hidden, weight, bias).loss(ids, 0.1)
    wanted = torch.autograd.grad(exact, (hidden, weight, bias))
    with matrix_precision("bf16"):
        rounded = VocabularyAnswer(hidden, weight, bias).loss(ids, 0.1)
    got = torch.autograd.grad(rounded, (hidden, weight, bias))
    assert abs(rounded - exact) / exact < 1e-3
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == torch.float32
        assert torch.linalg.vector_norm(ours - theirs) / torch.linalg.vector_norm(theirs) < 0.02


def test_top_forbids_and_biases_without_renormalising():
    (hidden, weight, bias), _ = _case(grad=False, shape=(6,))
    answer = VocabularyAnswer(hidden, weight, bias)
    table = answer.all()
    forbid = torch.tensor([[-1, -1], [0, -1], [-1, 2], [3, 3], [0, 6], [-1, 0]])
    extra = torch.randn(V, dtype=torch.float64)
    values, ids = answer.top(3, forbid, extra)
    expected = table + extra
    for row, forbidden in enumerate(forbid.tolist()):
        for symbol in forbidden:
            if symbol >= 0:
                expected[row, symbol] = -torch.inf
    wanted = torch.sort(expected, descending=True, stable=True)
    torch.testing.assert_close(values, wanted.values[:, :3])
    assert torch.equal(ids, wanted.indices[:, :3])


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(0, 1.0, 1.0), (3, 1.0, 1.0), (0, 0.7, 1.0), (4, 0.9, 0.5)]
)
def test_samples_follow_the_distribution(top_k, top_p, temperature):
    (hidden, weight, bias), _ = _case(grad=False, shape=(1,))
    one = VocabularyAnswer(hidden, weight, bias)
    p = torch.softmax(one.all()[0] / temperature, -1)
    order = torch.sort(p, descending=True, stable=True)
    kept = order.values.clone()
    if top_k:
        kept[top_k:] = 0
    kept[kept.cumsum(0) - kept >= top_p * kept.sum()] = 0
    expected = torch.zeros(V, dtype=torch.float64).scatter(0, order.indices, kept / kept.sum())
    draws = 20_000
    answer = VocabularyAnswer(hidden.expand(draws, D), weight, bias)
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_p, ids = answer.sample(uniform, temperature, top_k, top_p)
    counts = torch.bincount(ids, minlength=V).double()
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    chi2 = ((counts - draws * expected)[possible] ** 2 / (draws * expected)[possible]).sum()
    assert chi2 < 30  # p < 1e-4 for up to 6 degrees of freedom
    torch.testing.assert_close(log_p, answer.of(ids))


def test_tied_weights_are_one_tensor_with_one_name():
    embedding = Embedding(V, D)
    both = torch.nn.ModuleList([embedding, VocabularyOutput(D, V, embedding), Embedding(V, D, tied_to=embedding)])
    assert sorted(both.state_dict()) == ["0.table", "1.bias"]
    assert both[1].weight is embedding.table and both[2].weight is embedding.table
    with pytest.raises(ValueError, match="cannot tie"):
        VocabularyOutput(D + 1, V, embedding)
    with pytest.raises(ValueError, match="cannot tie"):
        Embedding(V + 1, D, tied_to=embedding)


def test_a_copied_model_is_tied_to_its_own_embedding():
    import copy

    embedding = Embedding(V, D)
    twin = copy.deepcopy(torch.nn.ModuleList([embedding, VocabularyOutput(D, V, embedding)]))
    assert twin[1].weight is twin[0].table and twin[1].weight is not embedding.table


def test_best_is_the_highest_of_all(chunked):
    (hidden, weight, bias), _ = _case(grad=False)
    answer, forbid = VocabularyAnswer(hidden, weight, bias), torch.tensor([0, 3])
    log_p = answer.all()
    for forbidden, allowed in ((None, log_p), (forbid, log_p.index_fill(-1, forbid, -torch.inf))):
        values, ids = answer.best(forbidden)
        assert torch.equal(ids, allowed.argmax(-1))
        torch.testing.assert_close(values, allowed.amax(-1), rtol=0, atol=1e-12)
        at = torch.arange(hidden.shape[0] * hidden.shape[1]).view(hidden.shape[:2]) % 3 == 1
        some, found = answer.best(forbidden, at)
        assert torch.equal(found[at], ids[at])
        torch.testing.assert_close(some[at], values[at], rtol=0, atol=1e-12)
