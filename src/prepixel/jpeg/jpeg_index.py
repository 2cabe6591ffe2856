"""The index of a JPEG: where its scans can be entered, so that a region is decoded without what lies before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prepixel import _native


class IndexWarning(UserWarning):
    """Warn that indexes are damaged or not of their files, which were read without them."""


@dataclass(frozen=True)
class JpegIndex:
    """An index of one JPEG file, as `index_jpeg` makes it; docs/formats/jpeg-index.md describes its bytes.

    Attributes:
        data: its bytes, to be stored beside the file or wherever one likes; ``JpegIndex(data)`` reads them back.

    Raises:
        MalformedIndex: the bytes are no index, or are damaged.
    """

    data: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", bytes(self.data))
        _ = self._fields

    def __repr__(self) -> str:
        where = ", embedded" if self.is_embedded else ""
        size = f"{len(self.data):,} bytes, {self.num_checkpoints:,} checkpoints"
        return f"JpegIndex({size} of a file of {self.file_size:,} bytes{where})"

    @cached_property
    def _fields(self) -> Any:
        return _native.check_index(self.data)

    @property
    def file_size(self) -> int:
        """Return the size of the indexed file in bytes."""
        return int(self._fields["file_size"])

    @property
    def every(self) -> int:
        """Return how many MCUs lie between two checkpoints of a row; 0: there is one checkpoint for each row."""
        return int(self._fields["every"])

    @property
    def is_embedded(self) -> bool:
        """Return whether it is the index of a file that holds it."""
        return bool(self._fields["checked_begin"])

    @property
    def num_scans(self) -> int:
        """Return the number of scans."""
        return len(self._fields["scans"])

    @property
    def num_checkpoints(self) -> int:
        """Return the number of places at which decoding can begin; of a progressive file, of scans."""
        return sum(max(1, count - 1) for _, _, count in self._fields["scans"])
