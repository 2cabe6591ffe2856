"""A model of a disk on which only what was synced survives a power cut."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest


class SyncedDisk:
    """Follow `os.fsync` below a folder, and keep what a power cut would leave of it.

    A file's bytes are those of its last sync, none where there was no sync. A folder's names are those of its last
    sync. The folder itself, and what was in it at the beginning, is on the disk.

    Attributes:
        num_syncs: calls of `os.fsync` below the folder so far.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.num_syncs = root, 0
        self.after_sync: Callable[[], None] = lambda: None
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._lock, self._fsync = threading.RLock(), os.fsync
        self._kept: list[int] = []  # open descriptors, so that no inode number is used again
        for folder, _, files in os.walk(root):
            self._note_folder(Path(folder))
            for name in files:
                path = Path(folder, name)
                self._contents[path.stat().st_ino] = path.read_bytes()
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        with self._lock:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if not path.is_relative_to(self.root):
                return
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                self._note_folder(path)
            else:
                self._kept.append(os.dup(descriptor))
                self._contents[status.st_ino] = path.read_bytes()
            self.num_syncs += 1
            self.after_sync()

    def _note_folder(self, path: Path) -> None:
        self._kept.append(os.open(path, os.O_RDONLY))
        entries = {}
        with os.scandir(path) as found:
            for entry in found:
                entries[entry.name] = (entry.inode(), entry.is_dir())
                if entry.is_file():
                    self._kept.append(os.open(entry.path, os.O_RDONLY))
        self._names[path.stat().st_ino] = entries

    def write_survivors(self, target: Path) -> None:
        """Write what a power cut at this moment would leave."""
        self._write_folder(self.root.stat().st_ino, target)

    def _write_folder(self, inode: int, target: Path) -> None:
        target.mkdir()
        for name, (child, is_folder) in self._names.get(inode, {}).items():
            if is_folder:
                self._write_folder(child, target / name)
            else:
                (target / name).write_bytes(self._contents.get(child, b""))

    def close(self) -> None:
        """Close what was kept open."""
        for descriptor in self._kept:
            os.close(descriptor)
