"""The matrix of ideas and kinds of models: its page is current, and every cell holds what it says."""

import pytest

import seq2x
from seq2x.errors import UsageError
from seq2x.settings import broken_rule, resolve

from .cells import held, parents, write
from .page import PAGE, ROOT, letters, page, recipes
from .table import KINDS, MECHANISMS, reason

CELLS = [(kind, name) for name, mechanism in MECHANISMS.items() for kind in mechanism.kinds.values()]
REFUSED = [(kind, name) for kind, name in CELLS if not letters(MECHANISMS[name], kind)[0]]
ALWAYS = [("transformer", 'copy = "generator"'), ("gru", 'attention_path = "local_p"')]


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.mechanisms writes it anew"


def test_every_recipe_is_read_and_stands_in_the_table(monkeypatch):
    for name in ("SEQ2X_DATA", "SEQ2X_CACHE", "RUNS"):
        monkeypatch.setenv(name, "/data")
    found = recipes().RECIPES
    assert {path.stem for path in (ROOT / "recipes").glob("*.toml")} == set(found)
    for name, recipe in found.items():
        resolve(seq2x.settings.read_recipe(ROOT / "recipes" / f"{name}.toml").settings, name)
        assert {recipe.base, recipe.searched, *recipe.beside.values()} - {""} <= set(found), name


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mechanisms")
    write(folder)
    return folder


@pytest.fixture(scope="session")
def family(data):
    """The folder of the data, with the parents of a kind made where they are asked for first."""

    def made(kind):
        if kind in KINDS.values() and not (data / kind).exists():
            parents(data, kind)
        return data

    return made


@pytest.mark.no_cover  # see tests/contracts
@pytest.mark.parametrize(
    ("kind", "name"),
    [pytest.param(*cell, marks=[] if cell in ALWAYS else pytest.mark.slow) for cell in CELLS if cell not in REFUSED],
)
def test_a_cell_holds(family, tmp_path, fast_disk, kind, name):
    promised, _ = letters(MECHANISMS[name], kind)
    assert set(held(family(kind), tmp_path, kind, MECHANISMS[name])) == set(promised)


@pytest.mark.parametrize(("kind", "name"), REFUSED)
def test_an_empty_cell_has_its_reason(data, tmp_path, kind, name):
    """What contradicts itself is refused before anything is read; that what has no effect is said, other tests hold."""
    mechanism = MECHANISMS[name]
    why = reason(mechanism, kind, "T")
    assert why
    settings = {"model": kind, **mechanism.training}
    try:
        contradicts = broken_rule(resolve(settings, "x"))
    except UsageError as error:
        contradicts = str(error)
    if contradicts:
        with pytest.raises(UsageError) as refused:
            seq2x.train(data / "absent.tsv", out=tmp_path / "run", quiet=True, **settings)
        assert why in str(refused.value)
    else:
        assert "has no effect with" in why
