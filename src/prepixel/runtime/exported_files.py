"""The files of an exported network, read and compared with what its manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prepixel.errors import ModelError, describe_error
from prepixel.files import read_regular_file
from prepixel.runtime.manifest import LABELS, LARGEST_FILE, MANIFEST, FileSum, Manifest
from prepixel.spectrum import strict_json


@dataclass(frozen=True)
class ExportedFiles:
    """Store an exported network's files, read and compared with their checksums.

    Attributes:
        folder: where they are.
        manifest: of the network.
        contents: of every other file, by name.
        labels: class names, in label order.
    """

    folder: Path
    manifest: Manifest
    contents: Mapping[str, bytes]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> ExportedFiles:
        """Read all files of an exported network.

        Raises:
            ModelError: a file is missing, or differs from what was written; the message names it.
        """
        manifest = Manifest.read(folder)
        contents = {name: _read_file(folder / name, expected) for name, expected in manifest.files.items()}
        if LABELS not in contents:
            raise ModelError(f"{folder / MANIFEST}: names no {LABELS}, the class names; export the network again")
        try:
            labels = _read_labels(contents[LABELS], manifest.num_classes)
        except ValueError as error:
            raise ModelError(f"{folder / LABELS}: {error}; export the network again") from error
        return cls(folder, manifest, contents, labels)


def _read_file(path: Path, expected: FileSum) -> bytes:
    try:
        contents = read_regular_file(path, LARGEST_FILE)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: is missing, and {MANIFEST} names it; copy the folder as a whole, or export the network again"
        ) from error
    except OSError as error:
        raise ModelError(describe_error(error, str(path))) from error
    if FileSum.of(contents) != expected:
        raise ModelError(
            f"{path}: is not the file that was exported: {len(contents)} bytes whose checksum is not that of "
            f"{MANIFEST} ({expected.size_bytes} bytes); copy the folder again, or export the network again"
        )
    return contents


def _read_labels(contents: bytes, num_classes: int) -> tuple[str, ...]:
    names = strict_json.parse_value(contents)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("is no list of texts")
    if len(names) != num_classes:
        raise ValueError(f"has {len(names)} class names, and the network {num_classes} classes")
    return tuple(names)
