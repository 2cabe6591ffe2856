"""Shards of packed images (docs/formats/packed-images.md), and the data set that reads any sample of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from prepixel.array_types import Int64
from prepixel.data.datasets.folder import FolderDataset, Sample, describe_dataset, labels_by_name
from prepixel.data.datasets.shard_cache import DEFAULT_BYTES, ShardCache, StoredSample
from prepixel.data.datasets.shard_index import (
    MANIFEST,
    Manifest,
    ShardRow,
    ShardSummary,
    encode_index,
    read_index,
    read_manifest,
    shard_name,
)
from prepixel.data.datasets.text_formats import read_class_names
from prepixel.data.read_ahead import MAX_GAP, map_requests, request_all
from prepixel.errors import DatasetError, MalformedPack
from prepixel.files import AtomicFile, json_bytes, replace_file
from prepixel.stores.client import read_object
from prepixel.stores.remote_path import AnyPath, RemotePath, to_path


class ShardWriter:
    """Write one shard and its index; use it as a context manager, so that nothing is left behind by an error.

    The bytes depend on what is added alone: members have no owner and no time.
    """

    def __init__(self, folder: AnyPath, number: int) -> None:
        self._folder, self._name = folder, shard_name(number)
        self._target = AtomicFile(folder / f"{self._name}.tar")
        self._archive = tarfile.open(fileobj=self._target.file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._rows: list[ShardRow] = []

    def add(self, row: ShardRow, image: bytes, ending: str, metadata: dict[str, Any]) -> None:
        """Add a sample, or a line alone for one that is skipped."""
        if row.kind == "skipped":
            self._rows.append(row)
            return
        offset = self._put(f"{row.key}.{ending}", image)
        self._put(f"{row.key}.json", json_bytes(metadata))
        crc32 = f"{zlib.crc32(image):08x}"
        placed = {"offset": offset, "size": len(image), "crc32": crc32}
        self._rows.append(ShardRow(**(row.__dict__ | placed)))

    def close(self) -> ShardSummary:
        """Finish the shard, write its index, and return what both hold; the disk has them then."""
        with self._target:
            self._archive.close()
            tar_bytes = self._target.file.tell()
        tar, index = self._folder / f"{self._name}.tar", encode_index(self._rows)
        replace_file(tar.with_suffix(".jsonl"), index)
        num_samples = sum(row.kind != "skipped" for row in self._rows)
        return ShardSummary(len(self._rows), num_samples, hashlib.sha256(index).hexdigest(), tar_bytes)

    def discard(self) -> None:
        """Leave nothing behind; safe on a full disk, and after `close`."""
        self._target.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._target.__exit__(kind, error, traceback)  # names the target where the disk is full
        self._target.discard()

    def _put(self, name: str, contents: bytes) -> int:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(contents), 0o644
        offset = self._target.file.tell() + tarfile.BLOCKSIZE
        self._archive.addfile(member, io.BytesIO(contents))
        return offset


@dataclass(frozen=True)
class _Samples(Sequence[Sample]):
    """The samples of a data set, made when they are asked for."""

    root: AnyPath
    endings: tuple[str, ...]
    table: Int64[np.ndarray, "n 6"]  # shard, offset, size, key, ending, label

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        shard, _, _, key, ending, label = self.table[index].tolist()
        return Sample(f"{self.root / shard_name(shard)}.tar/{key:08}.{self.endings[ending]}", label)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True, init=False)
class PackedDataset:
    """List the samples of a folder of shards as `FolderDataset` lists those of a folder of images.

    Any sample is read by itself. No file stays open between reads, so the data set may be sent to other processes.

    Attributes:
        root: the folder.
        classes: class names; a sample's label is an index into them.
        samples: every sample; its path names the shard and the member.
        cache: what was read from a store, on local disk, with counts of hits and misses; None without one.
    """

    root: AnyPath
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    _table: Int64[np.ndarray, "n 6"] = field(repr=False)
    _crcs: Int64[np.ndarray, " n"] = field(repr=False)
    cache: ShardCache | None = field(repr=False, compare=False)

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        class_names: Sequence[str] | str | os.PathLike[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        """Read the indices; no shard is opened.

        Args:
            root: the folder that `prepixel pack` wrote.
            class_names: as `FolderDataset` has it: labels follow it.
            cache: a local folder that keeps what is read from a store; other data sets and processes may share it.
            cache_bytes: of the cache at most, 16 GiB if not given.

        Raises:
            DatasetError: the folder holds no shards, some are missing or damaged, or a class is unknown; or a cache is
                asked for, and the folder is not in a store.
            OSError: the cache cannot be written.
        """
        folder = to_path(root)
        manifest = read_manifest(folder)
        if manifest is None:
            raise DatasetError(f"{folder}: holds no {MANIFEST}; name a folder that prepixel pack wrote")
        classes = manifest.classes
        names = read_class_names(class_names)
        labels = range(len(classes)) if names is None else labels_by_name(classes, names, str(folder))
        endings: dict[str, int] = {"ppx": 0}
        rows, crcs = [], []
        for number, row in _present(folder, manifest):
            ending = "ppx" if row.kind == "packed" else stored_ending(row.path)
            place = endings.setdefault(ending, len(endings))
            rows.append((number, row.offset, row.size, int(row.key), place, labels[row.label]))
            crcs.append(int(row.crc32, 16))
        if not rows:
            raise DatasetError(f"{folder}: its shards hold no sample")
        table = np.array(rows, dtype=np.int64).reshape(len(rows), 6)
        object.__setattr__(self, "root", folder)
        object.__setattr__(self, "classes", classes if names is None else names)
        object.__setattr__(self, "samples", _Samples(folder, tuple(endings), table))
        object.__setattr__(self, "_table", table)
        object.__setattr__(self, "_crcs", np.array(crcs, dtype=np.int64))
        object.__setattr__(self, "cache", _open_cache(folder, cache, cache_bytes))

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return describe_dataset("PackedDataset", len(self), self.root, f"Classes: {len(self.classes)}")

    def select(self, indices: Sequence[int]) -> PackedDataset:
        """Return the data set of some of the samples, in the order of the indices, with the same classes."""
        selected, table = object.__new__(PackedDataset), self._table[list(indices)]
        object.__setattr__(selected, "root", self.root)
        object.__setattr__(selected, "classes", self.classes)
        object.__setattr__(selected, "samples", replace(self.samples, table=table))  # type: ignore[type-var]
        object.__setattr__(selected, "_table", table)
        object.__setattr__(selected, "_crcs", self._crcs[list(indices)])
        object.__setattr__(selected, "cache", self.cache)
        return selected

    def num_per_class(self) -> tuple[int, ...]:
        """Count the samples of each class."""
        return tuple(np.bincount(self._table[:, 5], minlength=len(self.classes)).tolist())

    def names(self) -> list[str]:
        """Return each sample's path below the source that was packed, from the indices."""
        manifest = read_manifest(self.root)
        return [] if manifest is None else [row.path for _, row in _present(self.root, manifest)]

    def sources(self, indices: Sequence[int]) -> list[bytes]:
        """Read samples' bytes, each shard opened once; of a truncated shard, what is there."""
        if isinstance(self.root, RemotePath):
            return self._read_cached(self.root, indices)
        contents = [b""] * len(indices)
        shards = self._table[list(indices), 0].tolist()
        for shard in dict.fromkeys(shards):
            with (self.root / f"{shard_name(shard)}.tar").open("rb", buffering=0) as file:
                for place, index in enumerate(indices):
                    if shards[place] == shard:
                        _, offset, size = self._table[index, :3].tolist()
                        contents[place] = os.pread(file.fileno(), size, offset)
        return contents

    def _read_cached(self, root: RemotePath, indices: Sequence[int]) -> list[bytes]:
        """Read samples of shards in a store: those that the cache lacks from there, into the cache."""
        if self.cache is None:
            return self._read_ranges(root, indices)
        rows = zip(self._table[list(indices), :3].tolist(), self._crcs[list(indices)].tolist(), strict=True)
        samples = [StoredSample(shard, offset, size, crc) for (shard, offset, size), crc in rows]
        found = self.cache.read(samples)
        missing = [place for place, contents in enumerate(found) if contents is None]
        fetched = self._read_ranges(root, [indices[place] for place in missing])
        self.cache.keep([samples[place] for place in missing], fetched)
        read = dict(zip(missing, fetched, strict=True))
        return [read[place] if contents is None else contents for place, contents in enumerate(found)]

    def _read_ranges(self, root: RemotePath, indices: Sequence[int]) -> list[bytes]:
        """Read samples of shards in a store; neighbors in a shard are read by one request, all requests at once."""
        rows = self._table[list(indices), :3].tolist()
        reads = coalesce_ranges(rows)
        names = [root / f"{shard_name(shard)}.tar" for shard, _, _, _ in reads]

        def read(place: int) -> bytes:
            _, offset, size, _ = reads[place]
            return read_object(root.bucket, names[place].key, offset=offset, size=size)

        contents = [b""] * len(rows)
        for (_, begin, _, places), piece in zip(reads, request_all(read, range(len(reads))), strict=True):
            for place in places:
                _, offset, size = rows[place]
                contents[place] = piece[offset - begin : offset - begin + size]
        return contents

    def verify(self) -> None:
        """Read every sample, not from the cache, and compare it with its checksum.

        Raises:
            MalformedPack: a sample is not what was written.
        """
        root = self.root
        for index, sample in enumerate(self.samples):
            read = self._read_ranges(root, [index]) if isinstance(root, RemotePath) else self.sources([index])
            if zlib.crc32(read[0]) != self._crcs[index]:
                raise MalformedPack(
                    "its bytes are not those that were written", hint="Pack its shard again", source=sample.path
                )


