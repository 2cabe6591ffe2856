"""Pictures side by side, each under its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepixel.array_types import UInt8
from prepixel.reports.figure import figure_file, plain_text


@runtime_checkable
class Pictured(Protocol):
    """Have a picture."""

    @property
    def pixels(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return it in RGB."""


_Shown = TypeVar("_Shown", bound=Pictured)


@contextmanager
def picture_grid(
    pictures: Mapping[str, _Shown],
    output: Path,
    *,
    columns: int,
    width_inches: float,
    title: str,
    legend_inches: float = 0.0,
) -> Iterator[tuple[Figure, list[tuple[Axes, _Shown]]]]:
    """Yield a figure with axes for each picture, named and bare, and write it once it is drawn.

    Args:
        pictures: by what is printed above each; "name" and "name " are two pictures of one name.
        output: the figure's file.
        columns: pictures in a row.
        width_inches: of the figure.
        title: printed above all.
        legend_inches: height for a legend below.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("nothing to draw: no picture is given")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    tallest = max(shown.pixels.shape[0] / shown.pixels.shape[1] for shown in pictures.values())
    height = width_inches / columns * min(tallest, 1.4) * rows + 0.5 * rows + legend_inches
    with figure_file(output, (width_inches, height)) as figure:
        cells = []
        for place, (name, shown) in enumerate(pictures.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_title(plain_text(name.strip()), fontsize=10)
            axes.set_axis_off()
            cells.append((axes, shown))
        if title:
            figure.suptitle(plain_text(title, longest=150), x=0.01, ha="left", weight="bold")
        yield figure, cells
