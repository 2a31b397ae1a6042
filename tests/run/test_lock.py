"""One writer per folder."""

import json
import os
import platform
import stat
import threading
import time

import pytest

from seq2x import lock
from seq2x.errors import BusyError, StorageError
from seq2x.lock import Lock


def test_the_second_is_told_who_works_there(tmp_path):
    with Lock(tmp_path) as first:
        assert first.folder == tmp_path
        with (
            pytest.raises(BusyError, match=rf"process {os.getpid()} on .+ works here since 20\d\d-") as caught,
            Lock(tmp_path),
        ):
            pass
        assert caught.value.exit_code == 9
    with Lock(str(tmp_path)):
        pass


def test_it_needs_no_call_that_other_systems_lack(tmp_path, monkeypatch):
    for name in ("pread", "pwrite"):
        monkeypatch.delattr(os, name)
    for _ in range(2):  # the second finds the record of the first
        with Lock(tmp_path), pytest.raises(BusyError, match=f"process {os.getpid()} on"), Lock(tmp_path):
            pass


def test_it_is_released_when_the_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), Lock(tmp_path):
        raise ZeroDivisionError
    with Lock(tmp_path):
        record = json.loads((tmp_path / ".lock").read_text())
    assert (tmp_path / ".lock").read_bytes() == b""
    assert record.keys() == {"pid", "host", "started"}


def test_an_old_record_is_no_lock(tmp_path):
    (tmp_path / ".lock").write_text(
        '{"pid": 1, "host": "elsewhere", "started": "2020-01-01T00:00:00+00:00"}' + " " * 500
    )
    with Lock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


DEAD = json.dumps({"pid": 2**22 + 1, "host": platform.node(), "started": "2020"}).encode()  # above any process number


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"{}", b"\xff", DEAD, DEAD.replace(b"4194305", b"1" * 30)])
def test_a_holder_that_has_not_signed_yet(tmp_path, record):
    with Lock(tmp_path):
        (tmp_path / ".lock").write_bytes(record)
        with pytest.raises(BusyError, match="another process works here"), Lock(tmp_path):
            pass


def test_a_holder_on_another_machine(tmp_path):
    with Lock(tmp_path):
        (tmp_path / ".lock").write_text('{"pid": 4194305, "host": "elsewhere", "started": "2026"}')
        with pytest.raises(BusyError, match="process 4194305 on elsewhere works here since 2026"), Lock(tmp_path):
            pass


def test_a_record_in_the_making_is_waited_for(tmp_path):
    with Lock(tmp_path):
        good = (tmp_path / ".lock").read_bytes()
        (tmp_path / ".lock").write_bytes(b"")
        writer = threading.Thread(target=lambda: (time.sleep(0.05), (tmp_path / ".lock").write_bytes(good)))
        writer.start()
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), Lock(tmp_path):
            pass
        writer.join()


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(StorageError), Lock(tmp_path):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


def test_where_there_is_no_folder(tmp_path):
    with pytest.raises(StorageError, match="cannot lock the folder"), Lock(tmp_path / "absent"):
        pass


def test_without_the_call_there_is_no_guard(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    with Lock(tmp_path), Lock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_forked_child_does_not_hold_it(tmp_path):
    held = Lock(tmp_path)
    with held:
        file = held._file
        assert stat.S_ISREG(os.fstat(file).st_mode)
        lock._forget()  # what a child runs after the fork; here it stands in for the child
        with pytest.raises(OSError):
            os.fstat(file)
    with Lock(tmp_path):
        pass