def _open_cache(folder: AnyPath, cache: str | os.PathLike[str] | None, max_bytes: int) -> ShardCache | None:
    if cache is None:
        return None
    if not isinstance(folder, RemotePath):
        raise DatasetError(f"{folder}: is on this machine and needs no cache; leave it out, or name shards in a store")
    return ShardCache(Path(cache), str(folder), max_bytes)


def _present(folder: AnyPath, manifest: Manifest) -> Iterator[tuple[int, ShardRow]]:
    """Yield every sample that is there, with its shard's number."""
    indices = map_requests(lambda number: read_index(folder, manifest, number), range(manifest.num_shards), folder)
    with contextlib.closing(indices) as found:
        for number, rows in enumerate(found):
            yield from ((number, row) for row in rows if row.kind != "skipped")


def coalesce_ranges(rows: Sequence[Sequence[int]], gap: int = MAX_GAP) -> list[tuple[int, int, int, list[int]]]:
    """Join ranges of one shard that lie at most ``gap`` bytes apart.

    Args:
        rows: (shard, offset, size) of each sample.
        gap: bytes that are cheaper to read than a further request.

    Returns:
        (shard, offset, size, places of the samples in it) of each read.

    >>> coalesce_ranges([(0, 900, 100), (1, 0, 10), (0, 500, 300)], gap=100)
    [(0, 500, 500, [2, 0]), (1, 0, 10, [1])]
    """
    reads: list[tuple[int, int, int, list[int]]] = []
    for place in sorted(range(len(rows)), key=lambda place: tuple(rows[place])):
        shard, offset, size = rows[place]
        if reads and reads[-1][0] == shard and offset - (reads[-1][1] + reads[-1][2]) <= gap:
            _, begin, length, places = reads[-1]
            reads[-1] = (shard, begin, max(length, offset + size - begin), [*places, place])
        else:
            reads.append((shard, offset, size, [place]))
    return reads


def open_dataset(
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_bytes: int = DEFAULT_BYTES,
) -> FolderDataset | PackedDataset:
    """Open a folder of shards or a folder of images, whichever it is.

    Args:
        root: the folder.
        class_names: as both have it.
        cache: of shards in a store; see `PackedDataset`.
        cache_bytes: of the cache at most.

    Raises:
        DatasetError: as `PackedDataset` or `FolderDataset`; or a cache is asked for, and the folder is one of images.
    """
    if (to_path(root) / MANIFEST).is_file():
        return PackedDataset(root, class_names=class_names, cache=cache, cache_bytes=cache_bytes)
    if cache is not None:
        raise DatasetError(f"{root}: holds no shards, and only shards are cached; pack it, or leave the cache out")
    return FolderDataset(root, class_names=class_names)


def stored_ending(path: str) -> str:
    """Return the ending of a member that holds a file's own bytes; ``bin`` for one that is no plain word."""
    ending = Path(path).suffix.lower().lstrip(".")
    return ending if ending.isascii() and ending.isalnum() and len(ending) <= 8 else "bin"
