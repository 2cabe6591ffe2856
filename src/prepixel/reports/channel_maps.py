"""Maps of frequency channels: their content in an image, how often a gate is on, their effect on a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator, PercentFormatter

from prepixel.array_types import Float, Integer, Real
from prepixel.reports.figure import COLORS, INK, MARKERS, SHADES, figure_file, plain_text

_IDS = "the channel's position in zigzag order"
_MOST_ELONGATED = 2.0  # a photo that is longer is drawn narrower than it is, so that its texts have room
_COMPONENT_NAMES = {1: ("gray",), 3: ("Y", "Cb", "Cr")}


def plot_frequency_channels(
    planes: Mapping[str, Real[np.ndarray, "bh bw 8 8"]], output: Path, *, title: str = ""
) -> None:
    """Draw each component as a mosaic of its 64 frequency channels, v down and u across.

    Args:
        planes: dequantized coefficients by component name; grids may differ between components.
        output: the figure's file.
        title: printed above.

    DC is drawn as the small photo that it is; every other channel by the square root of its magnitude on one scale for
    all components, so channels can be compared, and what quantization removed is white. Images more
    than twice as long as wide, or as wide as long, are drawn shorter than they are.
    """
    columns = len(planes)
    sizes = [plane.shape[:2] for plane in planes.values()]
    shapes = [min(max(height / width, 1 / _MOST_ELONGATED), _MOST_ELONGATED) for height, width in sizes]
    tallest, stretched = max(shapes), shapes != [height / width for height, width in sizes]
    width_inches = {1: 8.0, 2: 12.0}.get(columns, 16.5)
    height_inches = min(12.0, (width_inches - 1.2) / columns * tallest + 1.1)
    top = max(1.0, *(float(np.quantile(_without_dc(plane)[:, :, :2, :2], 0.97)) for plane in planes.values()))
    with figure_file(output, (width_inches, height_inches)) as figure:
        for index, (name, plane) in enumerate(planes.items(), start=1):
            axes = figure.add_subplot(1, columns, index)
            axes.grid(visible=False)
            bh, bw = plane.shape[:2]
            shape = shapes[index - 1]
            axes.imshow(_mosaic(plane, top), extent=(0, 8, 8, 0), aspect=shape, interpolation="antialiased")
            for edge in range(9):
                axes.axhline(edge, color="#c4ccd4", lw=0.8, clip_on=False)
                axes.axvline(edge, color="#c4ccd4", lw=0.8, clip_on=False)
            share = float((_without_dc(plane) != 0).mean()) * 64 / 63
            axes.set_title(f"{plain_text(name)}: {bh} x {bw} blocks, {100 * share:.0f} % of AC not zero")
            centers = np.arange(8) + 0.5
            axes.set_xticks(centers, [str(i) for i in range(8)])
            axes.set_yticks(centers, [str(i) for i in range(8)])
            axes.tick_params(length=0)
            axes.set_xlabel("u (horizontal frequency)")
            axes.set_ylabel("v (vertical frequency)" if index == 1 else "")
            axes.spines[:].set_visible(False)
        note = "u = v = 0: mean of each block; others: magnitude, white is 0, darkest the largest"
        figure.supxlabel(f"{note}; not to scale" if stretched else note, fontsize=9)
        if title:
            figure.suptitle(plain_text(title, longest=150), x=0.01, ha="left", weight="bold")


def _without_dc(plane: Real[np.ndarray, "bh bw 8 8"]) -> Float[np.ndarray, "bh bw 8 8"]:
    magnitudes = np.abs(plane.astype(np.float64))
    magnitudes[:, :, 0, 0] = 0
    return magnitudes


def _mosaic(plane: Real[np.ndarray, "bh bw 8 8"], top: float) -> Float[np.ndarray, "y x 4"]:
    """Lay the 64 channels side by side as colors."""
    bh, bw = plane.shape[:2]
    shade = np.sqrt(np.minimum(np.abs(plane.astype(np.float64)) / top, 1))
    tiles = shade.transpose(2, 0, 3, 1).reshape(8 * bh, 8 * bw)
    colors = np.asarray(SHADES(tiles), dtype=np.float64)
    dc = plane[:, :, 0, 0].astype(np.float64)
    low, high = float(dc.min()), float(dc.max())
    gray = (dc - low) / (high - low) if high > low else np.full_like(dc, 0.5)
    colors[:bh, :bw, :3] = gray[:, :, None]
    return colors


def plot_heat_maps(
    maps: Mapping[str, Float[np.ndarray, "c 8 8"]],
    output: Path,
    *,
    title: str = "",
    quantity: str = "share of images with the channel on",
    ids: Integer[np.ndarray, "8 8"] | None = None,
) -> None:
    """Draw one shade per frequency channel, an 8 x 8 map per component, in one row or several.

    Args:
        maps: rows by what is printed above them, 1 or more; each has one map per component (1 or 3), v down and u
            across. Shades run from 0 to the largest number of all rows.
        output: the figure's file.
        title: printed above all.
        quantity: what the shades are, for the color bar.
        ids: zigzag positions, printed in the channels of at least half the largest value.
    """
    components = max(len(values) for values in maps.values())
    top = max(float(values.max()) for values in maps.values())
    with figure_file(output, (3.4 * components + 1.2, 4.3 * len(maps) + 0.4)) as figure:
        parts: Any = figure.subfigures(len(maps), 1, squeeze=False)
        for part, (name, values) in zip(parts[:, 0], maps.items(), strict=True):
            _draw_maps(part, values, ids, quantity, heading=name, top=top, logarithmic=False)
        if title:
            figure.suptitle(plain_text(title, longest=150), x=0.01, ha="left", weight="bold")


def plot_sensitivity(
    effects: Float[np.ndarray, "c 8 8"],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    output: Path,
    *,
    quantity: str,
    effect: str = "effect of leaving the channel out",
    title: str = "",
    ids: Integer[np.ndarray, "8 8"] | None = None,
) -> None:
    """Draw the effect of leaving out each channel, an 8 x 8 map per component, beside that of keeping only some.

    Args:
        effects: one map per component, 0 where a channel has none; shades are logarithmic.
        curves: for each way of choosing channels, (channels kept, share between 0 and 1), fewest first.
        output: the figure's file.
        quantity: what the share is of.
        effect: what the shades are, for the color bar.
        title: printed above.
        ids: zigzag positions, printed in the channels with the largest effects.
    """
    with figure_file(output, (4.2 * len(effects) + 6.6, 5.2)) as figure:
        parts: Any = figure.subfigures(1, 2, width_ratios=(4.2 * len(effects) + 0.6, 6.0))
        maps, lines = parts
        _draw_maps(maps, effects, ids, effect, top=float(effects.max()), logarithmic=True)
        axes = lines.add_subplot()
        axes.set_title(plain_text(quantity))
        axes.set_xlabel("channels kept")
        axes.set_xscale("log")
        counts = sorted({count for points in curves.values() for count, _ in points})
        axes.set_xticks(counts, [str(count) for count in counts], fontsize=8)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None, symbol=" %"))
        for position, (name, points) in enumerate(curves.items()):
            color = COLORS[position % len(COLORS)]
            axes.plot(
                *zip(*points, strict=True),
                linestyle="-" if len(points) > 1 else "",
                marker=MARKERS[position % len(MARKERS)],
                color=color,
                label=plain_text(name),
                markersize=9 - position,  # so that curves that meet are seen through each other
                markerfacecolor="none",
                linewidth=1.4,
            )
        axes.legend(loc="lower right", title="channels chosen by", alignment="left")
        if title:
            figure.suptitle(plain_text(title, longest=150), x=0.01, ha="left", weight="bold")


def _draw_maps(
    figure: FigureBase,
    values: Float[np.ndarray, "c 8 8"],
    ids: Integer[np.ndarray, "8 8"] | None,
    quantity: str,
    *,
    heading: str = "",
    top: float,
    logarithmic: bool,
) -> None:
    names = _COMPONENT_NAMES.get(len(values), tuple(str(c) for c in range(len(values))))
    top = top if top > 0 else 1.0
    floor = top / 1e4
    drawn: list[Axes] = []
    norm = LogNorm(floor, top, clip=True) if logarithmic else Normalize(0, top)
    for index, (name, channel) in enumerate(zip(names, values, strict=True), start=1):
        axes = figure.add_subplot(1, len(values), index)
        axes.grid(visible=False)
        lines = [plain_text(heading, longest=150) if index == 1 else "", name]
        axes.set_title("\n".join(lines) if heading else name)
        picture = axes.imshow(np.maximum(channel, floor) if logarithmic else channel, cmap=SHADES, norm=norm)
        drawn.append(axes)
        axes.set_xticks(range(8))
        axes.set_yticks(range(8))
        axes.tick_params(length=0)
        axes.set_xlabel("u (horizontal frequency)")
        axes.set_ylabel("v (vertical frequency)" if index == 1 else "")
        axes.spines[:].set_visible(False)
        for edge in np.arange(-0.5, 8):
            axes.axhline(edge, color="#c4ccd4", lw=0.6, clip_on=False)
            axes.axvline(edge, color="#c4ccd4", lw=0.6, clip_on=False)
        if ids is not None:
            for v, u in np.argwhere(channel >= top * (0.1 if logarithmic else 0.5)):
                color = "white" if norm(channel[v, u]) > 0.55 else INK
                axes.text(u, v, str(ids[v, u]), ha="center", va="center", fontsize=10, color=color)
    bar = figure.colorbar(picture, ax=drawn, shrink=0.75, pad=0.01, format=FuncFormatter(lambda value, _: f"{value:g}"))
    bar.outline.set_visible(False)
    bar.set_label(plain_text(quantity))
    if ids is not None:
        figure.supxlabel(f"numbers: {_IDS}", fontsize=9)
