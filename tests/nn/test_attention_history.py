"""What attention sees of its former weights: the equations, and what must not matter."""

import pytest
import torch

from seq2x.nn.attention_history import HISTORIES, Coverage, Location


def weights(rows: int = 3, steps: int = 4, size: int = 6) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.rand(steps, rows, size, dtype=torch.float64).softmax(-1)


def traces(name: str, alphas: torch.Tensor) -> tuple[torch.nn.Module, list[torch.Tensor]]:
    torch.manual_seed(1)
    history = HISTORIES[name](5).double()
    trace = history.begin(alphas.shape[1], alphas.shape[2], alphas)
    seen = [trace]
    for alpha in alphas:
        trace = history.after(trace, alpha)
        seen.append(trace)
    return history, seen


@pytest.mark.parametrize("name", HISTORIES)
def test_nothing_was_looked_at_before_the_first_step(name: str) -> None:
    history, (first, *_) = traces(name, weights())
    assert first.shape == (3, history.channels, 6) and not first.any()
    assert history(first).shape == (3, 6, 5) and not history(first).any()


def test_location_is_the_last_weights_through_filters() -> None:
    """f_{j,k} = sum_r F_{k,r} alpha_{t-1, j + r}: written out, with nothing outside the sentence."""
    alphas = weights()
    history, seen = traces("location", alphas)
    assert isinstance(history, Location)
    filters, join = history.filters.weight[:, 0], history.join.weight
    for step, alpha in enumerate(alphas):
        found = history(seen[step + 1])
        for row in range(3):
            for j in range(6):
                near = [(r, j + r - history.REACH) for r in range(2 * history.REACH + 1)]
                f = sum(filters[:, r] * alpha[row, at] for r, at in near if 0 <= at < 6)
                torch.testing.assert_close(found[row, j], join @ f)


def test_coverage_is_the_sum_of_all_weights() -> None:
    alphas = weights()
    history, seen = traces("coverage", alphas)
    assert isinstance(history, Coverage)
    for step in range(len(alphas)):
        summed = alphas[: step + 1].sum(0)
        torch.testing.assert_close(history(seen[step + 1]), summed[..., None] * history.join.weight[:, 0])


def test_both_are_one_beside_the_other() -> None:
    alphas = weights()
    both, seen = traces("location+coverage", alphas)
    apart = both.location(alphas[-1][:, None]) + both.coverage(alphas.sum(0)[:, None])
    torch.testing.assert_close(both(seen[-1]), apart)


@pytest.mark.parametrize("name", HISTORIES)
def test_padding_behind_a_sentence_changes_nothing(name: str) -> None:
    alphas = weights()
    wide = torch.nn.functional.pad(alphas, (0, 9))
    history, seen = traces(name, alphas)
    _, beside = traces(name, wide)
    for short, long in zip(seen, beside, strict=True):
        torch.testing.assert_close(history(long)[:, :6], history(short), rtol=0, atol=1e-14)
