"""Exact top-c for both libraries, tables, and the helpers between them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2x import arrays
from seq2x.arrays import Table, like, namespace, on_host, take_along, to_numpy, to_torch, top, without
from seq2x.types import Padded


def reference(x, c):
    """Sorted by value, then id; NaN first."""
    x = x.astype(np.float64)
    ids = np.stack([np.lexsort((np.arange(len(row)), -np.nan_to_num(row, nan=np.inf))) for row in x])[:, :c]
    values = np.take_along_axis(x, ids, 1)
    missing = [(0, 0), (0, max(c - ids.shape[1], 0))]
    return np.pad(values, missing, constant_values=-np.inf), np.pad(ids, missing)


def check(x, c):
    values, ids = reference(x, c)
    kinds = [x, torch.from_numpy(x)]
    for kind in kinds:
        found, places = top(kind, c)
        assert namespace(found) is namespace(kind) and found.dtype == kind.dtype
        assert places.dtype in (np.int64, torch.int64)
        np.testing.assert_array_equal(to_numpy(places), ids)
        np.testing.assert_array_equal(to_numpy(found), values)


@pytest.mark.parametrize("device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_top_is_exact(device, kind, data):
    """Few different values (ties), -inf, -0.0, NaN of both signs; V a multiple of the block or not; any c."""
    N, V = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40) | st.integers(41, 2500) | st.just(640))
    c = data.draw(st.integers(1, 3) | st.integers(1, 30))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    x = draw.normal(size=(N, V)) if data.draw(st.booleans()) else draw.integers(-3, 4, (N, V)) * 1.0
    x[draw.random(x.shape) < data.draw(st.sampled_from([0.0, 0.5, 1.0]))] = -np.inf
    x[draw.random(x.shape) < 0.1] = data.draw(st.sampled_from([0.0, -0.0]))
    if data.draw(st.booleans()):
        x[draw.random(x.shape) < 0.01] = data.draw(st.sampled_from([np.nan, -np.nan]))
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        if device:
            patch.setattr(arrays, "on_host", lambda x: isinstance(x, np.ndarray))
        check(x.astype(kind), c)


def test_top_of_many_long_rows_is_topk():
    x = torch.log_softmax(torch.randn(40, 6000, generator=torch.Generator().manual_seed(1)), -1)
    values, ids = top(x, 10)
    expected = torch.topk(x, 10)
    assert torch.equal(values, expected.values) and torch.equal(ids, expected.indices)
    check(x.numpy(), 10)
    check(np.zeros((30, 6000), dtype=np.float32), 10)  # all ties
    zeros = np.where(np.arange(700) % 2, 0.0, -0.0).astype(np.float32)[None]
    check(zeros, 8)  # equal numbers, different bits


@pytest.mark.parametrize(("V", "c"), [(7, 3), (7, 9), (700, 4), (6000, 10), (6000, 1)])
def test_top_on_a_device_sends_nothing_there(V, c, monkeypatch):
    """What the host sends, it waits for; the search asks for the best of each row at every step."""
    monkeypatch.setattr(arrays, "on_host", lambda x: isinstance(x, np.ndarray))
    x = torch.randn(5, V, generator=torch.Generator().manual_seed(1))
    expected = reference(x.numpy(), c)
    real = torch.as_tensor
    monkeypatch.setattr(
        torch, "as_tensor", lambda x, **to: real(x, **to) if torch.is_tensor(x) else pytest.fail("sent to the device")
    )
    values, ids = top(x, c)
    np.testing.assert_array_equal(values.numpy(), expected[0])
    np.testing.assert_array_equal(ids.numpy(), expected[1])


def test_top_of_half_precision():
    x = torch.randn(3, 700).to(torch.bfloat16)
    values, ids = top(x, 5)
    expected = reference(x.float().numpy(), 5)
    assert values.dtype == torch.bfloat16
    np.testing.assert_array_equal(ids, expected[1])


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_without(library):
    x = np.arange(8.0).reshape(2, 4)
    x[0, 3] = np.nan
    forbid = np.array([[0, -1, 0, 3], [-1, -1, -1, -1]])
    given_x = torch.from_numpy(x.copy()) if library == "torch" else x.copy()
    out = to_numpy(without(given_x, forbid))
    assert out[0, 0] == -np.inf and np.isnan(out[0, 3])
    np.testing.assert_array_equal(out[0, 1:3], x[0, 1:3])
    np.testing.assert_array_equal(out[1], x[1])
    np.testing.assert_array_equal(to_numpy(given_x), x)  # untouched
    owned = without(given_x, forbid, own=True)
    np.testing.assert_array_equal(to_numpy(owned), out)
    assert owned is given_x


@pytest.mark.parametrize("seed", range(20))
def test_tables_of_both_libraries_agree(seed):
    draw = np.random.default_rng(seed)
    N, V = 6, int(draw.integers(2, 400))
    log_p = np.log(draw.dirichlet(np.full(V, 0.3), N) + 1e-30)
    attention = draw.random((N, 3))
    forbid = draw.integers(-1, V, (N, 3))
    uniform = draw.random(N)
    ids = draw.integers(0, V, N)
    bias = draw.normal(size=V if seed % 2 else (N, V))
    one, two = Table(log_p, attention), Table(torch.from_numpy(log_p), torch.from_numpy(attention))
    for ask in (
        lambda t: t.of(like(ids, t.all())), lambda t: t.mean(), lambda t: t.all(), lambda t: t.attention,
        lambda t: t.top(4)[1], lambda t: t.top(4, forbid, bias)[1], lambda t: t.top(4, forbid, bias)[0],
        lambda t: t.top(3, None, bias)[0], lambda t: t.sample(uniform)[1],
        lambda t: t.sample(uniform, 0.7, 5, 0.8, forbid)[0], lambda t: t.sample(uniform, 1.3, 0, 0.5, forbid)[1],
    ):  # fmt: skip
        np.testing.assert_allclose(to_numpy(ask(one)), to_numpy(ask(two)), atol=1e-12)
    values, found = one.top(2, forbid, np.zeros(V))
    for n in range(N):
        allowed = [i for i in range(V) if i not in forbid[n]]
        assert len(allowed) < 2 or set(found[n]) <= set(allowed)
        np.testing.assert_array_equal(values[n, :1], log_p[n, allowed].max() if allowed else [-np.inf])


def test_table_over_time():
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(5), (2, 3)))
    ids = np.array([[0, 1, 2], [4, 3, 2]])
    np.testing.assert_array_equal(Table(log_p).of(ids), np.take_along_axis(log_p, ids[..., None], -1)[..., 0])


def test_between_the_libraries():
    x = np.arange(3)
    t = like(x, torch.zeros(1))
    assert torch.is_tensor(t) and to_numpy(t) is not t and np.shares_memory(to_numpy(t), x)
    assert like(t, x).tolist() == [0, 1, 2] and isinstance(like(t, x), np.ndarray)
    assert to_numpy(torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).dtype == np.float32
    assert on_host(x) and on_host(t) and not on_host(torch.zeros(1, device="meta"))
    assert take_along(t, torch.tensor([2])).tolist() == [2]
    batch = to_torch(Padded(np.zeros((2, 3), dtype=np.int64), np.array([3, 1])))
    assert batch.values.dtype == torch.int64 and batch.lengths.tolist() == [3, 1]
    copied = arrays.copy(x)
    copied[0] = 7
    assert x[0] == 0 and arrays.copy(t).data_ptr() != t.data_ptr()


def test_a_numpy_search_leaves_torch_alone():
    program = (
        "import sys, numpy as np\n"
        "from seq2x.arrays import Table, top\nfrom seq2x.search import Rules, Sampling, search, sample\n"
        "Table(np.log(np.full((2, 4), 0.25))).sample(np.array([0.1, 0.9]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
