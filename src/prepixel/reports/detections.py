"""Draw objects on their photos: boxes, masks, names and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from prepixel.array_types import Bool, Float, UInt8
from prepixel.reports.figure import COLORS, plain_text
from prepixel.reports.picture_grid import picture_grid


@dataclass(frozen=True)
class Shown:
    """A picture and the objects drawn on it.

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
    with picture_grid(pictures, output, columns=columns, width_inches=width_inches, title=title) as (figure, cells):
        drawn = [(axes, _draw(axes, shown), shown.boxes) for axes, shown in cells]
        figure.draw_without_rendering()  # lays the pictures out, on which the labels' places depend
        figure.set_layout_engine("none")
        for axes, labels, boxes in drawn:
            _separate(axes, labels, boxes)


def _draw(axes: Axes, shown: Shown) -> list[Annotation]:
    """Draw one picture, and return its labels, best first."""
    picture = shown.pixels.astype(np.float64) / 255
    for index, mask in enumerate(shown.masks):
        color = np.array(to_rgb(COLORS[index % len(COLORS)]))
        picture[mask] = 0.5 * picture[mask] + 0.5 * color
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0))  # edges of pixels at whole numbers, as boxes have them
    labels = []
    for index, ((left, top, right, bottom), name) in enumerate(zip(shown.boxes, shown.names, strict=True)):
        color_name = COLORS[index % len(COLORS)]
        for line, line_color in ((3.0, "white"), (1.6, color_name)):  # seen on any photo
            axes.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=line_color, linewidth=line)
            )
        label = axes.annotate(
            plain_text(name, longest=40), (left, top), fontsize=8, color="white", va="bottom", ha="left",
            bbox={"facecolor": color_name, "edgecolor": "none", "pad": 1, "alpha": 0.9}, annotation_clip=False,
        )  # fmt: skip
        label.set_in_layout(False)  # it is moved into the picture below
        labels.append(label)
    return labels


def _separate(axes: Axes, labels: Sequence[Annotation], boxes: Float[np.ndarray, "k 4"]) -> None:
    """Move labels within their picture so that they do not overlap, where there is room; the first stay in place."""
    picture = axes.get_window_extent()
    taken: list[Float[np.ndarray, " 4"]] = []
    for label, (left, top, right, bottom) in zip(labels, boxes, strict=True):
        extent = label.get_window_extent()
        width, height = extent.width + 4, extent.height + 4
        (x0, y1), (x1, y0) = axes.transData.transform([(left, top), (right, bottom)])
        steps = [height * step for step in range(1, 1 + int(picture.height / height))]
        corners = [
            (x0, y1),
            (x0, y1 - height),
            (x1 - width, y1),
            (x1 - width, y1 - height),
            (x0, y0),
            (x0, y0 - height),
        ]
        corners += [(x, y1 + sign * step) for step in steps for sign in (-1, 1) for x in (x0, x1 - width)]
        places = np.array(corners)
        places = np.maximum(np.minimum(places, [picture.x1 - width, picture.y1 - height]), [picture.x0, picture.y0])
        places = np.hstack([places, places + np.array([width, height])])
        shared = _shared_area(places, np.array(taken).reshape(-1, 4)).sum(axis=1)
        place = places[int(shared.argmin())]  # the first of the best
        taken.append(place)
        label.set_position(tuple(axes.transData.inverted().transform((place[0] + 2, place[1] + 2))))


def _shared_area(places: Float[np.ndarray, "p 4"], taken: Float[np.ndarray, "t 4"]) -> Float[np.ndarray, "p t"]:
    """Return the area that each of some boxes (x0, y0, x1, y1) shares with each of others."""
    low = np.maximum(places[:, None, :2], taken[None, :, :2])
    high = np.minimum(places[:, None, 2:], taken[None, :, 2:])
    shared: Float[np.ndarray, "p t"] = np.clip(high - low, 0, None).prod(axis=2)
    return shared
