"""The native library: made once, checked before it is loaded, and never in the way where it cannot be had."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from seq2x.engine import library

HAS_COMPILER = any(shutil.which(name) for name in library.COMPILERS)
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2X_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEQ2X_ISA", "portable")
    monkeypatch.delenv("CXX", raising=False)
    library._find.cache_clear()
    yield tmp_path / "cache"
    library._find.cache_clear()


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A library that was compiled once."""
    if not HAS_COMPILER:
        pytest.skip("no C++ compiler")
    path = tmp_path_factory.mktemp("ready") / "native.so"
    library._compile("portable", path)
    return path


@pytest.fixture
def quick(cache, ready, monkeypatch):
    """A compiler that takes no time: it gives what was compiled before. Its runs are counted."""
    runs = []

    def compiler(command, **options):
        runs.append(command)
        shutil.copy(ready, command[-1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(library.subprocess, "run", compiler)
    assert library.find().functions is not None and len(runs) == 1
    library._find.cache_clear()
    runs.clear()
    (path,) = cache.glob("*.so")
    return path, runs


def test_it_is_made_once_and_then_found(quick, cache):
    path, runs = quick
    assert library.find().functions is not None and not runs
    assert library.find() is library.find()
    assert {file.suffix for file in cache.iterdir()} == {".so", ".sha256"}
    path.unlink()
    library._find.cache_clear()
    assert "compiled for portable" in library.find().why and len(runs) == 1


def test_a_file_that_is_not_what_was_made_is_never_loaded(quick, monkeypatch):
    path, runs = quick
    with path.open("ab") as file:
        file.write(b"more")
    assert library.find().functions is not None and len(runs) == 1  # made again
    path.with_suffix(".sha256").write_text("é" * 64)
    library._find.cache_clear()
    assert library.find().functions is not None and len(runs) == 2
    monkeypatch.setattr(library.os, "getuid", lambda: 12345, raising=False)  # somebody else's
    library._find.cache_clear()
    assert library.find().functions is not None and len(runs) == 3


def test_what_the_compiler_makes_must_fit(cache, monkeypatch):
    def compiler(command, **options):
        with open(command[-1], "wb") as file:
            file.write(b"not a library")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(library.subprocess, "run", compiler)
    found = library.find()
    assert found.functions is None and found.why


def test_structures_must_agree(quick, monkeypatch):
    monkeypatch.setattr(library, "Past", library.Memory)
    found = library.find()
    assert found.functions is None and "disagree about Memory" in found.why


def test_no_compiler(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = library.find()
    assert found.functions is None and "no C++ compiler" in found.why


@needs_compiler
def test_a_compiler_that_fails(cache, monkeypatch, tmp_path):
    failing = tmp_path / "cc"
    failing.write_text("#!/bin/sh\necho cannot >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", str(failing))
    found = library.find()
    assert found.functions is None and "could not compile it: cannot" in found.why
    assert not list(cache.glob("*"))


def test_a_folder_that_cannot_be_written(cache, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEQ2X_CACHE", str(tmp_path / "file"))
    assert library.find().functions is None
    if os.geteuid():
        cache.mkdir()
        cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
        monkeypatch.setenv("SEQ2X_CACHE", str(cache))
        assert "denied" in library.find().why


@pytest.mark.parametrize(
    ("isa", "why"), [("none", "none was asked for"), ("sse9", "expected"), ("avx512", "portable at best")]
)
def test_instructions_that_are_not_there(cache, monkeypatch, isa, why):
    monkeypatch.setattr(library, "processor", lambda: "portable")
    monkeypatch.setenv("SEQ2X_ISA", isa)
    found = library.find()
    assert found.functions is None and why in found.why and isa in found.why


def test_the_cache_is_the_users_own(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(library._folder("")) == "/x/seq2x" and str(library._folder("/y")) == "/y"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert library._folder("").parts[-2:] == (".cache", "seq2x")


def test_processors_are_told_apart(monkeypatch):
    for flags, isa in (
        ("fma avx2", "avx2"),
        ("fma avx2 avx512f avx512bw avx512dq avx512vl", "avx512"),
        ("sse", "portable"),
    ):
        monkeypatch.setattr(library.Path, "read_text", lambda *_, flags=flags, **__: f"x\nflags\t: {flags}\n")
        assert library.processor() == isa

    def missing(*_, **__):
        raise OSError

    monkeypatch.setattr(library.Path, "read_text", missing)
    assert library.processor() == "portable"


@pytest.mark.slow
@needs_compiler
def test_no_foreign_memory_is_touched(tmp_path):
    """The tests of the engine again, compiled with AddressSanitizer and UndefinedBehaviorSanitizer."""
    flags = "-g -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    compiler = tmp_path / "checked"
    compiler.write_text(f'#!/bin/sh\nexec g++ {flags} "$@" -O1\n')
    compiler.chmod(0o755)
    runtimes = []
    for name in ("libasan.so", "libubsan.so"):
        found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=False)
        if not Path(found.stdout.strip()).is_absolute():
            pytest.skip(f"no {name}")
        runtimes.append(found.stdout.strip())
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/engine/test_native.py"],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "CXX": str(compiler),
            "SEQ2X_CACHE": str(tmp_path / "cache"),
            "LD_PRELOAD": " ".join(runtimes),
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert list((tmp_path / "cache").glob("*.so"))
