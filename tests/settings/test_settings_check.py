"""What a user writes becomes settings, or one line that says what is wrong (B16, B18, B22-B24, D4)."""

import dataclasses
import math
import sys
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.errors import UsageError
from seq2x.settings import Settings, canonical, differences, parse_flag, resolve, several
from seq2x.settings.habits import _HERE, _TOLD, _VALUES, habit

NAMES = [field.name for field in dataclasses.fields(Settings)]


def complaint(values, where="recipe.toml"):
    with pytest.raises(UsageError) as caught:
        resolve(values, where)
    text = str(caught.value)
    assert caught.value.exit_code == 2 and text.startswith(f"{where}: ") and len(text) <= 500 and "\n" not in text
    return text


def test_the_defaults_are_sound():
    assert resolve({}, "x") == Settings()
    everything = dataclasses.asdict(Settings())
    assert resolve(everything, "x") == Settings()


def test_values_arrive():
    settings = resolve(
        {"layers": 4, "dropout": 0, "model": "gru", "lower": True, "valid-steps": 7, "width": "auto"}, "x"
    )
    assert (settings.layers, settings.dropout, settings.model, settings.lower) == (4, 0.0, "gru", True)
    assert isinstance(settings.dropout, float) and settings.valid_steps == 7 and settings.width is None
    assert resolve({"layers": None, "max_length": "none"}, "x") == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers", 0, "layers = 0; expected an integer from 1 to 2147483648 or auto"),
        ("layers", -1, "layers = -1"),
        ("layers", True, "layers = true; expected an integer"),
        ("layers", 2.0, "layers = 2.0; expected an integer"),
        (
            "layers",
            "3",
            'layers = "3"; expected an integer from 1 to 2147483648 or auto; write it without quotation marks',
        ),
        ("layers", [3], "layers = [3]"),
        ("learning_rate", "1e-4", "write it without quotation marks"),
        ("learning_rate", math.nan, "learning_rate = nan; expected a number above 0 to 100"),
        ("learning_rate", math.inf, "learning_rate = inf"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", True, "learning_rate = true"),
        ("dropout", 1.0, "dropout = 1.0; expected a number from 0 to less than 1"),
        ("vocab_size", -1, "expected an integer from 8 to 1000000"),
        ("max_length", 0, "max_length = 0"),
        ("batch_size", 0, "batch_size = 0"),
        ("beam_size", 1001, "expected an integer from 1 to 1000"),
        ("top_p", 0.0, "expected a number above 0 to 1"),
        ("threads", -1, "threads = -1; expected an integer from 0 to 1024"),
        ("threads", 100_000, "threads = 100000; expected an integer from 0 to 1024"),
        ("threads", 2**31, "threads = 2147483648"),
        ("threads", "two", 'threads = "two"; expected an integer'),
        ("lower", 1, "lower = 1; expected true or false"),
        ("lower", "no", 'lower = "no"; expected true or false'),
        ("model", "os.system", 'expected one of "auto", "transformer", "gru", "lstm", "rnn", "conv"'),
        ("model", "__import__('os').system('x')", "expected one of"),
        ("norm", None, "expected one of"),
        ("seed", None, "seed = None"),
        ("columns", 3, "columns = 3; expected a text"),
        ("columns", "a\0b", "control character"),
        ("valid", "x" * 5000, "too long"),
        ("valid", "\udc80", "control character"),
        ("valid", {"a": 1}, "valid = {'a': 1}"),
        ("valid", "", 'valid = ""; expected a text'),
        ("valid", ["a", ""], "valid = ['a', '']; expected a text, or a list"),
        ("valid", ["a", "b\n"], "control character"),
        ("allow", "everything", 'allow = "everything"; expected one of "shifted"'),
        ("allow", ["shifted", 3], "allow = ['shifted', 3]"),
        ("device", "gpu:0", 'device = "gpu:0"; expected auto, cpu, cuda or cuda:N'),
        ("device", "gpu", 'expected auto, cpu, cuda or cuda:N; "gpu" is "cuda" here'),
    ],
)
def test_wrong_values(name, value, message):
    assert message in complaint({name: value})


def test_one_setting_is_written_once():
    assert "beam_size is written with - and with _" in complaint({"beam-size": 3, "beam_size": 4})


def test_numbers_too_long_to_be_spelt_out():
    assert "layers = a number of very many digits" in complaint({"layers": 10**5000})
    assert "dropout = a number of very many digits" in complaint({"dropout": -(10**400)})


