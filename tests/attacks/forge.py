"""Folders as an enemy would make them: every checksum right, everything else possible.

`forge` writes a folder whose manifest is sealed like a real one, so that what is behind the seal is tried too.
`watching` notes what the interpreter is asked to do meanwhile.
"""

import hashlib
import sys
from contextlib import contextmanager

import numpy as np

from seq2x.strict_json import dump_json
from seq2x.tensors import pack_tensors

WEIGHTS = pack_tensors({"layer.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "bias": np.ones(4)})
GOOD = {"weights.safetensors": WEIGHTS, "codec.json": b'{"symbols": ["a", "b", "c"]}\n'}


def seal(table):
    """The bytes of a manifest with a right checksum of itself."""
    return dump_json(table | {"sha256": hashlib.sha256(dump_json(table)).hexdigest()})


def table_of(files, names=None):
    """A manifest's table for `files`; `names` says otherwise where a file is said to lie."""
    entries = {
        name: {"file": (names or {}).get(name, name), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    return {
        "about": {},
        "files": entries,
        "format": 1,
        "kind": "model",
        "step": 7,
        "tag": "000007",
        "writer": "seq2x 0.1.0",
    }


def forge(folder, files=None, names=None, changes=None):
    """A folder with `files` and a sealed manifest in which `changes` replace the entries of the same name."""
    files = GOOD if files is None else files
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write(folder / name, data)
    table = {key: value for key, value in (table_of(files, names) | (changes or {})).items() if value is not ...}
    write(folder / "manifest.json", seal(table))
    return folder


def write(path, data):
    """A new file each time: emptying an old one makes some file systems flush, which is slow by the thousand."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


FORBIDDEN = {"pickle.find_class", "marshal.loads", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"}
FORBIDDEN |= {"socket.connect", "exec", "compile", "os.remove", "os.rename", "os.mkdir", "os.symlink", "os.link"}
_log = None


def _hook(event, arguments):
    if _log is not None and (event in FORBIDDEN or event in ("open", "import")):
        _log.append((event, arguments))


sys.addaudithook(_hook)  # cannot be removed again, hence one for all tests, silent unless somebody is `watching`


@contextmanager
def watching():
    """The audit events of what happens inside: opens, imports, and all that must never happen."""
    global _log
    _log = events = []
    try:
        yield events
    finally:
        _log = None
