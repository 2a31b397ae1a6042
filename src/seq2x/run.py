"""A run is a folder: saved atomically, loaded only after every byte was verified.

**The manifest is the commit.** A save writes new files beside the old ones (`weights-000123.safetensors`), makes
them durable, and only then replaces `manifest.json` by one atomic rename. Whatever stops the machine at whatever
moment, the folder holds the old generation or the new one, whole. Older files go after that.

    data files written, each fsynced -> new manifest written, fsynced -> folder fsynced
    -> manifest.json replaced -> folder fsynced -> files of older generations removed

A manifest is canonical JSON and carries a checksum of itself beside those of the files, so one flipped bit anywhere
is noticed. The sums show damage, not forgery. Nothing read from a folder is ever run or imported, and nothing but
plain files directly in it is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from seq2x.errors import FolderError
from seq2x.lock import Lock
from seq2x.saved import FileRecord, Manifest, Saved
from seq2x.storage import DISK, FileSystem, require_space, storage_error, write_file
from seq2x.strict_json import JSON, dump_json, parse_json
from seq2x.tensors import check_tensors, pack_tensors

__all__ = ["Lock", "Manifest", "Saved", "check_tensors", "commit", "is_run", "load", "pack_tensors", "sweep"]

FORMAT = 1
"""Rises when an older reader could not understand a folder; every released format stays readable."""

_MANIFEST = "manifest.json"
_NEW_MANIFEST = ".tmp-manifest.json"
_LARGEST_MANIFEST = 4 << 20
_KEYS = {"about", "files", "format", "kind", "sha256", "step", "tag", "writer"}

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows, in any folder
_TAG = re.compile(r"(\d{6,19})(?:-(\d{1,9}))?")
_GENERATION_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_]*-(\d{6,19}(?:-\d{1,9})?)(\.[A-Za-z0-9._]*)?")
_OWN_MANIFEST = re.compile(r"manifest-(\d{6,19}(?:-\d{1,9})?)\.json")


# ------------------------------------------------------------------ saving


def commit(
    folder: str | Path,
    step: int,
    files: Mapping[str, bytes],
    about: Mapping[str, JSON],
    keep_generations: int = 1,
    fs: FileSystem = DISK,
    kind: str = "model",
) -> Manifest:
    """Saves one generation: returns when it would survive a power cut, raises if it might not.

    `files` maps logical names (`weights.safetensors`) to bytes. With `keep_generations` 2 the generation before
    stays too, for `load(fallback=True)`. Generations of later steps, left by an abandoned future, are removed.
    Raises `StorageError`; the generation that was there before then still loads. Nothing is retried: the next
    save writes new files, under new names. Only one process at a time may save into a folder: see `Lock`.
    """
    folder = Path(folder)
    _require_committable(step, files)
    needed = sum(len(data) for data in files.values())
    try:
        if not folder.is_dir():
            fs.mkdir(folder)
        _sweep(folder, None, fs)
        tag = _fresh_tag(fs.names(folder), step)
        manifest = _manifest_of(kind, step, tag, files, about)
        text = _dump_manifest(manifest)
        needed += 2 * len(text)
        require_space(fs, folder, needed)
        contents = {folder / manifest.files[name].file: data for name, data in files.items()}
        if keep_generations > 1:
            contents[folder / f"manifest-{tag}.json"] = text
        contents[folder / _NEW_MANIFEST] = text
        _write_all(fs, contents)
        fs.sync_folder(folder)
        fs.replace(folder / _NEW_MANIFEST, folder / _MANIFEST)
        fs.sync_folder(folder)
        _sweep(folder, keep_generations, fs)
    except OSError as error:
        raise storage_error(error, folder, needed, fs) from error
    return manifest


def sweep(folder: str | Path, fs: FileSystem = DISK) -> None:
    """Removes the leavings of a writer that died; a folder that does not exist is clean.

    For the one who holds the `Lock`, before anything else is done. Only names of the form that `commit` gives are
    touched. Raises `StorageError`.
    """
    folder = Path(folder)
    try:
        if folder.is_dir():
            _sweep(folder, None, fs)
    except OSError as error:
        raise storage_error(error, folder, 0, fs) from error


def _sweep(folder: Path, keep: int | None, fs: FileSystem) -> None:
    """Removes what the newest `keep` committed generations (None: all of them) do not need.

    If the manifest cannot be read, nothing but temporary files goes: what is there may be all a fallback has.
    """
    names = fs.names(folder)
    doomed = [name for name in names if name.startswith(".tmp-")]
    try:
        current = _order(_read_manifest(folder, _MANIFEST).tag)
    except FolderError:
        current = None
    if current is not None or not (_MANIFEST in names or any(map(_OWN_MANIFEST.fullmatch, names))):
        needed = _needed_names(folder, names, current, keep)
        doomed += [name for name in names if _GENERATION_FILE.fullmatch(name) and name not in needed]
    for name in doomed:
        fs.unlink(folder / name)


def _needed_names(folder: Path, names: list[str], current: tuple[int, int] | None, keep: int | None) -> set[str]:
    """The files of the newest `keep` generations that are not newer than the `current` one."""
    if current is None:
        return set()
    needed = {record.file for record in _read_manifest(folder, _MANIFEST).files.values()}
    committed = [name for name in _own_manifests(names) if _order_of(name) <= current]
    # Of several of one step the last comes first: after a fallback, those before it may be the damaged ones.
    last = {_order_of(name)[0]: name for name in reversed(committed)}
    committed = sorted(committed, key=lambda name: last[_order_of(name)[0]] != name)
    for name in committed[:keep] if keep is None or keep > 1 else []:
        try:
            needed |= {name} | {record.file for record in _read_manifest(folder, name).files.values()}
        except FolderError:
            continue  # a damaged generation is of no use to a fallback
    return needed


def _write_all(fs: FileSystem, contents: Mapping[Path, bytes]) -> None:
    """Writes every file or none: when the disk refuses one, those before it would only fill it further."""
    begun: list[Path] = []
    try:
        for path, data in contents.items():
            begun.append(path)
            write_file(fs, path, data)
    except OSError:
        for path in begun:
            with contextlib.suppress(OSError):  # the first refusal is the one worth reporting; `sweep` comes by again
                fs.unlink(path)
        raise


def _require_committable(step: int, files: Mapping[str, bytes]) -> None:
    if step < 0 or not files:
        raise ValueError(f"cannot commit {len(files)} files at step {step}")
    for name in files:
        stem, dot, _ = name.partition(".")
        if (
            not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,99}", stem)
            or not dot
            or not _is_plain(name)
            or stem == "manifest"
        ):
            raise ValueError(f'"{name}" is no name for a file of a run: letters, digits and _, a dot, an extension')


def _fresh_tag(names: list[str], step: int) -> str:
    """The step with six digits at least; where files of that step are in use, a number after it."""
    taken = {match[1] for match in map(_GENERATION_FILE.fullmatch, names) if match}
    tag, serial = f"{step:06d}", 0
    while tag in taken:
        serial += 1
        tag = f"{step:06d}-{serial}"
    return tag


def _manifest_of(kind: str, step: int, tag: str, files: Mapping[str, bytes], about: Mapping[str, JSON]) -> Manifest:
    from importlib.metadata import version

    records = {}
    for name, data in files.items():
        stem, _, extension = name.partition(".")
        records[name] = FileRecord(f"{stem}-{tag}.{extension}", len(data), hashlib.sha256(data).hexdigest())
    return Manifest(kind, step, tag, f"seq2x {version('seq2x')}", records, about)


def _dump_manifest(manifest: Manifest) -> bytes:
    table: dict[str, JSON] = {
        "about": dict(manifest.about),
        "files": {name: dataclasses.asdict(record) for name, record in manifest.files.items()},
        "format": FORMAT,
        "kind": manifest.kind,
        "step": manifest.step,
        "tag": manifest.tag,
        "writer": manifest.writer,
    }
    text = dump_json(table | {"sha256": hashlib.sha256(dump_json(table)).hexdigest()})
    if len(text) > _LARGEST_MANIFEST:
        raise ValueError(f"a manifest of {len(text):,} bytes: large things belong into files")
    return text


# ------------------------------------------------------------------ loading


def is_run(folder: str | Path) -> bool:
    """Whether anything was ever committed here, be it damaged since: then `load` is to say what is there."""
    try:
        names = [entry.name for entry in Path(folder).iterdir()]
    except (OSError, ValueError):  # no such folder, a file, or no path at all
        return False
    return _MANIFEST in names or bool(_own_manifests(names))


def load(folder: str | Path, fallback: bool = False) -> Saved:
    """Everything in a folder, after all sizes and sha256 sums agreed; or a `FolderError`, and nothing was used.

    With `fallback`, a damaged newest generation gives way to the newest good one, and `Saved.warning` says so;
    that is for resuming a training of one's own, where losing a minute beats losing the run.
    """
    folder = Path(folder)
    try:
        return _load_current(folder)
    except FolderError as error:
        if not fallback or not folder.is_dir():
            raise
        problem = error
    for name in _own_manifests([entry.name for entry in folder.iterdir()]):
        try:
            saved = _load_generation(folder, _read_manifest(folder, name))
        except FolderError:
            continue
        return dataclasses.replace(saved, warning=f"{problem}; step {saved.step} is used instead")
    raise problem


def _load_current(folder: Path) -> Saved:
    """What `manifest.json` names; a writer may replace the generation while it is being read."""
    manifest = _read_manifest(folder, _MANIFEST)
    while True:
        try:
            return _load_generation(folder, manifest)
        except FolderError:
            newer = _read_manifest(folder, _MANIFEST)
            if newer == manifest:
                raise
            manifest = newer


def _load_generation(folder: Path, manifest: Manifest) -> Saved:
    contents = {}
    for name, record in manifest.files.items():
        data = _read_plain(folder, record.file, record.bytes)
        where = str(folder / record.file)
        if len(data) != record.bytes:
            raise FolderError(where, _describe(data), f"{record.bytes:,} bytes", "the file is damaged: copy it again")
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise FolderError(
                where, f"{_describe(data)} with another sha256", todo="the file is damaged: copy it again"
            )
        contents[name] = data
    return Saved(folder, manifest, contents)


def _read_manifest(folder: Path, name: str) -> Manifest:
    if not folder.is_dir():
        raise FolderError(str(folder), "a file" if folder.exists() else "no such folder", "a run folder")
    where = str(folder / name)
    data = _read_plain(folder, name, _LARGEST_MANIFEST)
    if len(data) > _LARGEST_MANIFEST:
        raise FolderError(where, "too long", f"at most {_LARGEST_MANIFEST:,} bytes")
    if kind := _foreign(data):
        raise FolderError(where, f"looks like {kind}, not a manifest")
    table = parse_json(data, where)
    if not isinstance(table, dict) or type(table.get("format")) is not int:
        raise FolderError(where, "not a manifest of seq2x")
    if table["format"] > FORMAT:
        writer = str(table.get("writer", "a later seq2x"))[:60]
        raise FolderError(where, f"format {table['format']}", f"at most {FORMAT}", f"needs {writer} or later")
    if table["format"] < 1 or table.keys() != _KEYS:
        raise FolderError(where, "not a manifest of seq2x")
    sealed = {key: value for key, value in table.items() if key != "sha256"}
    if table["sha256"] != hashlib.sha256(dump_json(sealed)).hexdigest() or dump_json(table) != data:
        raise FolderError(where, "does not agree with its own checksum", todo="it was damaged or edited: copy it again")
    return _parse_manifest(table, where)


def _parse_manifest(table: dict[str, JSON], where: str) -> Manifest:
    """A manifest whose checksum is right may still have been written by an enemy."""
    texts = all(isinstance(table[key], str) for key in ("kind", "tag", "writer"))
    if not texts or type(table["step"]) is not int or not isinstance(table["about"], dict):
        raise FolderError(where, "kind, step, tag, writer or about has the wrong type")
    if not _TAG.fullmatch(table["tag"]):
        raise FolderError(where, "a tag that is no step", "digits")
    if not isinstance(table["files"], dict) or not table["files"]:
        raise FolderError(where, "names no files")
    records = {name: _parse_record(name, entry, where) for name, entry in table["files"].items()}
    total = sum(record.bytes for record in records.values())
    if total > _memory():
        raise FolderError(
            where, f"{total:,} bytes of files", f"at most the {_memory():,} bytes of this machine's memory"
        )
    if len({record.file for record in records.values()}) < len(records):
        raise FolderError(where, "names one file twice")
    return Manifest(table["kind"], table["step"], table["tag"], table["writer"], records, table["about"])


def _parse_record(name: str, entry: JSON, where: str) -> FileRecord:
    if not isinstance(entry, dict) or entry.keys() != {"bytes", "file", "sha256"}:
        raise FolderError(where, f'"{name[:100]}" lacks file, bytes or sha256, or has more than these')
    file, size, digest = entry["file"], entry["bytes"], entry["sha256"]
    if type(size) is not int or size < 0 or not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise FolderError(where, f'"{name[:100]}" has no proper size or sha256')
    if not isinstance(file, str) or not _is_plain(file) or not _is_plain(name):
        raise FolderError(where, f'names the file "{str(file)[:100]}"', "a plain name inside the folder")
    return FileRecord(file, size, digest)


def _read_plain(folder: Path, name: str, size: int) -> bytes:
    """Up to `size` + 1 bytes of a regular file directly in the folder: no link is followed, no FIFO waited for."""
    path = folder / name
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        raise FolderError(str(path), "no such file", "a complete run folder") from None
    except OSError as error:
        found = "a link" if path.is_symlink() else f"cannot be read ({os.strerror(error.errno or 0)})"
        raise FolderError(str(path), found, "a plain file") from None
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(handle)
        found = "a hard link" if stat.S_ISREG(about.st_mode) else "not a regular file"
        raise FolderError(str(path), found, "a plain file", "copy the folder with cp -r")
    with os.fdopen(handle, "rb") as file:
        try:
            return file.read(min(size, about.st_size) + 1)
        except OSError as error:
            raise FolderError(str(path), f"cannot be read ({os.strerror(error.errno or 0)})") from None


def _describe(data: bytes) -> str:
    kind = _foreign(data)
    return f"looks like {kind}, not what was saved," if kind else f"{len(data):,} bytes"


def _foreign(data: bytes) -> str:
    """What downloads and careless copies leave in place of a file."""
    head = data[:200].lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if data.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "a pickle or an archive"
    return ""


def _memory() -> int:
    """Bytes of this machine: what claims to be larger cannot be loaded here."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return 1 << 40


# ------------------------------------------------------------------ names


def _is_plain(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and not _RESERVED.fullmatch(name) and not name.endswith(".")


def _order(tag: str) -> tuple[int, int]:
    """Generations are ordered by step, never by time: clocks jump."""
    match = _TAG.fullmatch(tag)
    assert match is not None  # `_parse_manifest` and the patterns of names have seen to it
    return int(match[1]), int(match[2] or 0)


def _order_of(name: str) -> tuple[int, int]:
    return _order(name.removeprefix("manifest-").removesuffix(".json"))


def _own_manifests(names: list[str]) -> list[str]:
    """The manifests that generations keep for themselves, newest first."""
    return sorted(filter(_OWN_MANIFEST.fullmatch, names), key=_order_of, reverse=True)