def test_unknown_names_get_the_nearest():
    assert 'there is no setting "learnign_rate"; did you mean "learning_rate"?' in complaint({"learnign_rate": 0.1})
    assert '"seq2x train --help-all" lists all' in complaint({"zzzz": 1})
    assert 'there is no setting "1"' in complaint({1: 2})
    assert complaint({"x" * 10_000: 1}) and complaint({"\x1b[31m": 1})
    assert canonical("beam-size", "x") == "beam_size"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_beams", 5, '"num_beams" is called beam_size here'),
        ("lr", 0.1, "called learning_rate here"),
        ("d-model", 512, "called width here"),
        ("nhead", 8, "called heads here"),
        ("rnn_size", 8, "called width here"),
        ("patience", 8, "called early_stopping here"),
        ("epochs", 8, "max_steps"),
        ("fp16", True, "precision"),
        ("src", "a", "first column"),
        ("per_device_train_batch_size", 8, "batch_tokens"),
        ("length_penalty", 1.0, "length_alpha is the number"),
        ("length_penalty", "0.6", "length_alpha is the number"),
        ("length_penalty", "-1e-1", "length_alpha is the number"),
        ("length_penalty", "avg", '"avg" is "average" here'),
        ("lr_scheduler", "noam", '"inverse_sqrt" here'),
        ("source_units", "spm", '"unigram" or "bpe" here'),
        ("precision", "fp16", "bf16"),
        ("attention", "monotonic", 'attention_path = "monotonic" here'),
        ("guided_alignment_cost", 0.1, "alignment_loss"),
    ],
)
def test_habits_are_recognised(name, value, message):
    assert message in complaint({name: value})


def test_every_habit_leads_to_a_setting():
    assert set(_HERE.values()) <= set(NAMES)
    assert not (set(_HERE) | set(_TOLD)) & set(NAMES)
    for name, value in _VALUES:
        assert name in NAMES and habit(name, value)
    assert habit("layers", 3) == ""


FLAGS = [
    ("beam-size", "5", 5),
    ("max_steps", "10_000", 10_000),
    ("learning_rate", "1e-4", 1e-4),
    ("learning_rate", ".5", 0.5),
    ("dropout", "0", 0.0),
    ("layers", "none", None),
    ("layers", "auto", None),
    ("valid", "None", None),
    ("joint_vocab", "TRUE", True),
    ("lower", "off", False),
    ("probe", "0", False),
    ("valid", "dev.tsv", "dev.tsv"),
    ("valid", ["dev.tsv"], "dev.tsv"),
    ("valid", ["dev.src", "dev.tgt"], ("dev.src", "dev.tgt")),
    ("valid", ["auto"], None),
    ("allow", ["shifted", "one_target"], ("shifted", "one_target")),
    ("units", "auto", "auto"),
    ("length_penalty", "none", "none"),
    ("device", "cuda:1", "cuda:1"),
]


@pytest.mark.parametrize(("name", "text", "value"), FLAGS)
def test_flags(name, text, value):
    assert parse_flag(name, text) == value and type(parse_flag(name, text)) is type(value)
    resolve({name: value}, "command line")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("layers", "x"),
        ("layers", "1.5"),
        ("layers", "1e3"),
        ("layers", ""),
        ("layers", "٣"),
        ("layers", "9" * 5000),
        ("learning_rate", "nan"),
        ("learning_rate", "inf"),
        ("learning_rate", "1e"),
        ("learning_rate", "0x1p3"),
        ("seed", "none"),
        ("lower", "maybe"),
        ("beams", "3"),
    ],
)
def test_flags_that_say_nothing(name, text):
    with pytest.raises(UsageError, match="command line: "):
        parse_flag(name, text)


def test_a_flag_too_large_is_left_to_the_range():
    with pytest.raises(UsageError, match="expected a number above 0"):
        resolve({"learning_rate": parse_flag("learning_rate", "1e999")}, "command line")


def test_differences_say_what_a_resumed_run_may_change():
    a, b = Settings(), Settings(layers=3, max_steps=5)
    assert differences(a, b) == [("layers", None, 3, False), ("max_steps", None, 5, True)]
    assert differences(a, a) == []


def test_the_light_parts_stay_light():
    import subprocess

    code = "import sys, seq2x.settings; assert not {'torch', 'pydantic', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_setting_has_a_room_a_sentence_and_a_type_we_can_read():
    hints = typing.get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        assert field.metadata["text"] and field.metadata["room"] in (
            "data",
            "text",
            "model",
            "training",
            "search",
            "machine",
        )
        assert "Any" not in str(hints[field.name])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), anything, max_size=4))
def test_anything_is_settings_or_one_line(values):
    try:
        settings = resolve(values, "x")
    except UsageError as error:
        assert str(error).startswith("x: ") and str(error).isprintable()
    else:
        assert resolve(dataclasses.asdict(settings), "x") == settings


@given(st.sampled_from(NAMES), st.text(max_size=12))
def test_any_flag_is_a_value_or_one_line(name, text):
    try:
        resolve({name: parse_flag(name, text)}, "command line")
    except UsageError as error:
        assert str(error).startswith("command line: ")


def test_settings_that_may_be_several():
    """One is itself, so that a run from the days when only one could be given is the same run."""
    for one in ("dev.tsv", ["dev.tsv"], ("dev.tsv",)):
        assert resolve({"valid": one}, "x").valid == "dev.tsv"
    assert resolve({"valid": ["a", "b"]}, "x").valid == ("a", "b") and resolve({"valid": []}, "x").valid is None
    assert differences(resolve({"valid": "a"}, "x"), resolve({"valid": ["a"]}, "x")) == []
    assert several(None) == () and several("a") == ("a",) and several(("a", "b")) == ("a", "b")
