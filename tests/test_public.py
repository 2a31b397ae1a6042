"""What `import seq2x` promises."""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import seq2x

FUNCTIONS = ["align", "check", "compare", "evaluate", "load", "score", "train"]
NAMES = ["Prediction", "Result", "Settings", "__version__", *FUNCTIONS]


def test_the_public_names_are_these():
    assert seq2x.__all__ == NAMES
    assert set(NAMES) <= set(dir(seq2x))
    assert all(getattr(seq2x, name) is not None for name in NAMES)
    assert all(callable(getattr(seq2x, name)) for name in FUNCTIONS)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = seq2x.nonsense


def test_the_version_is_one():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert seq2x.__version__ == project["project"]["version"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "train"])
def test_names_cost_no_torch(name):
    code = f"import sys, seq2x; assert 'numpy' not in sys.modules; seq2x.{name}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


NOT_OF_PYTHON = {"set", "json", "debug", "help", "help_all", "lines"}  # how something is said or shown
OTHERWISE = {("train", "from"): "from_run"}  # a word of Python itself


@pytest.mark.parametrize("name", ["check", "train", "evaluate", "score", "compare"])
def test_names_are_those_of_the_command_line(name):
    from seq2x.cli.app import build_parser

    function = seq2x.evaluate.evaluate if name == "evaluate" else getattr(seq2x, name)
    names = set(inspect.signature(function).parameters)
    options = [option[2:] for option in build_parser().command(name).own_options() if option.startswith("--")]
    said = {OTHERWISE.get((name, option), option).replace("-", "_") for option in options}
    assert said - NOT_OF_PYTHON <= names


def test_evaluate_is_a_module_and_a_function():
    import seq2x.evaluate as module
    from seq2x.evaluate import score

    assert module is seq2x.evaluate and callable(module) and module.score is score is seq2x.score
