"""A bounded cache, on local disk, of samples of shards that lie in a store.

Each shard has a file of its own, with holes where nothing was read: a sample lies at its offset. Nothing says which
samples are there; a sample is taken where its checksum is that of the shard's index, which holes, old contents and
writes that were cut short do not have. So processes that share the folder need no lock, and none can harm another.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from prepixel.data.datasets.shard_index import shard_name
from prepixel.errors import DatasetError
from prepixel.files import make_folder

DEFAULT_BYTES = 16 << 30
_LEAST_BYTES = 1 << 20
_FOLDER, _FILE = re.compile("[0-9a-f]{16}"), re.compile(r"shard-\d{6,}\.tar")
_MARGIN = 16  # this part of the bound is left to what processes write between two looks at the folder
_SLACK = 256  # which is this part for each: 16 processes stay within the bound
_BLOCK = 4096  # bytes that a file system gives out
_RETRY = 256  # samples that are not kept between two looks whether there is room again
_CLOCK_NS = 10**9  # file systems stamp files by coarser clocks
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", -1)}
_LOCK = threading.Lock()
_LOG = logging.getLogger(__name__)


class StoredSample(NamedTuple):
    """Locate a sample.

    Attributes:
        shard: its number.
        offset: where in the shard it begins.
        size: bytes.
        crc32: of these.
    """

    shard: int
    offset: int
    size: int
    crc32: int


@dataclass
class ShardCache:
    """Keep samples of the shards of one folder in a store.

    Files that were used before this object was made are removed, the oldest first, where room is needed, whatever
    data set they are of. What was used since stays, and samples that find no room are not kept: an epoch uses every
    sample once, so what stays is found again in each, and a cache that gave way to the newest would find little.

    Attributes:
        folder: of the cache; any number of data sets and processes may share it.
        root: the URL of the folder of shards.
        max_bytes: of all its files.
        hits: samples that were found, by this process.
        misses: samples that were not.
    """

    folder: Path
    root: str
    max_bytes: int = DEFAULT_BYTES
    hits: int = 0
    misses: int = 0
    _opened_ns: int = field(default_factory=lambda: time.time_ns() - _CLOCK_NS, repr=False)
    _room: int = field(default=0, repr=False)  # bytes that may be written before the folder is looked at again
    _skip: int = field(default=0, repr=False)  # samples that are not kept until then
    _warned: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Make the folder, and count the files of this data set as used.

        Raises:
            DatasetError: the bound is below 1 MiB.
            OSError: the folder cannot be made or written.
        """
        if self.max_bytes < _LEAST_BYTES:
            raise DatasetError(f"a cache of {self.max_bytes} bytes holds nothing; give it 1 MiB (1048576) or more")
        self._own = self.folder / hashlib.sha256(self.root.encode()).hexdigest()[:16]
        make_folder(self._own)
        for path in self._own.iterdir():
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)

    def read(self, samples: Sequence[StoredSample]) -> list[bytes | None]:
        """Return the contents of samples; None for those that are not there."""
        found: list[bytes | None] = [None] * len(samples)
        for shard in dict.fromkeys(sample.shard for sample in samples):
            path = self._path(shard)
            try:
                os.utime(path)
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                for place, sample in enumerate(samples):
                    if sample.shard == shard:
                        contents = os.pread(descriptor, sample.size, sample.offset)
                        found[place] = contents if _is_whole(sample, contents) else None
            finally:
                os.close(descriptor)
        num_hits = sum(contents is not None for contents in found)
        with _LOCK:
            self.hits += num_hits
            self.misses += len(found) - num_hits
        return found

    def keep(self, samples: Sequence[StoredSample], contents: Sequence[bytes]) -> None:
        """Write samples, as far as there is room; those that are not what was packed are left out."""
        whole = [(sample, held) for sample, held in zip(samples, contents, strict=True) if _is_whole(sample, held)]
        for shard in dict.fromkeys(sample.shard for sample, _ in whole):
            own = [(sample, held) for sample, held in whole if sample.shard == shard]
            if not self._take_room(sum(sample.size + 2 * _BLOCK for sample, _ in own), len(own)):
                continue
            try:
                self._write(shard, own)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._note_full_disk(error)

    def _write(self, shard: int, samples: Sequence[tuple[StoredSample, bytes]]) -> None:
        try:
            descriptor = os.open(self._path(shard), os.O_WRONLY | os.O_CREAT, 0o644)
        except FileNotFoundError:  # somebody removed the folder
            make_folder(self._own)
            descriptor = os.open(self._path(shard), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            for sample, contents in samples:
                os.pwrite(descriptor, contents, sample.offset)
        finally:
            os.close(descriptor)

    def _take_room(self, size: int, count: int) -> bool:
        """Return whether so many bytes may be written."""
        with _LOCK:
            if self._room < size and self._skip <= 0:
                self._room = self._make_room(size)
                self._skip = _RETRY if self._room < size else 0
            if self._room < size:
                self._skip -= count
                return False
            self._room -= size
            return True

    def _make_room(self, size: int) -> int:
        """Remove the oldest files, where that is needed, and return how many bytes may be written."""
        limit = self.max_bytes - self.max_bytes // _MARGIN
        files = []
        for path in self.folder.glob("*/shard-*.tar"):
            if _FOLDER.fullmatch(path.parent.name) and _FILE.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    used = status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size
                    files.append((status.st_mtime_ns, used, path))
        total = sum(used for _, used, _ in files)
        for used_ns, used, path in sorted(files):
            if total + size <= limit or used_ns >= self._opened_ns:
                break
            path.unlink(missing_ok=True)
            total -= used
        return min(limit - total, max(self.max_bytes // _SLACK, size))

    def _note_full_disk(self, error: OSError) -> None:
        with _LOCK:
            self._room, self._skip = 0, _RETRY
            first, self._warned = not self._warned, True
        if first:
            _LOG.warning("%s: %s; samples are not kept until there is room", self.folder, error.strerror)

    def _path(self, shard: int) -> Path:
        return self._own / f"{shard_name(shard)}.tar"


def _is_whole(sample: StoredSample, contents: bytes) -> bool:
    return len(contents) == sample.size and zlib.crc32(contents) == sample.crc32
