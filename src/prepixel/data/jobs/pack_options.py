"""What is asked of packing, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from prepixel.data.jobs.job_report import JobReport
from prepixel.jpeg import Limits, pack_jpeg
from prepixel.jpeg.decode import Kept
from prepixel.jpeg.packed import ALL_BANDS, Compression
from prepixel.spectrum import BandSet

OnError: TypeAlias = Literal["store", "skip", "stop"]


@dataclass(frozen=True)
class PackOptions:
    """State how a folder of shards is packed.

    Attributes:
        bands: the frequencies to keep; None for all.
        compression: of each packed image.
        level: of zstd.
        shard_size: samples of a shard, the last of a part may have fewer.
        on_error: what is done with images that have no YCbCr coefficients or cannot be read: ``"store"`` stores the
            former as the files they are and leaves out the latter, ``"skip"`` leaves out both (they are listed), and
            at ``"stop"`` the first of them ends the run.
    """

    bands: BandSet | None
    compression: Compression = "zstd"
    level: int = 1
    shard_size: int = 1000
    on_error: OnError = "store"

    @property
    def kept(self) -> Kept:
        """Return the frequencies of each component, as natural indices."""
        if self.bands is None:
            return ALL_BANDS
        return self.bands.of_component(0), self.bands.of_component(1), self.bands.of_component(2)

    def pack(self, contents: bytes, limits: Limits) -> bytes:
        """Pack one image's file."""
        return pack_jpeg(contents, self.kept, compression=self.compression, level=self.level, limits=limits)

    def to_manifest(self) -> dict[str, Any]:
        """Return what decides the shards' bytes, for the manifest."""
        return {
            "bands": "all" if self.bands is None else self.bands.name,
            "frequencies": [sorted(indices) for indices in self.kept],
            "compression": self.compression,
            "level": self.level if self.compression == "zstd" else 0,
            "shard_size": self.shard_size,
            "on_error": self.on_error,
        }


@dataclass(frozen=True, kw_only=True)
class PackReport(JobReport):
    """Report what became of a source.

    Attributes:
        num_samples: images of the source.
        num_packed: packed, by this run or an earlier one.
        num_stored: stored as they are.
        num_shards: shards of this source.
        bytes_on_disk: of the shards; the bytes of images are without the tar's headers.
    """

    num_samples: int
    num_packed: int
    num_stored: int
    num_shards: int
    bytes_on_disk: int

    @property
    def num_images(self) -> int:
        """Return the number of samples."""
        return self.num_samples
