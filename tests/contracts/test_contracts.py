"""CONTRACTS x every model: a pairwise sample always, the full product of options in the slow tests."""

import pytest

from seq2x.models import DECODERS, ENCODERS, ModelShape

from .shapes import OPTIONS, name_of, product, sample
from .table import CONTRACTS, Contract, Exempt

SAMPLE = sample()
SLOW_PART = 37  # every how manyth recurrent shape of the full product is taken; prime, so that every option varies


def _hold(contract: Contract, shape: ModelShape) -> None:
    try:
        contract(shape)
    except Exempt as exempt:
        pytest.skip(str(exempt))


@pytest.mark.parametrize("shape", SAMPLE, ids=name_of)
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_contract(contract: Contract, shape: ModelShape) -> None:
    _hold(contract, shape)


def test_every_kind_is_sampled_in_every_value_of_its_options() -> None:
    assert set(ENCODERS) == set(DECODERS) == set(OPTIONS["kind"]) == {shape.kind for shape in SAMPLE}
    for name, values in OPTIONS.items():
        assert {getattr(shape, name) for shape in SAMPLE} == set(values), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_full_product(contract: Contract, kind: str) -> None:
    for number, shape in enumerate(product(kind)):
        if kind == "transformer" or number % SLOW_PART == 0:
            try:
                contract(shape)
            except Exempt:
                continue
            except BaseException as error:
                error.add_note(name_of(shape))
                raise
