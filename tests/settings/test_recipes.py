"""Recipes: what is read, what is refused, and that reading undoes writing (B17-B21, B25, B27, D4)."""

import os
import random
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.errors import UsageError
from seq2x.settings import Recipe, Settings, dump_toml, read_recipe, resolve

GOOD = """# A recipe.
train = ["a.src", "a.tgt"]
valid = "${HERE}/dev $$.tsv"
test = "test.tsv"
out = "runs/a"
layers = 4
learning_rate = 1e-4
lower = true
columns = "source=1,target=2"   # a comment
dropout = "auto"
"""


@pytest.fixture
def recipe(tmp_path):
    def read(text):
        path = tmp_path / "recipe.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_recipe(path)

    return read


def complaint(recipe, text):
    with pytest.raises(UsageError) as caught:
        recipe(text)
    assert caught.value.exit_code == 2 and len(str(caught.value)) <= 600
    return re.sub(r"^.*recipe\.toml", "recipe.toml", str(caught.value))


def test_a_recipe(recipe, monkeypatch):
    monkeypatch.setenv("HERE", "/data")
    settings = {"layers": 4, "learning_rate": 1e-4, "lower": True, "columns": "source=1,target=2", "dropout": "auto"}
    found = recipe(GOOD)
    assert found == Recipe(settings | {"valid": "/data/dev $.tsv"}, ("a.src", "a.tgt"), ("test.tsv",), "runs/a")
    assert resolve(found.settings, "x").valid == "/data/dev $.tsv"
    assert recipe("") == Recipe()


def test_a_recipe_with_two_files_to_validate_on(recipe, monkeypatch):
    monkeypatch.setenv("HERE", "/data")
    found = recipe('valid = ["${HERE}/dev.src", "dev.tgt"]\nallow = ["shifted"]\n')
    assert resolve(found.settings, "x").valid == ("/data/dev.src", "dev.tgt")
    assert resolve(found.settings, "x").allow == "shifted"
    assert resolve(recipe('valid = ["dev.tsv"]').settings, "x").valid == "dev.tsv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learnign_rate = 0.1", 'recipe.toml: there is no setting "learnign_rate"; did you mean "learning_rate"?'),
        ("layers = 1\nwidth = 8\nlayers = 2", "recipe.toml:3: layers is given again; line 1 has it too"),
        ("valid-size = 1\nvalid_size = 2", "written with - and with _"),
        (
            'learning_rate = "1e-4"',
            'learning_rate = "1e-4"; expected a number above 0 to 100 or auto; write it without',
        ),
        ("learning_rate = nan", "learning_rate = nan"),
        ("learning_rate = 1e999", "learning_rate = inf"),
        ("learning_rate = true", "learning_rate = true"),
        (
            "units = no",
            "recipe.toml:1: not TOML (Invalid value); expected name = value, one a line; a text needs quotation",
        ),
        ("layers = 012", "recipe.toml:1: not TOML"),
        ("layers: 3", "recipe.toml:1: not TOML"),
        ("width = 8\n!!python/object/apply:os.system", "recipe.toml:2: not TOML"),
        ('model = "!new:os.system"', "expected one of"),
        ('lower = """', "recipe.toml:1: not TOML"),
        ("[model]\nlayers = 3", "[model] is a table; expected settings without tables"),
        ("model.layers = 3", "is a table"),
        ("layers = 2026-01-01", "layers = datetime.date"),
        (b"layers = 3\n# \xff", "recipe.toml:2: not UTF-8"),
        ("layers = 3\0", "not TOML"),
        ("\ufefflayers = 3", "not TOML"),
        ("layers = " + "9" * 5000, "not TOML"),
        ("a = " + "[" * 100_000, "too many brackets"),
        ("a = " + "{b=" * 100_000, "too many brackets"),
        ("#" * 1_000_001, "too long; expected a recipe of at most 1,000,000 bytes"),
        ("train = 3", "train = 3; expected a file name in quotation marks, or a list"),
        ("train = []", "train = []"),
        ("train = ['a', 1]", "train = ['a', 1]"),
        ("train = ''", "train = "),
        ("train = 'a\\u0000'\ntrain = 1", "again"),
        ('train = "a\\u0000"', "train holds a control character"),
        ('train = "' + "x" * 5000 + '"', "too long"),
        ('valid = ["a", 1]', "valid = ['a', 1]; expected a file name in quotation marks, or a list"),
        ("valid = []", "valid = []"),
        ('allow = ["shifted", "sifted"]', "allow = ['shifted', 'sifted']; expected one of \"shifted\""),
        ('out = ["a", "b"]', "out = ['a', 'b']; expected one folder"),
        ('from = ["a", "b"]', "from = ['a', 'b']; expected one folder"),
        ('train = "${ABSENT_HERE}/x"', "train needs the environment's ABSENT_HERE"),
        ("width = 30\nheads = 4", "heads must divide width"),
        ("num_beams = 3", "called beam_size here"),
    ],
)
def test_refused(recipe, text, message):
    assert message in complaint(recipe, text)


