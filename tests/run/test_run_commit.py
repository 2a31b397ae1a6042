"""A save that is stopped anywhere leaves the old generation or the new one (R2, R3, R9)."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faulty_disk import Crash, ForgetfulDisk, WatchedDisk

from seq2x import run
from seq2x.errors import FolderError, StorageError
from seq2x.storage import DISK, Disk, storage_error

ROOMS = [1, 2]  # keep_generations


def files_of(step):
    return {
        "weights.safetensors": run.pack_tensors({"w": np.full(8, float(step))}),
        "codec.json": b'{"step": %d}' % step,
    }


def save(folder, step, keep=1, fs=DISK):
    return run.commit(folder, step, files_of(step), {"step": step}, keep, fs, "training")


def step_of(folder, fallback=False):
    """The step in a folder, after checking that all of it is of that step."""
    saved = run.load(folder, fallback)
    assert saved.about == {"step": saved.step} == saved.json("codec.json")
    assert (saved.tensors("weights.safetensors")["w"] == saved.step).all()
    return saved.step


def test_what_is_saved_is_what_is_loaded(tmp_path):
    about = {"metric": 0.1, "text": "日本語\u2028", "deep": [{"a": None}], "big": 2**63}
    files = files_of(7) | {"empty.txt": b""}
    run.commit(tmp_path / "best", 7, files, about)
    saved = run.load(str(tmp_path / "best"))
    assert (saved.step, saved.kind, saved.warning) == (7, "model", "")
    assert saved.about == about
    assert {name: saved.read(name) for name in files} == files
    with pytest.raises(FolderError, match=r'no "tokens\.json" in it; expected codec\.json'):
        saved.read("tokens.json")
    assert saved.where("codec.json").endswith("codec-000007.json")
    assert saved.where("tokens.json") == str(tmp_path / "best")


def test_files_carry_their_step_and_the_folder_is_private(tmp_path):
    save(tmp_path / "best", 123)
    assert sorted(os.listdir(tmp_path / "best")) == ["codec-000123.json", "manifest.json", "weights-000123.safetensors"]
    assert stat.S_IMODE(os.stat(tmp_path / "best").st_mode) == 0o700
    manifest = json.loads((tmp_path / "best" / "manifest.json").read_text())
    assert manifest["format"] == run.FORMAT and manifest["step"] == 123
    assert manifest["files"]["codec.json"]["bytes"] == len(files_of(123)["codec.json"])


@pytest.mark.parametrize("keep", ROOMS)
def test_only_the_generations_asked_for_stay(tmp_path, keep):
    (tmp_path / "notes.txt").write_text("mine")
    for step in (1, 2, 2, 10, 1_000_000):
        save(tmp_path, step, keep)
        assert step_of(tmp_path) == step
    names = os.listdir(tmp_path)
    assert sum(name.startswith("weights-") for name in names) == keep
    assert "notes.txt" in names and not any(name.startswith(".tmp") for name in names)


def test_generations_of_an_abandoned_future_go(tmp_path):
    for step in (100, 200):
        save(tmp_path, step, 2)
    (tmp_path / "weights-000200.safetensors").write_bytes(b"damaged")
    assert step_of(tmp_path, fallback=True) == 100
    save(tmp_path, 150, 2)
    assert step_of(tmp_path) == 150
    (tmp_path / "weights-000150.safetensors").unlink()
    assert step_of(tmp_path, fallback=True) == 100


@pytest.mark.parametrize("step", [100, 200, 250])
def test_after_a_fallback_the_good_generation_stays(tmp_path, step):
    """The damaged one of the step that is saved again must not take the place of what the fallback found."""
    for earlier in (100, 200):
        save(tmp_path, earlier, 2)
    (tmp_path / "weights-000200.safetensors").write_bytes(b"damaged")
    assert step_of(tmp_path, fallback=True) == 100
    save(tmp_path, step, 2)
    if step == 250:  # the damaged generation is the one before: it stays, and a further save drops it
        save(tmp_path, 300, 2)
    (tmp_path / json.loads((tmp_path / "manifest.json").read_bytes())["files"]["codec.json"]["file"]).unlink()
    assert step_of(tmp_path, fallback=True) == (250 if step == 250 else 100)


def test_what_was_committed_is_a_run(tmp_path):
    assert not run.is_run(tmp_path / "gone") and not run.is_run(tmp_path) and not run.is_run("a\0b")
    save(tmp_path, 1)
    assert run.is_run(tmp_path)
    save(tmp_path, 2, 2)
    (tmp_path / "manifest.json").unlink()
    assert run.is_run(tmp_path) and step_of(tmp_path, fallback=True) == 2
    (tmp_path / "manifest-000002.json").unlink()
    assert not run.is_run(tmp_path)


def test_the_order_of_calls_is_the_promise(tmp_path):
    save(tmp_path, 1)
    disk = WatchedDisk()
    save(tmp_path, 2, 1, disk)
    expected = "names names free"
    for name in ("weights-000002.safetensors", "codec-000002.json", ".tmp-manifest.json"):
        expected += f" create {name} write {name} fsync {name}"
    expected += " sync folder replace .tmp-manifest.json manifest.json sync folder names"
    expected += " unlink codec-000001.json unlink weights-000001.safetensors"
    assert " ".join(disk.calls) == expected


def calls_of_a_save(folder, keep, steps=(1, 2, 3)):
    *before, last = steps
    for step in before:
        save(folder, step, keep)
    disk = WatchedDisk()
    save(folder, last, keep, disk)
    return len(disk.calls)


@pytest.mark.parametrize("keep", ROOMS)
@pytest.mark.parametrize("before", [(), (1,), (1, 2), (3, 3)])
def test_a_crash_at_any_call_leaves_old_or_new(tmp_path, keep, before):
    count = calls_of_a_save(tmp_path / "count", keep, (*before, 3))
    seen = set()
    for at in range(1, count + 1):
        folder = tmp_path / str(at)
        for step in before:
            save(folder, step, keep)
        with pytest.raises(Crash):
            save(folder, 3, keep, WatchedDisk(at, Crash()))
        old = before[-1] if before else None
        try:
            found = step_of(folder)
        except FolderError:
            found = None
        assert found in (old, 3)
        seen.add(found)
        run.sweep(folder)
        if found is not None:
            assert step_of(folder) == found
        assert not any(name.startswith(".tmp") for name in (os.listdir(folder) if folder.exists() else []))
        save(folder, 4, keep)
        assert step_of(folder) == 4
        assert sum(name.startswith("weights-") for name in os.listdir(folder)) <= keep
    assert seen == {old, 3}


@pytest.mark.parametrize("keep", ROOMS)
@pytest.mark.parametrize("names_survive", [True, False])
def test_a_power_cut_at_any_call_leaves_old_or_new(tmp_path, keep, names_survive):
    for at in range(1, calls_of_a_save(tmp_path / "count", keep) + 1):
        folder = tmp_path / str(at)
        for step in (1, 2):
            save(folder, step, keep)
        disk = ForgetfulDisk(at)
        with pytest.raises(Crash):
            save(folder, 3, keep, disk)
        disk.lose(names_survive)
        assert step_of(folder) in (2, 3)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_an_error_at_any_call_is_said_and_nothing_is_lost(tmp_path, code):
    count = calls_of_a_save(tmp_path / "count", 2)
    for at in range(1, count + 1):
        folder = tmp_path / str(at)
        for step in (1, 2):
            save(folder, step, 2)
        with pytest.raises(StorageError) as caught:
            save(folder, 3, 2, WatchedDisk(at, OSError(code, os.strerror(code))))
        assert str(folder) in str(caught.value) and "bytes needed" in str(caught.value)
        assert step_of(folder) in (2, 3)
        save(folder, 3, 2)
        assert step_of(folder) == 3


def test_after_a_failed_fsync_the_bytes_are_written_anew(tmp_path):
    """The kernel may drop dirty pages and report the error once: a second fsync of the same file proves nothing."""
    disk = WatchedDisk()
    save(tmp_path, 1, 1, disk)
    at = disk.calls.index("fsync weights-000001.safetensors") + 1
    with pytest.raises(StorageError, match="the disk is failing"):
        save(tmp_path, 1, 1, WatchedDisk(at, OSError(errno.EIO, "io")))
    again = WatchedDisk()
    save(tmp_path, 1, 1, again)
    assert sum(call.startswith("create weights") for call in again.calls) == 1


def test_a_refused_save_does_not_fill_the_disk_further(tmp_path):
    save(tmp_path, 1)
    before = os.listdir(tmp_path)
    disk = WatchedDisk()
    save(tmp_path / "count", 1, 1, disk)
    at = disk.calls.index("write .tmp-manifest.json")
    with pytest.raises(StorageError):
        save(tmp_path, 2, 1, WatchedDisk(at, OSError(errno.ENOSPC, "full")))
    assert set(os.listdir(tmp_path)) - {"count"} == set(before)


def test_no_save_is_begun_that_cannot_fit(tmp_path):
    class Full(Disk):
        def free(self, folder):
            return 1000

    save(tmp_path, 1)
    with pytest.raises(StorageError, match=r"the disk is full: [\d,]+ bytes needed, 1,000 free") as caught:
        save(tmp_path, 2, 1, Full())
    assert caught.value.exit_code == 5
    assert step_of(tmp_path) == 1 and len(os.listdir(tmp_path)) == 3


def test_an_error_is_told_even_where_free_space_cannot_be(tmp_path):
    error = storage_error(OSError("odd"), tmp_path / "gone", 5, DISK)
    assert "free space unknown" in str(error) and "odd" in str(error)


@pytest.mark.parametrize("target", ["file/best", "file", "gone/best"])
def test_a_path_that_is_no_place(tmp_path, target):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        save(tmp_path / target, 1)


def test_the_folder_removed_under_us(tmp_path):
    class Removing(Disk):
        def create(self, path):
            for name in os.listdir(path.parent):
                os.unlink(path.parent / name)
            os.rmdir(path.parent)
            return super().create(path)

    save(tmp_path / "last", 1)
    with pytest.raises(StorageError, match="the folder is gone"):
        save(tmp_path / "last", 2, 1, Removing())


LIMITED = """
import resource, sys
from seq2x import run
from seq2x.errors import StorageError
folder, limit = sys.argv[1], int(sys.argv[2])
run.commit(folder, 1, {"w.bin": b"old"}, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    run.commit(folder, 2, {"w.bin": b"x" * 1_000_000}, {})
except StorageError as error:
    print(error)
    assert run.load(folder).read("w.bin") == b"old"
    raise SystemExit(error.exit_code)
"""


@pytest.mark.parametrize("limit", [4096, 500_000])
def test_a_limit_on_the_size_of_files(tmp_path, limit):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "run"), str(limit)], capture_output=True, text=True
    )
    assert done.returncode == 5, done.stderr
    assert "a file may not grow that large" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_one_may_not_write_to(tmp_path):
    (tmp_path / "run").mkdir()
    os.chmod(tmp_path / "run", 0o500)
    with pytest.raises(StorageError, match="you may not write there"):
        save(tmp_path / "run", 1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, where this is allowed."""
    point = tmp_path / "disk"
    point.mkdir()

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(point)], capture_output=True)
        if done.returncode:
            pytest.skip("mounting a file system is not allowed here")
        return point

    yield mount
    subprocess.run(["umount", str(point)], capture_output=True)


