"""The value that leaves a file: quantized coefficients, their tables, and what the file says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from prepixel.array_types import Int16, UInt16

Color = Literal["gray", "ycbcr", "rgb", "cmyk", "ycck", "unknown"]
Process = Literal["baseline", "extended", "progressive"]
Origin = Literal["jpeg", "pixels"]


def upright(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Return height and width after EXIF orientation: orientations 5..8 exchange them."""
    return (width, height) if orientation >= 5 else (height, width)


class Region(NamedTuple):
    """A rectangle of an image in luma pixels, as stored: before orientation is applied."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Component:
    """One component's plane of quantized coefficients.

    Attributes:
        identifier: the component's id in the frame header, 0..255.
        sampling: vertical and horizontal sampling factor, each 1..4 (T.81 calls them V and H).
        height: true samples down; the padding that fills the last block is not counted.
        width: true samples across.
        quantized: coefficients as stored, ceil(height / 8) x ceil(width / 8) blocks in natural order (v, u).
        quantization: the table that was in force for this component, natural order; coefficients are
            ``quantized * quantization``.

    Source: ITU-T T.81, A.1.1 (dimensions), A.3.4 (quantization), B.2.2 (frame header).
    """

    identifier: int
    sampling: tuple[int, int]
    height: int
    width: int
    quantized: Int16[np.ndarray, "bh bw 8 8"]
    quantization: UInt16[np.ndarray, "8 8"]

    def __repr__(self) -> str:
        bh, bw = self.quantized.shape[:2]
        samples, sampling = f"{self.height} x {self.width} samples", f"sampling {self.sampling[0]} x {self.sampling[1]}"
        return f"Component({self.identifier}: {samples}, {sampling}, {bh} x {bw} blocks)"


@dataclass(frozen=True)
class JpegImage:
    """What a JPEG file says, decoded as far as its quantized coefficients and no further.

    Attributes:
        height: luma pixels down, as stored, before orientation is applied.
        width: luma pixels across, as stored.
        components: one to four planes, in the frame header's order.
        color: what the components mean; decided from Adobe's and JFIF's markers and the component ids, as
            libjpeg does. ``"unknown"``: two components, for which no convention exists.
        orientation: EXIF orientation, 1..8, by the rule of `read_header`; 1 where the file says none.
        process: the coding process of the frame header.
        precision: bits per sample; 8 here, others are refused.
        restart_interval: MCUs between restart markers; 0 for none.
        num_scans: scans read.
        missing_blocks: blocks that the file ended too early to hold, or lost to damage (they are zero); 0 under
            ``on_truncated="raise"``.
        origin: ``"pixels"`` where no coefficients of a JPEG existed and pixels were transformed instead
            (then every table is 1 and coefficients are rounded to integers, as in a quality-100 JPEG).
        region: the part of the file's image that this one is; None for all of it.
    """

    height: int
    width: int
    components: tuple[Component, ...]
    color: Color
    orientation: int = 1
    process: Process = "baseline"
    precision: int = 8
    restart_interval: int = 0
    num_scans: int = 1
    missing_blocks: int = 0
    origin: Origin = "jpeg"
    warnings: tuple[str, ...] = field(default=())
    region: Region | None = None

    def __repr__(self) -> str:
        kind = f"JPEG, {self.process}" if self.origin == "jpeg" else "of pixels"
        notes = [f"orientation {self.orientation}"] if self.orientation != 1 else []
        notes += [f"{self.missing_blocks} blocks missing"] if self.missing_blocks else []
        notes += [f"part {tuple(self.region)} of the file's"] if self.region is not None else []
        facts = ", ".join([f"{self.height} x {self.width}", self.color, kind, *notes])
        return f"JpegImage({facts}, components={list(self.components)})"

    @property
    def upright_size(self) -> tuple[int, int]:
        """Return height and width after orientation: orientations 5..8 exchange them."""
        return upright(self.height, self.width, self.orientation)

    @property
    def max_sampling(self) -> tuple[int, int]:
        """Return the largest vertical and horizontal sampling factor."""
        return max(c.sampling[0] for c in self.components), max(c.sampling[1] for c in self.components)
