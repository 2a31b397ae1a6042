"""A folder from a stranger: exit code 4, nothing run, nothing opened outside, no memory spent (X3, B29-B45).

B42 and B44 (SentencePiece models, archives) have no test: no such file is ever read.
"""

import os
import pickle
import random
import resource
import sys

import numpy as np
import pytest
from forge import FORBIDDEN, GOOD, WEIGHTS, forge, seal, table_of, watching, write

from seq2x import run
from seq2x.errors import FolderError

MEGABYTE = 1 << 20


def use(folder):
    """All that a loader does with a folder before it builds a model."""
    saved = run.load(folder)
    return saved.tensors("weights.safetensors"), saved.json("codec.json"), saved


def refused(folder, message=""):
    """`folder` is refused with `message`, quietly, cheaply, and without a look elsewhere."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watching() as events, pytest.raises(FolderError) as caught:
        use(folder)
    assert caught.value.exit_code == 4 and message in str(caught.value), str(caught.value)
    assert len(str(caught.value)) <= 2000 and str(caught.value).replace("\n", "").isprintable()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB
    harmless(events, folder)


def harmless(events, folder):
    for event, arguments in events:
        assert event not in FORBIDDEN, (event, arguments)
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if os.fsdecode(path).startswith((sys.prefix, sys.base_prefix)):
                continue  # the interpreter's own
            inside = os.path.dirname(os.path.abspath(os.fsdecode(path))) == str(folder)
            assert inside, f"opened {path}"
            assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), f"opened {path} to write"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def test_the_forgery_is_good_enough(folder):
    forge(folder)
    with watching() as events:
        tensors, codec, saved = use(folder)
    harmless(events, folder)
    assert [arguments[0] for event, arguments in events if event == "open" and isinstance(arguments[0], str)]
    assert tensors["layer.weight"].shape == (3, 4) and codec["symbols"] and saved.step == 7


# ------------------------------------------------------------------ B29: no manifest, no JSON, the future


def test_b29_nothing_there(folder):
    folder.mkdir()
    refused(folder, "manifest.json: no such file")
    refused(folder / "absent", "no such folder")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}', b'{"format": true}', b'{"a":1,"a":1}'],
)
def test_b29_no_manifest(folder, text):
    forge(folder)
    (folder / "manifest.json").write_bytes(text)
    refused(folder, "manifest.json")


def test_b29_a_manifest_without_end(folder):
    forge(folder)
    with open(folder / "manifest.json", "wb") as file:
        file.truncate(1 << 40)
    refused(folder, "too long")


def test_b29_from_the_future(folder):
    forge(folder, changes={"format": 2, "writer": "seq2x 9.1.0"})
    refused(folder, "format 2; expected at most 1; needs seq2x 9.1.0 or later")
    forge(folder, changes={"format": 10**20, "writer": "\x1b]0;x\x07" * 1000})
    refused(folder, "format 100000000000000000000")


@pytest.mark.parametrize("key", ["about", "files", "kind", "step", "tag", "writer"])
@pytest.mark.parametrize("value", [..., None, True, [], {}, "", 1.5, "../x"])
def test_b29_keys_of_the_wrong_kind(folder, key, value):
    right = {"about": ({},), "kind": ("", "../x"), "writer": ("", "../x")}
    if value in right.get(key, ()):
        pytest.skip("a right value, and only a text for people")
    forge(folder, changes={key: value})
    refused(folder, "manifest.json")


def test_b29_more_keys_or_an_old_format(folder):
    forge(folder, changes={"auto_map": {"AutoModel": "model.py"}})
    refused(folder, "not a manifest of seq2x")
    forge(folder, changes={"format": 0})
    refused(folder, "not a manifest of seq2x")


def test_an_edited_manifest_is_not_taken(folder):
    forge(folder)
    text = (folder / "manifest.json").read_bytes()
    for other in (text.replace(b'"step": 7', b'"step": 8'), text + b"\n", text.replace(b"\n ", b"\n\t", 1)):
        (folder / "manifest.json").write_bytes(other)
        refused(folder, "does not agree with its own checksum")


# ------------------------------------------------------------------ B30, B31: see tests/run/test_run_corruption.py


@pytest.mark.parametrize("size", [0, 1, len(WEIGHTS) // 2, len(WEIGHTS) - 1])
def test_b30_truncated(folder, size):
    forge(folder)
    (folder / "weights.safetensors").write_bytes(WEIGHTS[:size])
    refused(folder, "weights.safetensors")


# ------------------------------------------------------------------ B32, B33: code in place of numbers


class Canary:
    """Unpickling it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("victim", ["weights.safetensors", "codec.json", "manifest.json"])
