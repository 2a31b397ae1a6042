"""The native engine says what the model says, whatever the shape and the search; to the bit, alone or in company."""

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tests.contracts.cases import model_of, padded
from tests.contracts.shapes import name_of, sample
from tests.tasks.conftest import LINES, make_task

from seq2x import arrays
from seq2x.engine import Chosen, choose, library
from seq2x.engine.native import NativeModel
from seq2x.engine.packing import Packed
from seq2x.errors import DataError, DivergedError, UsageError
from seq2x.models import ModelShape, build
from seq2x.search import Rules, search
from seq2x.settings import Settings
from seq2x.types import BOS, PAD, Padded

FOUND = library.find()
pytestmark = pytest.mark.skipif(FOUND.functions is None, reason=FOUND.why)

ATTENTION = frozenset({"attention"})
K = 3
SHAPES = [
    dataclasses.replace(shape, copy="none")
    for shape in sample()
    if shape.kind == "transformer" and shape.decoder == "standard" and shape.source
]
ODD = [  # widths that no vector and no panel divides, a vocabulary of several chunks, more positions than tables have
    dataclasses.replace(
        SHAPES[0], width=36, embedding_width=36, heads=2, feedforward=30, target_size=2_345, tied="target"
    ),
    dataclasses.replace(SHAPES[0], width=40, embedding_width=40, heads=4, feedforward=52, activation="gated"),
    dataclasses.replace(SHAPES[0], width=64, embedding_width=64, heads=8, positions="rotary", encoder_layers=3),
]


def sources_of(shape: ModelShape, lengths: tuple[int, ...] = (5, 1, 7, 3)) -> Padded:
    return padded(lengths, shape.source_size, torch.Generator().manual_seed(3))


def close(found, single, double):
    """As near to the model in double precision as the model in single precision is, give or take."""
    found, single, double = (arrays.to_numpy(x).astype(np.float64) for x in (found, single, double))
    assert found.shape == double.shape
    assert np.abs(found - double).max() <= 1e-5 + 5 * np.abs(single - double).max()


def isas() -> list[str]:
    names = list(library.ISAS)
    return names[names.index(library.processor()) :]


def with_isa(isa: str, monkeypatch) -> library.Library:
    monkeypatch.setenv("SEQ2X_ISA", isa)
    found = library.find()
    assert found.functions is not None and found.isa == isa, found.why
    return found


@torch.no_grad()
def walk(shape, lengths=(5, 1, 7, 3), steps=6, found=FOUND):
    """All through the same steps: beams that swap places, sentences that leave, symbols left out."""
    double = model_of(shape)
    single = copy.deepcopy(double).float()
    engine = NativeModel(Packed(single, found.panel), found.functions)
    models, sources = (engine, single, double), sources_of(shape, lengths)
    states = [model.start(model.encode(sources), K, 4, ATTENTION) for model in models]
    draw = torch.Generator().manual_seed(5)
    B = len(sources.lengths)
    previous, origin = torch.full((B * K,), BOS), torch.arange(B * K)
    for step in range(steps):
        assert (states[0].position == step).all()
        stepped = [model.step(previous, origin, state) for model, state in zip(models, states, strict=True)]
        answers, states = [answer for answer, _ in stepped], [state for _, state in stepped]
        close(*(answer.all() for answer in answers))
        close(*(answer.attention for answer in answers))
        answer = answers[0]
        forbid = torch.randint(-1, shape.target_size, (B * K, 3), generator=draw)
        values, ids = answer.top(4, forbid)
        of_all = arrays.top(arrays.without(answer.all(), forbid), 4)
        assert (ids == of_all[1]).all() and (values == of_all[0]).all()
        if step == 2:
            states, B = [state.keep(torch.tensor([0, B - 1])) for state in states], 2
        origin = (torch.arange(B)[:, None] * K + torch.randint(K, (B, K), generator=draw)).flatten()
        previous = torch.randint(3, shape.target_size, (B * K,), generator=draw)
        previous[0] = PAD  # a place without a hypothesis


@pytest.mark.parametrize("shape", [*SHAPES, *ODD], ids=name_of)
def test_every_shape_steps_like_its_model(shape):
    walk(shape)


@pytest.mark.parametrize("isa", isas())
def test_every_kind_of_instructions_gives_the_same(isa, monkeypatch):
    found = with_isa(isa, monkeypatch)
    for shape in (*SHAPES[::4], *ODD):
        walk(shape, found=found)


