"""Shards of packed images: tar files that any tool opens, with an index for reading any sample by itself.

A folder of shards holds ``manifest.json``, ``classes.txt``, and for each shard ``shard-000000.tar`` and
``shard-000000.jsonl``; docs/formats/packed-images.md describes them.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, overload

import numpy as np

from prepixel.array_types import Int64
from prepixel.data.datasets.folder import FolderDataset, Sample, labels_by_name, read_class_names
from prepixel.errors import DatasetError, MalformedPack
from prepixel.files import AtomicFile, replace_file

MANIFEST, CLASSES = "manifest.json", "classes.txt"
FORMAT, VERSION = "prepixel shards", 1

Kind = Literal["packed", "stored", "skipped"]


def shard_name(number: int) -> str:
    """Name a shard, without its ending."""
    return f"shard-{number:06}"


@dataclass(frozen=True)
class ShardRow:
    """Hold one line of a shard's index.

    Attributes:
        key: of the sample's members: its number among all samples, eight digits.
        kind: ``packed``; ``stored``: the file's own bytes; ``skipped``: not there.
        path: the file's, below its source.
        label: index into the classes.
        before: the file's bytes.
        offset: where in the tar the image begins.
        size: its bytes.
        crc32: of these, in hexadecimal.
        error: where the file is damaged, the kind of its error.
        message: the error's text.
    """

    key: str
    kind: Kind
    path: str
    label: int
    before: int
    offset: int = 0
    size: int = 0
    crc32: str = ""
    error: str = ""
    message: str = ""


class ShardWriter:
    """Write one shard under a temporary name; it gets its own when it is closed whole, and its index after it.

    The bytes depend on what is added alone: members have no owner and no time.
    """

    def __init__(self, folder: Path, number: int) -> None:
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
        self._put(f"{row.key}.json", json.dumps(metadata, ensure_ascii=False).encode())
        crc32 = f"{zlib.crc32(image):08x}"
        placed = {"offset": offset, "size": len(image), "crc32": crc32}
        self._rows.append(ShardRow(**(row.__dict__ | placed)))

    def close(self) -> None:
        """Finish the shard: from now on it counts."""
        with self._target:
            self._archive.close()
        lines = "".join(json.dumps(row.__dict__, ensure_ascii=False) + "\n" for row in self._rows)
        replace_file(self._folder / f"{self._name}.jsonl", lines.encode())

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:  # a disk that is full, too: nothing is left behind
            self._target.__exit__(kind, error, traceback)

    def _put(self, name: str, contents: bytes) -> int:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(contents), 0o644
        offset = self._target.file.tell() + tarfile.BLOCKSIZE
        self._archive.addfile(member, io.BytesIO(contents))
        return offset


def read_index(folder: Path, number: int) -> list[ShardRow] | None:
    """Read a shard's index; None where the shard is not finished."""
    path = folder / f"{shard_name(number)}.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        size = (folder / f"{shard_name(number)}.tar").stat().st_size
        rows = [ShardRow(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path}: cannot be understood ({error}); remove it and its tar, and pack again") from error
    if any(row.offset + row.size > size for row in rows):
        raise DatasetError(f"{path.with_suffix('.tar')}: is shorter than its index says; remove both, and pack again")
    return rows


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read a folder's manifest; None where it has none.

    Raises:
        DatasetError: it cannot be understood.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["version"] != VERSION:
            raise ValueError(f"format {manifest['format']!r}, version {manifest['version']!r}")
        for part in manifest["parts"]:
            for key in ("listing", "num_samples", "first_shard", "num_shards"):
                part[key]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is no manifest of shards that this version reads ({error})") from error
    return dict(manifest)


@dataclass(frozen=True)
class _Samples(Sequence[Sample]):
    """The samples of a data set, made when they are asked for."""

    root: Path
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
    """Hold the samples of a folder of shards, with what `FolderDataset` tells of a folder of images.

    Any sample is read by itself. No file stays open between reads, so the data set may be sent to other processes.

    Attributes:
        root: the folder.
        classes: class names; a sample's label is an index into them.
        samples: every sample; its path names the shard and the member.
    """

    root: Path
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    _table: Int64[np.ndarray, "n 6"] = field(repr=False)
    _crcs: Int64[np.ndarray, " n"] = field(repr=False)

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        class_names: Sequence[str] | str | os.PathLike[str] | None = None,
    ) -> None:
        """Read the indices; no shard is opened.

        Args:
            root: the folder that `prepixel pack` wrote.
            class_names: as `FolderDataset` has it: labels follow it.

        Raises:
            DatasetError: the folder holds no shards, some are missing, or a class is unknown.
        """
        folder = Path(root)
        manifest = read_manifest(folder)
        if manifest is None:
            raise DatasetError(f"{folder}: holds no {MANIFEST}; name a folder that prepixel pack wrote")
        classes = read_class_names(folder / CLASSES) or ()
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

    def __len__(self) -> int:
        return len(self.samples)

    def num_per_class(self) -> tuple[int, ...]:
        """Count the samples of each class."""
        return tuple(np.bincount(self._table[:, 5], minlength=len(self.classes)).tolist())

    def names(self) -> list[str]:
        """Give each sample's path below the source that was packed, from the indices."""
        manifest = read_manifest(self.root)
        return [] if manifest is None else [row.path for _, row in _present(self.root, manifest)]

    def sources(self, indices: Sequence[int]) -> list[bytes]:
        """Read samples' bytes, each shard opened once; of a shard that is cut, what is there."""
        contents = [b""] * len(indices)
        shards = self._table[list(indices), 0].tolist()
        for shard in dict.fromkeys(shards):
            with (self.root / f"{shard_name(shard)}.tar").open("rb", buffering=0) as file:
                for place, index in enumerate(indices):
                    if shards[place] == shard:
                        _, offset, size = self._table[index, :3].tolist()
                        contents[place] = os.pread(file.fileno(), size, offset)
        return contents

    def verify(self) -> None:
        """Read everything and hold it against the index's checksums.

        Raises:
            MalformedPack: a sample is not what was written.
        """
        for index, sample in enumerate(self.samples):
            if zlib.crc32(self.sources([index])[0]) != self._crcs[index]:
                raise MalformedPack(
                    "its bytes are not those that were written", hint="Pack its shard anew", source=sample.path
                )


def _present(folder: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[int, ShardRow]]:
    """Yield every sample that is there, with its shard's number."""
    parts = [(part["first_shard"], part["num_shards"]) for part in manifest["parts"]]
    numbers = [number for first, count in parts for number in range(first, first + count)]
    for number in numbers:
        index = read_index(folder, number)
        if index is None:
            raise DatasetError(
                f"{folder}: {shard_name(number)}, one of {len(numbers)}, is missing; "
                "let prepixel pack come to its end, by the command that began it"
            )
        yield from ((number, row) for row in index if row.kind != "skipped")


def open_dataset(
    root: str | os.PathLike[str], *, class_names: Sequence[str] | str | os.PathLike[str] | None = None
) -> FolderDataset | PackedDataset:
    """Open a folder of shards or a folder of images, whichever it is.

    Raises:
        DatasetError: as `PackedDataset` or `FolderDataset`.
    """
    if (Path(root) / MANIFEST).is_file():
        return PackedDataset(root, class_names=class_names)
    return FolderDataset(root, class_names=class_names)


def stored_ending(path: str) -> str:
    """Give the ending of a member that holds a file's own bytes."""
    return Path(path).suffix.lower().lstrip(".") or "bin"
