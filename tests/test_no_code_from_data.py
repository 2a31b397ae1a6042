"""No pickle, no code out of data: the source has no call that could (X1). Nothing in a comment can allow one."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))

MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve", "yaml", "importlib"}
ALLOWED_MODULES = {"importlib.metadata", "importlib.resources", "importlib.util"}  # ask what is installed; see METHODS
NAMES = {"eval", "exec", "compile", "__import__", "breakpoint"}
CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.save",
    "torch.hub.load",
    "numpy.load",
    "np.load",
    "numpy.save",
    "np.save",
}
CALLS |= {"os.system", "os.popen", "tempfile.mktemp", "os.path.commonprefix", "shutil.unpack_archive"}
METHODS = {"extractall", "unpack_archive", "read_pickle", "to_pickle", "allow_pickle", "weights_only"}
METHODS |= {
    "import_module",
    "module_from_spec",
    "spec_from_file_location",
    "exec_module",
    "load_module",
    "SourceFileLoader",
}
KEYWORDS = {"shell", "allow_pickle", "trust_remote_code"}


def problems(text):
    """What a module does that must not be done, as `line: what`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        for name in names:
            if name.partition(".")[0] in MODULES and not any(name.startswith(good) for good in ALLOWED_MODULES):
                if name == "importlib" and isinstance(node, ast.ImportFrom):
                    continue  # `from importlib import metadata`: judged by the longer name
                found.append(f"{node.lineno}: import {name}")
            if name in CALLS:
                found.append(f"{node.lineno}: import {name}")
        if isinstance(node, ast.Name) and node.id in NAMES:
            found.append(f"{node.lineno}: {node.id}")
        if isinstance(node, ast.Attribute):
            path = ast.unparse(node)
            if path in CALLS or node.attr in METHODS or path in {f"builtins.{name}" for name in NAMES}:
                found.append(f"{node.lineno}: {path}")
        if isinstance(node, ast.keyword) and node.arg in KEYWORDS and ast.unparse(node.value) != "False":
            found.append(f"{node.value.lineno}: {node.arg}=")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_the_source_runs_no_data(path):
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import os, dill",
        "from joblib import load",
        "import importlib",
        "import importlib.util as u\nu.spec_from_file_location(name, path)",
        "from importlib import import_module",
        "from torch import load",
        "import torch\ntorch.load('x')",
        "f = torch.load",
        "import numpy as np\nnp.load('x', mmap_mode='r')",
        "g(allow_pickle=True)",
        "g(allow_pickle=flag)",
        "eval('1')",
        "run = exec",
        "import builtins\nbuiltins.eval('1')",
        "__import__(name)",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
        "archive.extractall(path)",
        "import yaml",
        "compile(text, 'x', 'exec')",
        "x = 1  # noqa\nos.path.commonprefix([a, b])",
    ],
)
def test_the_test_can_fail(text):
    assert problems(text)


@pytest.mark.parametrize(
    "text", ["import re\nre.compile('x')", "from importlib import metadata", "from importlib.metadata import version",
             "torch.compile(f)", "g(shell=False)", "model.eval()", "import importlib.resources"]
)  # fmt: skip
def test_the_test_can_pass(text):
    assert problems(text) == []