def test_long_sequences_and_longer_tables():
    shape = dataclasses.replace(ODD[0], positions="sinusoidal", target_size=50)
    walk(shape, (700, 3), steps=40)


def test_several_batches_at_once_may_need_longer_tables():
    shape = dataclasses.replace(ODD[0], positions="sinusoidal", target_size=50)
    model = model_of(shape, torch.float32)
    batches = [sources_of(shape, (600 + 40 * number,)) for number in range(8)]
    expected = [choose(model, "native").encode(batch).values for batch in batches]
    engine = choose(model_of(shape, torch.float32), "native")
    with ThreadPoolExecutor(4) as pool:
        for found, one in zip(pool.map(engine.encode, batches), expected, strict=True):
            assert (found.values == one).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_alone_or_not_on_one_thread_or_many_the_same_bits(threads):
    shape = ODD[0]
    model = model_of(shape, torch.float32)
    whole = choose(model, "native")
    engine = NativeModel(whole._packed, whole._call, lambda: threads)
    sources = sources_of(shape, (9, 2, 30, 4, 17))
    rules = Rules(beam_size=4, n_best=4)
    limits = np.full(5, 12)
    together = search(whole, whole.encode(sources), sources.lengths, limits, rules, None, ATTENTION)
    for row, length in enumerate(sources.lengths.tolist()):
        one = Padded(sources.values[row : row + 1, :length], sources.lengths[row : row + 1])
        alone = search(engine, engine.encode(one), one.lengths, limits[:1], rules, None, ATTENTION)
        most = alone.tokens.shape[-1]
        assert (alone.tokens[0] == together.tokens[row, :, :most]).all()
        assert (alone.log_p[0] == together.log_p[row, :, :most]).all()
        assert (alone.attention[0] == together.attention[row, :, :most, :length]).all()


def test_a_clone_is_not_spent_and_kept_sentences_go_on():
    shape = ODD[1]
    engine = choose(model_of(shape, torch.float32), "native")
    state = engine.start(engine.encode(sources_of(shape)), K)
    first, origin = np.full(4 * K, BOS), np.arange(4 * K)
    for _ in range(18):  # past the first room for steps
        _, state = engine.step(first, origin, state)
    copy = state.clone()
    answer, _ = engine.step(origin % 7 + 3, origin, state)
    again, _ = engine.step(origin % 7 + 3, origin, copy)
    assert (answer.all() == again.all()).all()


def test_every_way_to_ask_agrees():
    shape = ODD[1]
    engine = choose(model_of(shape, torch.float32), "native")
    answer, _ = engine.step(np.full(4, BOS), np.arange(4), engine.start(engine.encode(sources_of(shape)), 1))
    whole = answer.all()
    assert answer.attention is None
    np.testing.assert_allclose(np.exp(whole.astype(np.float64)).sum(-1), 1.0, atol=1e-5)
    assert (answer.of(np.arange(4)) == whole[np.arange(4), np.arange(4)]).all()
    np.testing.assert_allclose(answer.mean(), whole.mean(-1))
    bias = np.linspace(0, 3, shape.target_size, dtype=np.float32)
    assert (answer.top(2, None, bias)[1] == arrays.top(whole + bias, 2)[1]).all()
    log_p, ids = answer.sample(np.full(4, 0.5))
    assert (log_p == whole[np.arange(4), ids]).all()
    values, ids = answer.top(shape.target_size + 3)
    assert (values[:, -3:] == -np.inf).all() and (ids[:, -3:] == 0).all()
    assert (np.sort(ids[:, :-3]) == np.arange(shape.target_size)).all()
    values, ids = answer.top(3, np.tile(np.arange(shape.target_size), (4, 1)))
    assert (values == -np.inf).all() and (ids == np.arange(3)).all()


def test_equal_scores_go_to_the_lower_symbol():
    shape = dataclasses.replace(ODD[0], tied="none")
    model = model_of(shape, torch.float32)
    with torch.no_grad():
        model.output.weight[:] = model.output.weight[0]
        model.output.bias[:] = 0.0
    engine = choose(model, "native")
    answer, _ = engine.step(np.full(4, BOS), np.arange(4), engine.start(engine.encode(sources_of(shape)), 1))
    assert (answer.top(5)[1] == np.arange(5)).all()


# ------------------------------------------------------------------ whole outputs