def test_b32_a_pickle_by_any_name(folder, tmp_path, victim, protocol):
    bomb = pickle.dumps(Canary(tmp_path / "canary"), protocol)
    if victim == "manifest.json":
        forge(folder)
        (folder / victim).write_bytes(bomb)
    else:
        forge(folder, GOOD | {victim: bomb})
    refused(folder, victim)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["rng_state.pth", "optimizer.pt", "training_args.bin", "model.pkl"])
def test_b32_other_files_are_not_even_opened(folder, tmp_path, name):
    forge(folder)
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with watching() as events:
        use(folder)
    harmless(events, folder)
    assert not any(name in str(arguments) for _, arguments in events)


def test_b33_code_beside_the_weights_is_not_imported(folder, tmp_path, monkeypatch):
    forge(folder)
    names = ["model", "modeling_x", "conftest", "sitecustomize", "torch", "numpy", "json", "struct", "seq2x"]
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    monkeypatch.chdir(folder)
    before = list(sys.path)
    with watching() as events:
        use(folder)
    harmless(events, folder)
    assert not [
        arguments for event, arguments in events if event == "import" and arguments[1] and "run" in str(arguments[1])
    ]
    assert sys.path == before and not (tmp_path / "canary").exists()


# ------------------------------------------------------------------ B34-B37: see tests/run/test_tensors.py


def test_b34_a_huge_claim_costs_nothing(folder):
    forge(folder, GOOD | {"weights.safetensors": (2**63).to_bytes(8, "little") + b"{}"})
    refused(folder, "a header of")
    forge(folder, GOOD | {"weights.safetensors": (99 * MEGABYTE).to_bytes(8, "little") + b"{" * 1000})
    refused(folder, "a header of")


def test_b34_a_file_larger_than_the_machine(folder):
    forge(folder)
    table = table_of(GOOD)
    table["files"]["weights.safetensors"]["bytes"] = 1 << 60
    (folder / "manifest.json").write_bytes(seal(table))
    refused(folder, "this machine's memory")


def test_b34_a_file_larger_than_it_is_said_to_be(folder):
    forge(folder)
    with open(folder / "weights.safetensors", "r+b") as file:
        file.truncate(1 << 40)
    refused(folder, "weights.safetensors")


def test_b36_a_weight_that_is_not_finite(folder):
    values = np.arange(12, dtype=np.float32)
    data = WEIGHTS.replace(values.tobytes(), np.where(values == 5, np.nan, values).astype(np.float32).tobytes())
    forge(folder, GOOD | {"weights.safetensors": data})
    refused(folder, 'tensor "layer.weight" holds NaN or infinity')


# ------------------------------------------------------------------ B38, B39: a way out of the folder

NAMES = [
    "../secret",
    "/etc/passwd",
    "C:\\x",
    "a/b",
    "a\\b",
    "x\0y",
    "CON",
    "con.json",
    "nul",
    "LPT1.x",
    "x" * 300,
    "",
    ".",
]
NAMES += [
    "..",
    "x.",
    "x ",
    " x",
    "x\n",
    "\uff0e\uff0e",
    "a\u2215b",
    "%2e%2e%2fsecret",
    "file:///etc/passwd",
    "-x",
    "~",
    "\u202ex",
]


@pytest.mark.parametrize("name", NAMES)
def test_b38_only_plain_names(folder, name):
    (folder.parent / "secret").write_bytes(WEIGHTS)
    forge(folder, names={"weights.safetensors": name})
    refused(folder, "manifest.json: names the file")
    forge(folder)
    (folder / "manifest.json").write_bytes(seal(table_of({name: b"", **GOOD}, {name: "x"})))
    refused(folder, "manifest.json: names the file")


ENTRY = {"file": "x", "bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"file": "x", "bytes": 1},
        ENTRY | {"code": ""},
        ENTRY | {"file": 1},
        ENTRY | {"file": ["x"]},
        ENTRY | {"bytes": -1},
        ENTRY | {"bytes": True},
        ENTRY | {"bytes": 1.0},
        ENTRY | {"sha256": "0" * 63},
        ENTRY | {"sha256": None},
    ],
)
def test_b38_entries_of_the_wrong_kind(folder, entry):
    forge(folder, changes={"files": {"weights.safetensors": entry}})
    refused(folder, "manifest.json")