def test_words_that_other_formats_misread(recipe):
    assert recipe('train = "no"\nout = "1:30"').train == ("no",)


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "device", "NUL", "long"])
def test_what_is_no_recipe(tmp_path, kind):
    path = tmp_path / "recipe.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    path = {"device": "/dev/zero", "NUL": "a\0b", "long": "x" * 5000}.get(kind, path)
    with pytest.raises(UsageError):
        read_recipe(path)


def test_a_huge_recipe_is_not_read_whole(tmp_path):
    with open(tmp_path / "recipe.toml", "wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    with pytest.raises(UsageError, match="too long"):
        read_recipe(tmp_path / "recipe.toml")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_every_value_is_written_with_its_reason():
    text = dump_toml(Settings(layers=3), {"layers": "4,000 examples\nare few"}, {"train": ("a", "b"), "out": "runs/a"})
    assert "# 4,000 examples are few\nlayers = 3\n" in text
    assert '\ntrain = ["a", "b"]\nout = "runs/a"\n' in text
    assert '\nwidth = "auto"\n' in text and "# ---- search\n" in text
    assert all(len(line) <= 120 for line in text.splitlines() if line.startswith("#"))


names = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=20)
changes = st.fixed_dictionaries(
    {},
    optional={
        "valid": names.filter(lambda name: name not in ("auto", "none")) | st.lists(names, min_size=1, max_size=3),
        "allow": st.lists(st.sampled_from(["shifted", "one_target"]), max_size=3),
        "columns": names,
        "layers": st.integers(1, 100),
        "learning_rate": st.floats(1e-30, 100, exclude_min=True),
        "weight_decay": st.floats(0, 10),
        "lower": st.booleans(),
        "joint_vocab": st.none() | st.booleans(),
        "model": st.sampled_from(["auto", "gru", "transformer"]),
        "save_seconds": st.floats(1e-300, 1e9),
        "seed": st.integers(0, 2**31),
    },
)


@pytest.mark.no_cover  # see tests/contracts
@given(changes, st.dictionaries(st.sampled_from(["layers", "valid", "seed"]), st.text(max_size=200)), names)
def test_written_read_written(tmp_path_factory, values, reasons, train):
    path = tmp_path_factory.getbasetemp() / "recipe.toml"
    settings = resolve(values, "x")
    text = dump_toml(settings, reasons, {"train": train})
    path.write_text(text, encoding="utf-8", newline="")
    found = read_recipe(path)
    assert resolve(found.settings, "x") == settings and found.train == (train,)
    assert dump_toml(settings, {}) == dump_toml(resolve(found.settings, "x"), {})


@pytest.mark.no_cover
@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutants_are_recipes_or_one_line(tmp_path, monkeypatch, count):
    """D4: thousands of small changes to a good recipe, and never anything but a recipe or a `UsageError`; what is
    read is written and read again as the same."""
    monkeypatch.setenv("HERE", "/data")
    draw = random.Random(7)
    words = [
        b"nan",
        b"inf",
        b"1e999",
        b"true",
        b'"3"',
        b"-1",
        b"layers = 2\n",
        b"[",
        b"]",
        b'"""',
        b"\xff",
        b"\0",
        b"x.y=1\n",
        b"=",
    ]
    refused = 0
    for number in range(count):
        text = bytearray(GOOD.encode())
        for _ in range(draw.choice([1, 1, 2, 5])):
            at = draw.randrange(len(text) + 1)
            if draw.random() < 0.5:
                text[at : at + draw.choice([0, 1, 4, 10])] = draw.choice(words)
            elif draw.random() < 0.5:
                del text[at : at + draw.choice([1, 3, 12])]
            else:
                text[at:at] = draw.randbytes(draw.choice([1, 3]))
        path = tmp_path / f"{number % 50}.toml"
        path.unlink(missing_ok=True)
        path.write_bytes(text)
        try:
            found = read_recipe(path)
        except UsageError as error:
            refused += 1
            assert str(error).startswith(str(path)) and str(error).isprintable()
        else:
            settings = resolve(found.settings, "x")
            path.write_text(dump_toml(settings, {}), encoding="utf-8", newline="")
            assert resolve(read_recipe(path).settings, "x") == settings
    assert count / 5 < refused < count