@pytest.mark.parametrize("size", [64, 100, 128, 192, 256, 333, 512, 640, 1000, 1500])
def test_a_disk_that_fills_up(small_disk, monkeypatch, size):
    monkeypatch.setattr("seq2x.storage._SPARE", -1 << 40)  # past the first check, to the disk's own refusal
    point = small_disk(f"size={size}k")
    run.commit(point / "run", 1, {"w.bin": b"old"}, {})
    good = 1
    with pytest.raises(StorageError, match="free some space"):
        for step in range(2, 100):
            run.commit(point / "run", step, {"w.bin": os.urandom(size * 300)}, {"step": step}, 4)
            good = step
    assert run.load(point / "run").step == good


def test_a_disk_that_turns_read_only(small_disk):
    point = small_disk("size=4m")
    save(point / "run", 1)
    subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)
    with pytest.raises(StorageError, match="read-only"):
        save(point / "run", 2)
    assert step_of(point / "run") == 1


@pytest.mark.parametrize(
    "name",
    ["weights", "../x.bin", "a/b.bin", "manifest.json", "a-1.bin", "NUL.bin", "", ".bin", "a.b\0", "x" * 300 + ".b"],
)
def test_a_name_that_could_not_be_loaded_is_not_saved(tmp_path, name):
    with pytest.raises(ValueError):
        run.commit(tmp_path, 1, {name: b""}, {})