@pytest.fixture(scope="module")
def task():
    made = make_task()
    made.model.requires_grad_(False)
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {"beam_size": 1},
        {"beam_size": 4, "n_best": 4},
        {"beam_size": 4, "coverage_beta": 0.3, "length_penalty": "wu", "length_alpha": 0.6},
        {"beam_size": 3, "no_repeat_ngram_size": 2, "min_length": 4},
        {"sample": True, "n_best": 3, "top_k": 5},
    ],
)
def test_outputs_are_those_of_torch(task, changes):
    settings = Settings(**{"max_length": 14, **changes})
    found, expected = (
        task.predict(LINES, dataclasses.replace(settings, backend=backend), ATTENTION)
        for backend in ("native", "torch")
    )
    for one, other in zip(found, expected, strict=True):
        assert (one.value, one.ids, one.stopped) == (other.value, other.ids, other.stopped)
        np.testing.assert_allclose(
            one.token_log_p, other.token_log_p, rtol=0, atol=2e-5
        )  # each within 1e-5 of the truth
        np.testing.assert_allclose(one.attention, other.attention, rtol=0, atol=2e-5)


def test_an_ensemble_of_engines(task):
    other = make_task(seed=7)
    team = task.with_team([other])
    settings = Settings(beam_size=3, max_length=10)
    found, expected = (
        team.predict(LINES, dataclasses.replace(settings, backend=backend)) for backend in ("native", "torch")
    )
    assert [one.ids for one in found] == [one.ids for one in expected]


def test_weights_that_are_no_numbers_are_named():
    broken = make_task()
    with torch.no_grad():
        broken.model.output.bias[3] = float("nan")
    with pytest.raises(DivergedError, match=r"input 5: the model.s log p is not a number"):
        broken.predict(LINES, Settings(beam_size=2, backend="native"))


def test_changed_weights_show():
    changed = make_task()
    engine = Chosen(changed.model)
    assert engine("native") is not engine("native")  # they may be trained meanwhile
    changed.model.requires_grad_(False)
    first = engine("native")
    assert engine("native") is first and engine("torch") is changed.model
    changed.model.output.bias += 1.0
    assert engine("native") is not first


# ------------------------------------------------------------------ what it refuses


def test_who_asks_for_it_learns_why_not(monkeypatch):
    shape = dataclasses.replace(SHAPES[0])
    gru = build(ModelShape(kind="gru", source_size=9, target_size=9, width=8, embedding_width=8))
    copying = build(dataclasses.replace(shape, copy="generator"))
    for model, why in (
        (gru, "Transformers only"),
        (build(shape).double(), "fp32 only"),
        (copying, "it does not copy"),
    ):
        assert choose(model) is model
        with pytest.raises(UsageError, match=why):
            choose(model, "native")
    model = build(shape)
    monkeypatch.setenv("SEQ2X_ISA", "none")
    assert choose(model) is model
    with pytest.raises(UsageError, match="SEQ2X_ISA"):
        choose(model, "native")


def test_symbols_and_places_that_are_not_there():
    shape = dataclasses.replace(ODD[0], positions="learned", norm="layer", max_source_length=6, max_target_length=4)
    engine = choose(model_of(shape, torch.float32), "native")
    memory = engine.encode(sources_of(shape))
    with pytest.raises(DataError, match="at most 7"):
        engine.encode(sources_of(shape, (8, 1)))
    for previous in (shape.target_size, -1):
        with pytest.raises(UsageError, match="symbols"):
            engine.step(np.full(4, previous), np.arange(4), engine.start(memory, 1))
    with pytest.raises(ValueError, match="rows"):
        engine.step(np.full(3, BOS), np.arange(4), engine.start(memory, 1))
    answer, state = engine.step(np.full(4, BOS), np.arange(4), engine.start(memory, 1))
    with pytest.raises(ValueError, match="forbid"):
        answer.top(1, np.zeros((3, 1), np.int64))
    for _ in range(4):
        _, state = engine.step(np.full(4, 3), np.arange(4), state)
    with pytest.raises(DataError, match="no further positions"):
        engine.step(np.full(4, 3), np.arange(4), state)
    for bad in (
        Padded(np.zeros((0, 3)), np.zeros(0)),
        Padded(np.ones((2, 3)), np.array([3, 0])),
        Padded(np.ones(3), np.ones(3)),
    ):
        with pytest.raises(ValueError, match="sources"):
            engine.encode(bad)
