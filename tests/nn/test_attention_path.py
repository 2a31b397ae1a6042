"""Where attention may go: each path against its equations in loops, one row and one position at a time."""

import math

import pytest
import torch

from seq2x.nn.attention_path import PATHS, Forward, LocalP, Monotonic, Path

LENGTHS, STEPS, SIZE, WIDTH, WINDOW = (7, 1, 4), 6, 7, 5, 2


def path_of(name: str, noise: float = 0.0) -> Path:
    torch.manual_seed(1)
    path = PATHS[name](WIDTH, WINDOW, noise).double()
    with torch.no_grad():
        for weight in path.parameters():
            weight.add_(0.5 * torch.randn_like(weight))
    return path


def case(scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    scores = scale * torch.randn(len(LENGTHS), STEPS, SIZE, dtype=torch.float64)
    query = torch.randn(len(LENGTHS), STEPS, WIDTH, dtype=torch.float64)
    return scores, query, torch.arange(SIZE) < torch.tensor(LENGTHS)[:, None]


def run(path: Path, scores: torch.Tensor, query: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return path(scores, query, mask, path.begin(len(scores), scores.shape[-1], scores))[0]


def softmax(scores: list[float]) -> list[float]:
    shares = [math.exp(score) for score in scores]
    return [share / sum(shares) for share in shares]


def window(row: list[float], length: int, centre: float) -> list[float]:
    near = [s for s in range(length) if abs(s - centre) <= WINDOW]
    weights = dict(zip(near, softmax([row[s] for s in near]), strict=True))
    return [weights.get(s, 0.0) for s in range(SIZE)]


def by_hand(name: str, path: Path, scores: torch.Tensor, query: torch.Tensor, length: int) -> list[list[float]]:
    """The weights of one sentence, `[T][S]`, with the recursions of the papers as they are printed there."""
    last, found = [1.0] + [0.0] * (SIZE - 1), []
    for t, row in enumerate(scores.tolist()):
        if name == "local_m":
            weights = window(row, length, min(t, length - 1))
        elif name == "local_p":
            assert isinstance(path, LocalP)
            inner = path.v @ torch.tanh(path.inner.weight @ query[t])
            centre = length / (1 + math.exp(-float(inner)))
            gauss = [math.exp(-((s - centre) ** 2) / (2 * (WINDOW / 2) ** 2)) for s in range(SIZE)]
            weights = [w * g for w, g in zip(window(row, length, centre), gauss, strict=True)]
        elif name == "forward":
            y = softmax(row[:length]) + [0.0] * (SIZE - length)
            hat = [(last[s] + (last[s - 1] if s else 0.0)) * y[s] for s in range(SIZE)]
            weights = [one / sum(hat) for one in hat]
        else:
            assert isinstance(path, Monotonic)
            stop = [1 / (1 + math.exp(-(e + float(path.offset)))) for e in row]
            stop = [p if s < length else 0.0 for s, p in enumerate(stop)]
            if (
                name == "monotonic" and not path.training
            ):  # algorithm 1: go on from the last place to the first to stop at
                at = next((s for s, w in enumerate(last) if w), None)
                to = None if at is None else next((s for s in range(at, length) if stop[s] > 0.5), None)
                weights = [float(s == to) for s in range(SIZE)]
            else:  # eq. 8: p_s times the sum over k of alpha_k prod_{l=k}^{s-1} (1 - p_l)
                weights = [
                    stop[s] * sum(last[k] * math.prod(1 - stop[m] for m in range(k, s)) for k in range(s + 1))
                    for s in range(SIZE)
                ]
        found.append(weights)
        last = weights
    return found


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PATHS)
@torch.no_grad()
def test_weights_are_the_equations(name: str, training: bool) -> None:
    path, (scores, query, mask) = path_of(name).train(training), case()
    found = run(path, scores, query, mask)
    for row, length in enumerate(LENGTHS):
        expected = torch.tensor(by_hand(name, path, scores[row], query[row], length), dtype=torch.float64)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PATHS)