def test_b38_one_file_under_two_names(folder):
    forge(folder, {"a.json": b"{}", "b.json": b"{}"}, {"b.json": "a.json"})
    refused(folder, "names one file twice")


@pytest.mark.parametrize("victim", ["weights.safetensors", "manifest.json"])
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "folder", "dangling", "loop", "inside"])
def test_b39_only_plain_files(folder, victim, kind):
    forge(folder)
    data = (folder / victim).read_bytes()
    (folder / victim).unlink()
    outside = folder.parent / "secret"
    outside.write_bytes(data)
    if kind == "symlink":
        (folder / victim).symlink_to(outside)
    elif kind == "hardlink":
        os.link(outside, folder / victim)
    elif kind == "fifo":
        os.mkfifo(folder / victim)
    elif kind == "folder":
        (folder / victim).mkdir()
    elif kind == "dangling":
        (folder / victim).symlink_to(folder.parent / "absent")
    elif kind == "loop":
        (folder / victim).symlink_to(victim)
    else:
        (folder / "other").write_bytes(data)
        (folder / victim).symlink_to("other")
    refused(folder, victim)


def test_b39_a_device(folder):
    forge(folder)
    (folder / "weights.safetensors").unlink()
    try:
        os.mknod(folder / "weights.safetensors", 0o20644, os.makedev(1, 5))  # /dev/zero
    except OSError:
        pytest.skip("making a device is not allowed here")
    refused(folder, "weights.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_one_may_not_read(folder):
    forge(folder)
    os.chmod(folder / "codec.json", 0)
    refused(folder, "cannot be read (Permission denied)")


# ------------------------------------------------------------------ B45: not what it seems

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HTML = b"\n<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>"


@pytest.mark.parametrize(
    ("data", "kind"), [(LFS, "a git-lfs pointer"), (HTML, "an HTML page"), (b"PK\x03\x04..", "archive")]
)
@pytest.mark.parametrize("victim", ["weights.safetensors", "manifest.json"])
def test_b45_what_a_download_left(folder, data, kind, victim):
    forge(folder)
    (folder / victim).write_bytes(data)
    refused(folder, kind)


# ------------------------------------------------------------------ X3: two thousand mutants


def mutant(data, draw):
    """`data` with one of the changes that fuzzers make."""
    data = bytearray(data)
    at = draw.randrange(len(data) + 1)
    length = draw.choice([1, 2, 4, 8, 50])
    what = draw.randrange(6)
    if what == 0:
        data[at : at + length] = draw.randbytes(length)
    elif what == 1:
        del data[at : at + length]
    elif what == 2:
        data[at:at] = draw.randbytes(length)
    elif what == 3:
        data[at:at] = data[at : at + length * 4]
    elif what == 4:
        data[at : at + length] = draw.choice([b"\0", b"\xff", b"9", b"[", b'"', b"{", b"-", b"."]) * length
    else:
        del data[at:]
    return bytes(data)


@pytest.mark.parametrize("sealed", [False, True])
def test_mutants_are_refused_or_harmless(folder, sealed):
    """Without a right seal none is taken; behind a right seal, what is taken is finite and of known types."""
    draw = random.Random(5)
    forge(folder)
    taken = 0
    with watching() as events:
        for _ in range(1000):
            victim = draw.choice(sorted(GOOD))
            files = GOOD | {victim: mutant(GOOD[victim], draw)}
            if sealed:
                forge(folder, files)
            else:
                write(folder / victim, files[victim])
            events.clear()
            try:
                tensors, codec, _ = use(folder)
            except FolderError as error:
                assert len(str(error)) <= 2000
            else:
                taken += 1
                assert sealed or files == GOOD
                assert all(np.isfinite(array).all() and array.size < 1000 for array in tensors.values())
                assert isinstance(codec, (dict, list, str, int, float, bool, type(None)))
            harmless(events, folder)
            write(folder / victim, GOOD[victim])
    assert sealed is (taken > 0) or taken < 20


def test_mutants_of_the_manifest_are_refused(folder):
    draw = random.Random(6)
    forge(folder)
    text = (folder / "manifest.json").read_bytes()
    for _ in range(1000):
        other = mutant(text, draw)
        write(folder / "manifest.json", other)
        if other == text:
            continue
        with pytest.raises(FolderError):
            use(folder)
