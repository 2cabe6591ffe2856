"""Objects drawn on their photos: boxes, masks, names and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from prepixel.array_types import Bool, Float, UInt8
from prepixel.reports.figure import COLORS, figure_file


@dataclass(frozen=True)
class Shown:
    """Hold a picture and what is drawn on it.

    Attributes:
        pixels: RGB.
        boxes: x left, y top, x right, y bottom, in pixels of the picture.
        names: what is written at each box.
        masks: of each box, of the picture's size; none for boxes alone.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    boxes: Float[np.ndarray, "k 4"]
    names: Sequence[str]
    masks: Sequence[Bool[np.ndarray, "h w"]] = ()


def plot_detections(
    pictures: Mapping[str, Shown], output: Path, *, columns: int = 4, width_inches: float = 16.0, title: str = ""
) -> None:
    """Draw objects on pictures, side by side.

    Args:
        pictures: by what is printed above each; "name" and "name " are two pictures of one name.
        output: the figure's file.
        columns: pictures in a row.
        width_inches: of the figure.
        title: printed above all.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("nothing to draw: no picture is given")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    tallest = max(shown.pixels.shape[0] / shown.pixels.shape[1] for shown in pictures.values())
    height = width_inches / columns * min(tallest, 1.4) * rows + 0.5 * rows
    with figure_file(output, (width_inches, height)) as figure:
        for place, (name, shown) in enumerate(pictures.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_title(name.strip(), fontsize=9)
            axes.set_axis_off()
            _draw(axes, shown)
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")


def _draw(axes: Axes, shown: Shown) -> None:
    picture = shown.pixels.astype(np.float64) / 255
    for index, mask in enumerate(shown.masks):
        color = np.array(to_rgb(COLORS[index % len(COLORS)]))
        picture[mask] = 0.5 * picture[mask] + 0.5 * color
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0))  # edges of pixels at whole numbers, as boxes have them
    for index, ((left, top, right, bottom), name) in enumerate(zip(shown.boxes, shown.names, strict=True)):
        color_name = COLORS[index % len(COLORS)]
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=color_name, linewidth=1.3)
        )
        axes.text(
            left, top, name, fontsize=6.5, color="white", va="bottom",
            bbox={"facecolor": color_name, "edgecolor": "none", "pad": 1, "alpha": 0.85}, clip_on=True,
        )  # fmt: skip
