"""The one writer of files: atomic, durable, right on a full disk; and the lock of a folder."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.power_cut import SyncedDisk

from prepixel import files
from prepixel.engine.checkpoint import write_checkpoint
from prepixel.errors import FolderInUse
from prepixel.files import AtomicFile, json_bytes, publish_files, replace_file, write_json, write_text
from prepixel.folder_lock import directory_lock

ROOT = Path(__file__).resolve().parent.parent


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- whole or not at all -----------------------------------------------------------------------------------------------


def test_bytes_text_json_and_streams_come_back(tmp_path: Path) -> None:
    replace_file(tmp_path / "bytes", b"\x00\xff\n\r\n")
    write_text(tmp_path / "text", "a\r\nb\u2028\n")
    write_json(tmp_path / "json", {"é": [1, None]})
    with AtomicFile(tmp_path / "stream") as target:
        target.file.write(b"one ")
        assert names(tmp_path) == sorted([*("bytes", "json", "text"), *(n for n in names(tmp_path) if n[0] == ".")])
        target.file.write(b"two")
    assert names(tmp_path) == ["bytes", "json", "stream", "text"]
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff\n\r\n"
    assert (tmp_path / "text").read_bytes() == "a\r\nb\u2028\n".encode()
    assert (tmp_path / "json").read_bytes() == '{\n "é": [\n  1,\n  null\n ]\n}\n'.encode()
    assert (tmp_path / "stream").read_bytes() == b"one two"


@pytest.mark.parametrize("length", [1, 200, 243, 247, 255])
def test_the_temporary_name_does_not_grow_with_the_name(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(files.temporary_name(path).name) == len(files.temporary_name(Path("a")).name) < 32


def test_a_name_that_is_too_long_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 256)
    with pytest.raises(OSError, match="File name too long; give it a shorter name") as refused:
        replace_file(path, b"new")
    assert refused.value.filename == str(path)
    assert names(tmp_path) == []


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"old")
    with pytest.raises(KeyboardInterrupt), AtomicFile(tmp_path / "a") as target:  # noqa: PT012
        target.file.write(b"half")
        raise KeyboardInterrupt
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_a_device_is_written_and_not_replaced(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from prepixel.files import replace_file; replace_file('/dev/stdout', b'answer')"],
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"answer", b"")
    assert Path("/dev/stdout").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_file(tmp_path / "pipe", b"answer")
    assert os.read(reader, 100) == b"answer"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        replace_file(tmp_path / "none" / "a", b"")
    assert missing.value.filename == str(tmp_path / "none" / "a")


@given(st.recursive(st.text(st.characters(codec=None), max_size=9), lambda inner: st.lists(inner, max_size=3)))
def test_json_holds_any_string(value: Any) -> None:
    import json

    encoded = json_bytes(value)
    assert json.loads(encoded) == value
    assert b"\n" not in encoded


# -- full disks --------------------------------------------------------------------------------------------------------


def write_half(path: Path) -> None:
    with AtomicFile(path) as target:
        for _ in range(300):
            target.file.write(bytes(1000))


WRITERS = {
    "replace_file": lambda path: replace_file(path, bytes(300_000)),
    "stream": write_half,
    "checkpoint": lambda path: write_checkpoint(path, {"weights": torch.zeros(75_000)}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_said_and_nothing_is_left(full_disk: Path, name: str) -> None:
    path = full_disk / "target"
    replace_file(path, b"old")
    with pytest.raises(OSError, match="No space left on device; free some space, or name a target on another") as full:
        WRITERS[name](path)
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(path))
    assert (names(full_disk), path.read_bytes()) == (["target"], b"old")


def test_a_disk_that_is_full_when_files_are_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for name in "ab":
        with AtomicFile(tmp_path / name, publish=False) as target:
            target.file.write(b"new")
        written.append(target)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device; free") as full:
        publish_files(written)
    assert (full.value.filename, names(tmp_path)) == (str(tmp_path / "a"), [])


# -- power cuts --------------------------------------------------------------------------------------------------------


def test_what_is_written_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    disk = SyncedDisk(root, monkeypatch)
    seen = []

    def look() -> None:
        disk.write_survivors(tmp_path / f"cut{disk.num_syncs}")
        seen.append((tmp_path / f"cut{disk.num_syncs}" / "a").read_bytes())

    disk.after_sync = look
    replace_file(root / "a", b"new")
    assert seen == [b"old", b"new"]
    with AtomicFile(root / "b", publish=False) as target:
        target.file.write(b"b")
    files.make_folder(root / "deep" / "er")
    replace_file(root / "deep" / "er" / "c", b"c")
    publish_files([target])
    disk.write_survivors(tmp_path / "end")
    found = {str(p.relative_to(tmp_path / "end")): p.read_bytes() for p in (tmp_path / "end").rglob("*") if p.is_file()}
    assert found == {"a": b"new", "b": b"b", "deep/er/c": b"c"}
    disk.close()


def test_folders_that_cannot_be_synced_are_carried_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    replace_file(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"new")


def test_a_disk_that_fails_is_not_carried_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error") as broken:
        replace_file(tmp_path / "a", b"new")
    assert broken.value.filename == str(tmp_path / "a")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


# -- the only writer ---------------------------------------------------------------------------------------------------


def test_no_other_file_of_the_library_renames_or_opens_to_write() -> None:
    """Find ways around `AtomicFile`; journals and records are opened with "a", and buffers are memory."""
    pattern = re.compile(
        r"os\.(replace|rename)|\.rename\(|\.replace\((self\.)?_?(path|target)|write_bytes\(|\.write_text\("
        r"|open\((\w+, )?[\"'][wx]b?[\"']|savefig\((?!target\.file)|torch\.save\((?!.*(target\.file|buffer))"
    )
    known = {
        "data/datasets/synthetic.py": 2,  # files of a folder that is itself renamed once, synced
        "bench/throughput.py": 1,  # into a temporary folder
        "export/quantization.py": 1,  # likewise
    }
    found = {}
    for path in (ROOT / "src" / "prepixel").rglob("*.py"):
        name = path.relative_to(ROOT / "src" / "prepixel").as_posix()
        hits = [line for line in path.read_text(encoding="utf-8").split("\n") if pattern.search(line)]
        if hits and name != "files.py":
            found[name] = hits
    assert {name: len(hits) for name, hits in found.items()} == known, found


# -- locks -------------------------------------------------------------------------------------------------------------


def test_a_folder_is_locked_and_given_free(tmp_path: Path) -> None:
    with directory_lock(tmp_path, "packing into"):
        with pytest.raises(FolderInUse) as taken, directory_lock(tmp_path, "training into", name="run"):
            pass
        assert str(taken.value) == "run: another process is training into it; wait until it ends, or end it"
    with directory_lock(tmp_path, "packing into"):
        pass
    assert names(tmp_path) == [".prepixel-lock"]


HOLD = """
import sys, time
from prepixel.folder_lock import (directory_lock)
with directory_lock(sys.argv[1], "packing into"):
    print("locked", flush=True)
    time.sleep(600)
"""
REFUSE = """
import errno, fcntl
def refuse(*_): raise OSError(errno.ENOTSUP, "Operation not supported")
fcntl.flock = refuse
"""


@pytest.mark.parametrize("flock", [True, False])
def test_the_lock_of_a_process_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flock: bool) -> None:
    """Without `flock`, as on some network file systems, a file that names its process stands in for it."""
    if not flock:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOTSUP, "Operation not supported")

        monkeypatch.setattr("fcntl.flock", refuse)
    code = HOLD if flock else REFUSE + HOLD
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(FolderInUse), directory_lock(tmp_path, "packing into"):
            pass
        holder.kill()
        holder.wait()
    with directory_lock(tmp_path, "packing into"):
        pass


def test_a_folder_that_cannot_hold_a_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing, directory_lock(tmp_path / "none", "packing into"):
        pass
    assert "none" in str(missing.value.filename)