@torch.no_grad()
def test_step_by_step_is_all_at_once_beside_padding_too(name: str) -> None:
    path, (scores, query, mask) = path_of(name).eval(), case()
    whole = run(path, scores, query, mask)
    wide = torch.nn.functional.pad(scores, (0, 9), value=50.0), query, torch.nn.functional.pad(mask, (0, 9))
    beside = run(path, *wide)
    torch.testing.assert_close(beside[..., :SIZE], whole, rtol=0, atol=1e-14)
    assert not beside[..., SIZE:].any()
    trace = path.begin(len(scores), SIZE, scores)
    for t in range(STEPS):
        alpha, trace = path(scores[:, t : t + 1], query[:, t : t + 1], mask, trace)
        torch.testing.assert_close(alpha[:, 0], whole[:, t], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["local_m", "local_p"])
@torch.no_grad()
def test_the_heads_of_a_position_share_its_window(name: str) -> None:
    path, (scores, query, mask) = path_of(name), case()
    other = scores.flip(-1)
    both = torch.stack([scores, other], 2).flatten(1, 2)
    found = run(path, both, query, mask).unflatten(1, (STEPS, 2))
    for head, alone in enumerate((scores, other)):
        assert torch.equal(found[:, :, head], run(path, alone, query, mask))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_and_extreme_scores_are_finite_with_finite_gradients(name: str, scale: float, dtype: torch.dtype) -> None:
    """Where quotients of cumulative products, the usual way to compute monotonic attention, overflow."""
    torch.manual_seed(3)
    path = PATHS[name](WIDTH, WINDOW, 1.0).to(dtype)
    scores = (scale * torch.randn(2, 12, 900, dtype=dtype)).requires_grad_()
    query, mask = torch.randn(2, 12, WIDTH, dtype=dtype), torch.arange(900) < torch.tensor([900, 0])[:, None]
    found = run(path, scores, query, mask)
    assert torch.isfinite(found).all() and (found >= 0).all() and (found.sum(-1) <= 1 + 1e-4).all()
    found.square().sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert all(torch.isfinite(weight.grad).all() for weight in path.parameters())


@pytest.mark.parametrize("name", [name for name in PATHS if name != "local_m"])
def test_gradcheck(name: str) -> None:
    path, (scores, query, mask) = path_of(name), case(0.7)
    few = scores[1:, :3, :5].detach().requires_grad_(), query[1:, :3].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda *both: run(path, *both, mask[1:, :5]), few)


def test_noise_is_of_training_alone_and_the_default_generators() -> None:
    path, given = path_of("monotonic_soft", noise=1.0), case()
    torch.manual_seed(4)
    first = run(path, *given)
    assert not torch.equal(run(path, *given), first)
    torch.manual_seed(4)
    assert torch.equal(run(path, *given), first)
    path.eval()
    assert torch.equal(run(path, *given), run(path, *given))
    path.train().noise = 0.0
    assert torch.equal(run(path, *given), run(path.eval(), *given))


def test_hard_attention_is_what_the_soft_one_comes_to() -> None:
    """Scores far from zero: the probabilities are 0 and 1 by themselves."""
    scores, query, mask = case()
    scores = 60 * scores.sign()
    hard, soft = path_of("monotonic").eval(), path_of("monotonic_soft").eval()
    found = run(hard, scores, query, mask)
    torch.testing.assert_close(found, run(soft, scores, query, mask), rtol=0, atol=1e-9)
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_forward_attention_never_skips_a_position() -> None:
    scores, query, mask = case()
    found = run(path_of("forward"), scores, query, mask)
    assert isinstance(path_of("forward"), Forward)
    for t in range(STEPS):
        assert not found[0, t, t + 2 :].any() and found[0, t, : t + 2].all()
