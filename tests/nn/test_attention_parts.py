"""Heads, the score of the place, the mean, and how a context joins a state: the equations, in loops."""

import pytest
import torch

from seq2x.nn.attending import Attending, Trace
from seq2x.nn.attention_heads import Heads
from seq2x.nn.attention_history import HISTORIES
from seq2x.nn.attention_place import Place
from seq2x.nn.attention_scores import ATTENTIONS
from seq2x.nn.joining import JOINS

B, T, S, D, M, LENGTHS = 2, 3, 5, 4, 6, (5, 2)


def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    states = torch.randn(B, S, M, dtype=torch.float64) * mask[..., None]
    return torch.randn(B, T, D, dtype=torch.float64), states, mask


def ask(attending: Attending, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    query, states, mask = given
    context, alpha, _ = attending(query, attending.remember(states, mask), attending.begin(len(query), states))
    return context, alpha


@pytest.mark.parametrize("name", ATTENTIONS)
@torch.no_grad()
def test_heads_are_one_score_each_over_their_own_part(name: str) -> None:
    query, states, mask = case()
    heads = Heads(ATTENTIONS[name], 2, D, M).double()
    context, alpha = ask(Attending(heads), query, states, mask)
    for b, length in enumerate(LENGTHS):
        for t in range(T):
            parts, shown = [], []
            for h in range(2):
                q = (heads.of_query.weight @ query[b, t])[2 * h : 2 * h + 2]
                keys = (states[b, :length] @ heads.of_key.weight.T)[:, 2 * h : 2 * h + 2]
                values = (states[b, :length] @ heads.of_value.weight.T)[:, 3 * h : 3 * h + 3]
                scores = heads.score.scores(q[None, None], heads.score.keys(keys[None]))[0, 0]
                shown.append(scores.softmax(-1))
                parts.append(shown[-1] @ values)
            torch.testing.assert_close(context[b, t], heads.join.weight @ torch.cat(parts))
            torch.testing.assert_close(alpha[b, t, :length], torch.stack(shown).mean(0))
    assert not alpha[1, :, 2:].any()


@torch.no_grad()
def test_a_history_sees_the_mean_of_the_heads() -> None:
    query, states, mask = case()
    heads, history = Heads(ATTENTIONS["additive"], 2, D, M).double(), HISTORIES["coverage"](D).double()
    attending = Attending(heads, history)
    source, seen = attending.remember(states, mask), torch.zeros(B, 1, S, dtype=torch.float64)
    _, alpha = ask(attending, query, states, mask)
    for t in range(T):
        keys = source.keys + heads.spread(history(seen))
        _, expected, _ = Attending(heads)(query[:, t : t + 1], source._replace(keys=keys), Trace())
        torch.testing.assert_close(alpha[:, t : t + 1], expected)
        seen = seen + expected


@pytest.mark.parametrize("places", [S, 3])
@torch.no_grad()
def test_the_place_adds_what_the_state_says_of_each_position(places: int) -> None:
    """e + a W h; beyond the last place it knows, the content alone. The temperature divides both."""
    query, states, mask = case()
    score, place = ATTENTIONS["dot"](D, M).double(), Place(D, places, 0.7).double()
    _, alpha = ask(Attending(score, place=place, temperature=0.6), query, states, mask)
    content = score.scores(query, score.keys(states))
    for b, length in enumerate(LENGTHS):
        for t in range(T):
            said = 0.7 * place.of_query.weight @ query[b, t]
            scores = [content[b, t, s] + (said[s] if s < places else 0.0) for s in range(length)]
            torch.testing.assert_close(alpha[b, t, :length], (torch.stack(scores) / 0.6).softmax(-1))


@torch.no_grad()
def test_every_head_hears_of_the_place() -> None:
    query, states, mask = case()
    heads, place = Heads(ATTENTIONS["dot"], 2, D, M).double(), Place(D, S, 50.0).double()
    _, alpha = ask(Attending(heads, place=place), query, states, mask)
    said = (query @ place.of_query.weight.T).masked_fill(~mask[:, None], -torch.inf)
    assert torch.equal(alpha.argmax(-1), said.argmax(-1)) and (alpha.amax(-1) > 0.9).any()


@torch.no_grad()
def test_the_mean_is_the_sum_over_the_length_of_the_sentence() -> None:
    given = case()
    score = ATTENTIONS["additive"](D, M).double()
    summed, mean = ask(Attending(score), *given)[0], ask(Attending(score, mean=True), *given)[0]
    for b, length in enumerate(LENGTHS):
        torch.testing.assert_close(mean[b], summed[b] / length)


@pytest.mark.parametrize("name", JOINS)
@torch.no_grad()
def test_joins_are_the_equations(name: str) -> None:
    torch.manual_seed(2)
    join = JOINS[name](D, M).double()
    h, c = torch.randn(3, D, dtype=torch.float64), torch.randn(3, M, dtype=torch.float64)
    for row in range(3):
        wc = join.of_context.weight @ c[row]
        expected = h[row] + wc
        if name == "gate":
            g = torch.sigmoid(join.gate.weight @ torch.cat([h[row], c[row]]) + join.gate.bias)
            expected = g * h[row] + (1 - g) * wc
        torch.testing.assert_close(join(h[row], c[row]), expected)
