"""The native engine's library: found, compiled where it is not there yet, checked and loaded.

Compiled from `native.cpp`, once for each kind of processor, by whatever C++ compiler there is (`CXX`, c++, g++,
clang++), into the user's cache (`SEQ2X_CACHE`, else `XDG_CACHE_HOME/seq2x`, else `~/.cache/seq2x`). A file there is
loaded only if it belongs to the user and its contents are those that were written down when it was made.

`SEQ2X_ISA` chooses the instructions: avx512, avx2, portable, or none for no library at all.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["ISAS", "Layer", "Library", "Linear", "Memory", "Norm", "Past", "Stack", "find", "processor"]

SOURCE = Path(__file__).with_name("native.cpp")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fopenmp", "-fno-math-errno")
ISAS: Mapping[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "avx512": (
        ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
        frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"}),
    ),
    "avx2": (("-mavx2", "-mfma"), frozenset({"avx2", "fma"})),
    "portable": ((), frozenset()),
}
"""Compiler flags, and what a processor must have for them; the best first."""

_LIMIT = 300  # seconds that a compiler may take


class Linear(ctypes.Structure):
    """`W x + b`: W in panels, b filled up to whole ones."""

    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
    )


class Norm(ctypes.Structure):
    """`kind` 0 none, 1 layer, 2 root mean square, 3 a given gain and shift."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("gain", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("eps", ctypes.c_double),
    )


class Layer(ctypes.Structure):
    """Of an encoder (no cross-attention) or a decoder."""

    _fields_ = (
        ("attention_norm", Norm),
        ("cross_norm", Norm),
        ("feedforward_norm", Norm),
        ("qkv", Linear),
        ("out", Linear),
        ("query", Linear),
        ("kv", Linear),
        ("cross_out", Linear),
        ("inner", Linear),
        ("outer", Linear),
    )


class Stack(ctypes.Structure):
    """An encoder, or a decoder with its output layer."""

    _fields_ = (
        ("width", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("layers", ctypes.c_int64),
        ("pre", ctypes.c_int64),
        ("activation", ctypes.c_int64),
        ("layer", ctypes.POINTER(Layer)),
        ("norm", Norm),
        ("embedding", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
        ("symbols", ctypes.c_int64),
        ("places", ctypes.c_int64),
        ("scale", ctypes.c_double),
        ("output", Linear),
    )


class Memory(ctypes.Structure):
    """Keys and values of B sentences."""

    _fields_ = (
        ("sentences", ctypes.c_int64),
        ("lengths", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
    )


class Past(ctypes.Structure):
    """What the rows of a search have consumed."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("beams", ctypes.c_int64),
        ("consumed", ctypes.c_int64),
        ("sentences", ctypes.c_int64),
        ("steps", ctypes.c_int64),
        ("place", ctypes.c_void_p),
        ("ancestry", ctypes.c_void_p),
        ("caches", ctypes.c_void_p),
    )


class Library(NamedTuple):
    """A loaded library, or why there is none. `panel`: how many outputs of a product lie side by side."""

    functions: ctypes.CDLL | None
    panel: int
    isa: str
    why: str


def processor() -> str:
    """The best of `ISAS` that this processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "portable"
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    has = set(line.partition(":")[2].split())
    return next(isa for isa, (_, needs) in ISAS.items() if needs <= has)


def find() -> Library:
    """The library for this process: compiled if need be, loaded once. Never raises; `why` tells what is the matter."""
    return _find(os.environ.get("SEQ2X_ISA", ""), os.environ.get("SEQ2X_CACHE", ""))


@functools.lru_cache(maxsize=8)
def _find(isa: str, cache: str) -> Library:
    best = processor()
    isa = isa or best
    if isa not in ISAS:
        asked = "none was asked for" if isa == "none" else f"one of {', '.join(ISAS)} or none was expected"
        return Library(None, 0, isa, f"SEQ2X_ISA={isa}: {asked}")
    if list(ISAS).index(isa) < list(ISAS).index(best):
        return Library(None, 0, isa, f"SEQ2X_ISA={isa}: this processor has {best} at best")
    try:
        path = _compiled(isa, _folder(cache))
        functions = ctypes.CDLL(str(path))
        _declare(functions)
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as error:
        return Library(None, 0, isa, str(error).strip().splitlines()[0] if str(error).strip() else repr(error))
    return Library(functions, int(functions.seq2x_panel()), isa, f"compiled for {isa}: {path}")


def _folder(cache: str) -> Path:
    if cache:
        return Path(cache)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "seq2x"


def _compiled(isa: str, folder: Path) -> Path:
    """The library for `isa`; made where it is not there, or is not what was made. Raises `OSError` and its kind."""
    source = SOURCE.read_bytes()
    known = hashlib.sha256(b"\0".join([source, *(flag.encode() for flag in (*FLAGS, *ISAS[isa][0]))]))
    known.update(platform.machine().encode())
    path = folder / f"native-{isa}-{known.hexdigest()[:16]}.so"
    if not _as_made(path):
        _compile(isa, path)
    return path


def _as_made(path: Path) -> bool:
    """Whether `path` is the user's own file with the contents that were written down beside it."""
    try:
        said = path.with_suffix(".sha256").read_text(encoding="ascii").strip()
        mine = not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
        return mine and hashlib.sha256(path.read_bytes()).hexdigest() == said
    except (OSError, ValueError):
        return False


def _compile(isa: str, path: Path) -> None:
    """Compile into `path`, which appears whole or not at all. Raises `OSError` or `SubprocessError`."""
    compiler = _compiler()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="making-") as scratch:
        made = Path(scratch) / "native.so"
        command = [*compiler, *FLAGS, *ISAS[isa][0], str(SOURCE), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if done.returncode:
            found = (done.stderr or done.stdout).strip().splitlines()
            raise OSError(f"{compiler[0]} could not compile it: {found[0] if found else done.returncode}")
        said = Path(scratch) / "native.sha256"
        said.write_text(hashlib.sha256(made.read_bytes()).hexdigest() + "\n", encoding="ascii")
        said.replace(path.with_suffix(".sha256"))
        made.replace(path)


def _compiler() -> Sequence[str]:
    """The command of a C++ compiler. Raises `OSError` where there is none."""
    wanted = os.environ.get("CXX", "").split()
    if wanted and shutil.which(wanted[0]):
        return wanted
    for name in COMPILERS:
        if found := shutil.which(name):
            return [found]
    raise OSError(f"no C++ compiler ({', '.join(COMPILERS)})")


def _declare(functions: ctypes.CDLL) -> None:
    """Argument types of every function, and a check that both sides mean the same structures. Raises `ValueError`."""
    word, place, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
    stack = ctypes.POINTER(Stack)
    memory, past = ctypes.POINTER(Memory), ctypes.POINTER(Past)
    signatures = {
        "seq2x_panel": (word, ()),
        "seq2x_layout": (word, (word,)),
        "seq2x_memory_size": (word, (word, word, word)),
        "seq2x_encode": (number, (stack, stack, place, memory, number)),
        "seq2x_step": (number, (stack, memory, past, place, place, place, word, number)),
        "seq2x_top": (number, (stack, place, word, word, place, word, place, place, number)),
        "seq2x_all": (number, (stack, place, word, place, number)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(functions, name)
        function.restype, function.argtypes = result, arguments
    for which, structure in enumerate((Linear, Norm, Layer, Stack, Memory, Past)):
        if functions.seq2x_layout(which) != ctypes.sizeof(structure):
            raise ValueError(f"the library and {__name__} disagree about {structure.__name__}")