def test_what_no_manifest_can_hold_is_not_saved(tmp_path):
    for step, files, about in [(-1, {"a.b": b""}, {}), (1, {}, {}), (1, {"a.b": b""}, {"x": float("nan")})]:
        with pytest.raises(ValueError):
            run.commit(tmp_path, step, files, about)
    with pytest.raises(ValueError, match="large things belong into files"):
        run.commit(tmp_path, 1, {"a.b": b""}, {"x": "y" * 5_000_000})
    assert os.listdir(tmp_path) == []


def test_sweep_leaves_what_a_fallback_may_need(tmp_path):
    run.sweep(tmp_path / "absent")
    for step in (1, 2):
        save(tmp_path, step, 2)
    (tmp_path / "manifest.json").write_bytes(b"{")
    (tmp_path / ".tmp-manifest.json").write_bytes(b"half")
    run.sweep(tmp_path)
    assert step_of(tmp_path, fallback=True) == 2
    assert not (tmp_path / ".tmp-manifest.json").exists()
    (tmp_path / "manifest.json").unlink()
    run.sweep(tmp_path)
    assert step_of(tmp_path, fallback=True) == 2


def test_sweep_drops_a_generation_whose_own_manifest_is_damaged(tmp_path):
    for step in (1, 2):
        save(tmp_path, step, 2)
    (tmp_path / "manifest-000001.json").write_bytes(b"{}")
    run.sweep(tmp_path)
    assert not (tmp_path / "weights-000001.safetensors").exists()
    assert step_of(tmp_path) == 2


def test_sweep_says_what_the_disk_refuses(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(StorageError):
        run.sweep(tmp_path, WatchedDisk(1, OSError(errno.EIO, "io")))


def test_the_real_disk_syncs(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc")
    save(tmp_path / "best", 1)
    here = str(tmp_path / "best")
    assert synced == [
        str(tmp_path),
        f"{here}/weights-000001.safetensors",
        f"{here}/codec-000001.json",
        f"{here}/.tmp-manifest.json",
        here,
        here,
    ]


def test_where_folders_have_no_handles(tmp_path, monkeypatch):
    monkeypatch.setattr("seq2x.storage._FOLDERS_SYNC", False)
    save(tmp_path / "best", 1)
    assert step_of(tmp_path / "best") == 1
