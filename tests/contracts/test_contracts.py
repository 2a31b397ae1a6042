"""CONTRACTS x every model: of a sample every contract takes a tenth always, another one than its neighbours; the
whole sample, and a part of the full product of options, are slow tests.
"""

import itertools
import math
import os
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

from seq2x.models import DECODERS, ENCODERS, ModelShape

from .shapes import OPTIONS, choices, name_of, product, sample
from .table import CONTRACTS, Contract, Exempt

pytestmark = pytest.mark.no_cover  # being watched costs half as much again, and other tests go through the same lines

SAMPLE = sample()
TURNS = 15
PART = 200  # shapes of each kind's full product at a time: all of them, at 17 contracts, would take years
WHICH = int(os.environ.get("SEQ2X_TEST_PART", "0"))  # which part


def _hold(contract: Contract, shape: ModelShape) -> None:
    try:
        contract(shape)
    except Exempt as exempt:
        pytest.skip(str(exempt))


def _cases() -> Iterator[ParameterSet]:
    """Every contract with every shape of the sample; one of fifteen is not slow."""
    for turn, (name, contract) in enumerate(CONTRACTS.items()):
        for number, shape in enumerate(SAMPLE):
            marks = [] if (turn + number) % TURNS == 0 else [pytest.mark.slow]
            yield pytest.param(contract, shape, marks=marks, id=f"{name}-{name_of(shape)}")


@pytest.mark.parametrize(("contract", "shape"), list(_cases()))
def test_contract(contract: Contract, shape: ModelShape) -> None:
    _hold(contract, shape)


def test_every_contract_meets_every_kind_and_every_shape_some_contracts() -> None:
    met = {
        (turn, number)
        for turn in range(len(CONTRACTS))
        for number in range(len(SAMPLE))
        if (turn + number) % TURNS == 0
    }
    for turn in range(len(CONTRACTS)):
        assert {SAMPLE[number].kind for other, number in met if other == turn} == set(ENCODERS)
    assert {number for _, number in met} == set(range(len(SAMPLE)))


def test_every_kind_is_sampled_in_every_value_of_its_options() -> None:
    assert set(ENCODERS) == set(DECODERS) == set(OPTIONS["kind"]) == {shape.kind for shape in SAMPLE}
    for name, values in OPTIONS.items():
        assert {getattr(shape, name) for shape in SAMPLE} == set(values), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_full_product(contract: Contract, kind: str) -> None:
    for shape in _part_of(kind):
        try:
            contract(shape)
        except Exempt:
            continue
        except BaseException as error:
            error.add_note(name_of(shape))
            raise


def _part_of(kind: str) -> Iterator[ModelShape]:
    """`PART` of its shapes or less, each a prime number of places after the last, so that every option varies; of each
    kind others.
    """
    least = -(-choices(kind) // PART)
    step = next(n for n in itertools.count(least) if all(n % i for i in range(2, math.isqrt(n) + 1)))
    return product(kind, (WHICH + 7919 * list(ENCODERS).index(kind)) % step, step)


def test_a_part_of_the_product_has_every_value_of_every_option() -> None:
    shapes = [shape for kind in ENCODERS for shape in _part_of(kind)]
    for name, values in OPTIONS.items():
        assert {getattr(shape, name) for shape in shapes} == set(values), name
