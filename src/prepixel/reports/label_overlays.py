"""Draw label maps over their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from prepixel.array_types import Bool, Float64, UInt8
from prepixel.reports.figure import COLORS, plain_text
from prepixel.reports.picture_grid import picture_grid

_OPACITY = 0.5
_MOST_NAMED = 12  # classes in a legend
_LEGEND_INCHES = 0.4
_PLAIN = "background"  # a class of this name is left as the photo is


@dataclass(frozen=True)
class LabeledPicture:
    """A picture and the labels of its pixels.

    Attributes:
        pixels: RGB.
        labels: of the pixels; a label without a class stands for none.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]


def plot_label_maps(
    pictures: Mapping[str, LabeledPicture],
    classes: Sequence[str],
    output: Path,
    *,
    columns: int = 4,
    width_inches: float = 16.0,
    title: str = "",
) -> None:
    """Draw label maps over pictures, side by side: each class in its color, outlined; the background stays bare.

    Args:
        pictures: by what is printed above each; "name" and "name " are two pictures of one name.
        classes: names, by label from 0; the most frequent of those that are seen are named below.
        output: the figure's file.
        columns: pictures in a row.
        width_inches: of the figure.
        title: printed above all.

    Raises:
        ValueError: there is no picture.
    """
    grid = picture_grid(
        pictures, output, columns=columns, width_inches=width_inches, title=title, legend_inches=_LEGEND_INCHES
    )
    with grid as (figure, cells):
        for axes, shown in cells:
            axes.imshow(_painted(shown, classes))
        named = [label for label in _frequent(pictures, len(classes)) if classes[label] != _PLAIN][:_MOST_NAMED]
        if named:
            patches = [Patch(color=_color(label, classes), label=plain_text(classes[label])) for label in named]
            figure.legend(handles=patches, loc="outside lower center", ncols=min(len(named), 6))


def _frequent(pictures: Mapping[str, LabeledPicture], num_classes: int) -> list[int]:
    """Return the labels that pictures have, the most frequent first."""
    counts = sum(np.bincount(shown.labels.ravel(), minlength=256) for shown in pictures.values())
    counts = np.asarray(counts)[:num_classes]
    return [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]


def _painted(shown: LabeledPicture, classes: Sequence[str]) -> Float64[np.ndarray, "h w 3"]:
    picture = shown.pixels.astype(np.float64) / 255
    for label, name in enumerate(classes):
        mask = shown.labels == label
        if name == _PLAIN or not mask.any():
            continue
        color = np.array(_color(label, classes))
        picture[mask] = (1 - _OPACITY) * picture[mask] + _OPACITY * color
        picture[_outline(mask)] = color
    return picture


def _outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a mask that have a neighbor outside it."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: Bool[np.ndarray, "h w"] = mask & ~inside
    return outline


def _color(label: int, classes: Sequence[str]) -> tuple[float, float, float]:
    """Return the color of a class: the house's first, then VOC's, whose bits are spread over R, G and B."""
    place = label - (_PLAIN in classes[:1])
    if 0 <= place < len(COLORS):
        return to_rgb(COLORS[place])
    bits = [(label >> (3 * row + channel)) & 1 for channel in range(3) for row in range(3)]
    return (
        sum(bit << (7 - row) for row, bit in enumerate(bits[0:3])) / 255,
        sum(bit << (7 - row) for row, bit in enumerate(bits[3:6])) / 255,
        sum(bit << (7 - row) for row, bit in enumerate(bits[6:9])) / 255,
    )
