"""Records and arrays become figures: training curves, confusion, frequency channels, heat maps of channels.

Only this file draws. Every function writes one file, in the format of its suffix (png, svg, pdf), whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Integer, Real
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from prepixel.records import ConfusionRow, MetricRow, Records

# Okabe and Ito's colours: told apart by most colour-blind readers, and in grey print by their lightness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_INK = "#26303a"
_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8a949e",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e7eb",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
}
_SHADES = LinearSegmentedColormap.from_list("prepixel", ["#ffffff", "#cfe3f1", "#5aa5d3", "#0072B2", "#08304f"])
_MARKERS = ("o", "^", "D", "s", "x", "v")
_COMPONENT_NAMES = {1: ("grey",), 3: ("Y", "Cb", "Cr")}


def plot_curves(runs: Mapping[str, Sequence[Records]], output: Path, *, title: str = "") -> None:
    """Draw loss and top-1 over epochs, one colour a row of the table.

    Args:
        runs: the records of each row by its name; several runs of a row (its seeds) become their mean and, as a band,
            their lowest to highest.
        output: the figure's file.
        title: printed above.

    Raises:
        ValueError: no run holds a loss or a top-1.
    """
    panels = [
        ("training loss", "train", "loss", 1.0),
        ("validation loss", "val", "loss", 1.0),
        ("validation top-1", "val", "top1", 100.0),
    ]
    with _figure(output, (12.0, 3.9)) as figure:
        drawn = 0
        for index, (heading, split, name, factor) in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), index)
            axes.set_title(heading)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            if factor != 1:
                axes.yaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
            else:  # the first epochs' losses may be tens of times the last ones'
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
            for position, (label, repetitions) in enumerate(runs.items()):
                rows = [records.metrics("train" if split == "train" else "val", name) for records in repetitions]
                colour = COLOURS[position % len(COLOURS)]
                drawn += _draw_repetitions(axes, [r for r in rows if r], factor, colour, label)
            axes.set_xlim(left=0)
            if factor != 1:
                axes.set_ylim(bottom=0)
        if not drawn:
            raise ValueError("nothing to draw: these records hold neither a loss nor a top-1")
        drawn_lines = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
        columns = _legend_columns(list(drawn_lines))
        figure.legend(drawn_lines.values(), drawn_lines.keys(), loc="outside lower center", ncols=columns)
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")


def plot_score_over_bytes(
    points: Mapping[str, tuple[int, Sequence[float]]], output: Path, *, quantity: str = "top-1", title: str = ""
) -> None:
    """Draw what each row of a table scores over the bytes of one sample: seeds as dots, their mean as a bar.

    Args:
        points: bytes a sample, and the score of each seed, 0..1, by the row's name.
        output: the figure's file.
        quantity: the score's name.
        title: printed above.

    Raises:
        ValueError: there is no score.
    """
    shown = {name: point for name, point in points.items() if point[1]}
    if not shown:
        raise ValueError("nothing to draw: no row has a score")
    with _figure(output, (9.0, 4.6)) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1024:,.4g}"))
        axes.set_xlabel("KiB a sample, as it reaches the network's device")
        axes.set_ylabel(quantity)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        for position, (name, (size, scores)) in enumerate(shown.items()):
            colour, marker = COLOURS[position % len(COLOURS)], _MARKERS[position % len(_MARKERS)]
            axes.plot([size] * len(scores), scores, linestyle="", marker=marker, color=colour, alpha=0.5, ms=5)
            mean = float(np.mean(scores))
            seeds = f", {len(scores)} seeds" if len(scores) > 1 else ""
            label = f"{name}: {100 * mean:.1f} %{seeds}"
            axes.plot([size / 1.06, size * 1.06], [mean, mean], color=colour, lw=2.5, label=label)
        figure.legend(loc="outside right upper", fontsize=9)
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")


def plot_rates(
    bars: Mapping[str, tuple[float, float]], marks: Mapping[str, float], output: Path, *, names: tuple[str, str]
) -> None:
    """Draw images a second of several roads as pairs of bars, and what a network takes as lines across them.

    Args:
        bars: two rates of each road.
        marks: rates by what is printed beside their lines.
        output: the figure's file.
        names: of the first and the second rate.
    """
    with _figure(output, (9.5, 1.6 + 0.62 * len(bars))) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(bars))
        for shift, name, colour in ((-0.19, names[0], COLOURS[0]), (0.19, names[1], COLOURS[5])):
            rates = [pair[0 if shift < 0 else 1] for pair in bars.values()]
            drawn = axes.barh(places + shift, rates, height=0.36, color=colour, label=name)
            axes.bar_label(drawn, fmt="{:,.0f}", padding=3, fontsize=8)
        for position, (name, rate) in enumerate(marks.items()):
            style = ("--", ":")[position % 2]
            axes.axvline(rate, color=COLOURS[1], linestyle=style, lw=1.4, label=f"{name}: {rate:,.0f}")
        axes.set_yticks(places, list(bars))
        axes.invert_yaxis()
        axes.set_xlabel("images/s")
        axes.margins(x=0.1)
        figure.legend(loc="outside lower center", ncols=2)


def _legend_columns(labels: Sequence[str]) -> int:
    """Give as many columns as the figure's width, some 175 letters, has room for."""
    widest = max((len(label) for label in labels), default=0) + 8  # line and spacing
    return max(1, min(len(labels), 175 // widest))


def _draw_repetitions(
    axes: Axes, repetitions: Sequence[Sequence[MetricRow]], factor: float, colour: str, label: str
) -> int:
    """Draw one row of the table; seeds are averaged over the epochs that all of them reached."""
    if not repetitions:
        return 0
    length = min(len(rows) for rows in repetitions)
    epochs = np.array([row.epoch for row in repetitions[0][:length]])
    values = factor * np.array([[row.value for row in rows[:length]] for rows in repetitions])
    name = label if len(repetitions) == 1 else f"{label} ({len(repetitions)} seeds: mean, lowest to highest)"
    marker = "o" if length <= 30 else ""
    axes.plot(epochs, values.mean(axis=0), color=colour, lw=1.8, marker=marker, ms=3.5, label=name)
    if len(repetitions) > 1:
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, lw=0)
    return 1


def plot_confusion(row: ConfusionRow, output: Path, *, title: str = "") -> None:
    """Draw how often each class was taken for each: shades are shares of the true class, numbers are counts."""
    counts = np.array(row.counts, dtype=np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(row.classes)
    side = min(16.0, 2.6 + 0.42 * max(size, 5))
    with _figure(output, (side + 1.2, side)) as figure:
        axes = figure.add_subplot()
        axes.grid(visible=False)
        picture = axes.imshow(shares, cmap=_SHADES, vmin=0, vmax=1)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        correct = int(np.trace(counts))
        total = int(counts.sum())
        score = f"{correct} of {total} right ({100 * correct / max(total, 1):.1f} %)"
        axes.set_title(f"{title}\n{score}" if title else score)
        if size <= 60:
            axes.set_xticks(
                range(size), row.classes, rotation=90 if size > 12 else 45, ha="center" if size > 12 else "right"
            )
            axes.set_yticks(range(size), row.classes)
        if size <= 25:
            for y, x in zip(*np.nonzero(counts), strict=True):
                axes.text(
                    x, y, str(counts[y, x]), ha="center", va="center", fontsize=8,
                    color="white" if shares[y, x] > 0.55 else _INK,
                )  # fmt: skip
        bar = figure.colorbar(picture, ax=axes, shrink=0.7, format=PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        bar.outline.set_visible(False)
        bar.set_label("share of the true class")


def plot_frequency_channels(
    planes: Mapping[str, Real[np.ndarray, "bh bw 8 8"]], output: Path, *, title: str = ""
) -> None:
    """Draw each component as a mosaic of its 64 frequency channels, v down and u across.

    Args:
        planes: dequantized coefficients by component name; grids may differ between components.
        output: the figure's file.
        title: printed above.

    DC is drawn as the small photo that it is; every other channel by the square root of its magnitude on one scale for
    all components, so channels can be compared, and what quantization removed is white.
    """
    columns = len(planes)
    sizes = [plane.shape[:2] for plane in planes.values()]
    tallest = max(height / width for height, width in sizes)
    width_inches = {1: 8.0, 2: 12.0}.get(columns, 16.5)
    height_inches = min(12.0, (width_inches - 1.2) / columns * tallest + 1.1)
    top = max(1.0, *(float(np.quantile(_without_dc(plane)[:, :, :2, :2], 0.97)) for plane in planes.values()))
    with _figure(output, (width_inches, height_inches)) as figure:
        for index, (name, plane) in enumerate(planes.items(), start=1):
            axes = figure.add_subplot(1, columns, index)
            axes.grid(visible=False)
            bh, bw = plane.shape[:2]
            axes.imshow(_mosaic(plane, top), extent=(0, 8, 8, 0), aspect=bh / bw, interpolation="antialiased")
            for edge in range(9):
                axes.axhline(edge, color="#c4ccd4", lw=0.8, clip_on=False)
                axes.axvline(edge, color="#c4ccd4", lw=0.8, clip_on=False)
            share = float((_without_dc(plane) != 0).mean()) * 64 / 63
            axes.set_title(f"{name}: {bh} x {bw} blocks, {100 * share:.0f} % of AC not zero")
            centres = np.arange(8) + 0.5
            axes.set_xticks(centres, [str(i) for i in range(8)])
            axes.set_yticks(centres, [str(i) for i in range(8)])
            axes.tick_params(length=0)
            axes.set_xlabel("u (horizontal frequency)")
            axes.set_ylabel("v (vertical frequency)" if index == 1 else "")
            axes.spines[:].set_visible(False)
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")


def _without_dc(plane: Real[np.ndarray, "bh bw 8 8"]) -> Float[np.ndarray, "bh bw 8 8"]:
    magnitudes = np.abs(plane.astype(np.float64))
    magnitudes[:, :, 0, 0] = 0
    return magnitudes


def _mosaic(plane: Real[np.ndarray, "bh bw 8 8"], top: float) -> Float[np.ndarray, "y x 4"]:
    """Lay the 64 channels side by side as colours."""
    bh, bw = plane.shape[:2]
    shade = np.sqrt(np.minimum(np.abs(plane.astype(np.float64)) / top, 1))
    tiles = shade.transpose(2, 0, 3, 1).reshape(8 * bh, 8 * bw)
    colours = np.asarray(_SHADES(tiles), dtype=np.float64)
    dc = plane[:, :, 0, 0].astype(np.float64)
    low, high = float(dc.min()), float(dc.max())
    grey = (dc - low) / (high - low) if high > low else np.full_like(dc, 0.5)
    colours[:bh, :bw, :3] = grey[:, :, None]
    return colours


def plot_heat_maps(
    maps: Mapping[str, Float[np.ndarray, "c 8 8"]],
    output: Path,
    *,
    title: str = "",
    ids: Integer[np.ndarray, "8 8"] | None = None,
) -> None:
    """Draw one number a frequency channel, an 8 x 8 map a component, in one row or several.

    Args:
        maps: rows by what is printed above them, 1 or more; each has one map a component (1 or 3), v down and u across,
            and shades that run from 0 to the largest of its numbers.
        output: the figure's file.
        title: printed above all.
        ids: small numbers printed in the corners, such as zigzag positions.
    """
    components = max(len(values) for values in maps.values())
    with _figure(output, (4.6 * components + 0.8, 5.2 * len(maps) + 0.4)) as figure:
        parts: Any = figure.subfigures(len(maps), 1, squeeze=False)
        for part, (name, values) in zip(parts[:, 0], maps.items(), strict=True):
            _draw_maps(part, values, ids, logarithmic=False)
            part.suptitle(name, x=0.01, ha="left")
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")


def plot_sensitivity(
    effects: Float[np.ndarray, "c 8 8"],
    curves: Mapping[str, Sequence[tuple[int, float]]],
    output: Path,
    *,
    quantity: str,
    title: str = "",
    ids: Integer[np.ndarray, "8 8"] | None = None,
) -> None:
    """Draw what leaving out each channel does, an 8 x 8 map a component, beside what keeping only some preserves.

    Args:
        effects: one map a component, 0 where a channel has none; shades are logarithmic.
        curves: for each way of choosing channels, (channels kept, share between 0 and 1), fewest first.
        output: the figure's file.
        quantity: what the share is of.
        title: printed above.
        ids: small numbers printed in the corners, such as zigzag positions.
    """
    with _figure(output, (4.2 * len(effects) + 6.6, 5.2)) as figure:
        parts: Any = figure.subfigures(1, 2, width_ratios=(4.2 * len(effects) + 0.6, 6.0))
        maps, lines = parts
        _draw_maps(maps, effects, ids, logarithmic=True)
        axes = lines.add_subplot()
        axes.set_title(quantity)
        axes.set_xlabel("channels kept")
        axes.set_xscale("log")
        counts = sorted({count for points in curves.values() for count, _ in points})
        axes.set_xticks(counts, [str(count) for count in counts], fontsize=8)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        for position, (name, points) in enumerate(curves.items()):
            colour = COLOURS[position % len(COLOURS)]
            axes.plot(
                *zip(*points, strict=True),
                linestyle="-" if len(points) > 1 else "",
                marker=_MARKERS[position % len(_MARKERS)],
                color=colour,
                label=name,
                markersize=9 - position,  # so that curves that meet are seen through each other
                markerfacecolor="none",
                linewidth=1.4,
            )
        axes.legend(loc="lower right")
        if title:
            figure.suptitle(title, x=0.01, ha="left", weight="bold")


def _draw_maps(
    figure: FigureBase,
    values: Float[np.ndarray, "c 8 8"],
    ids: Integer[np.ndarray, "8 8"] | None,
    *,
    logarithmic: bool,
) -> None:
    names = _COMPONENT_NAMES.get(len(values), tuple(str(c) for c in range(len(values))))
    top = float(values.max()) if values.size and values.max() > 0 else 1.0
    floor = top / 1e4
    drawn: list[Axes] = []
    norm = LogNorm(floor, top, clip=True) if logarithmic else Normalize(0, top)
    for index, (name, channel) in enumerate(zip(names, values, strict=True), start=1):
        axes = figure.add_subplot(1, len(values), index)
        axes.grid(visible=False)
        axes.set_title(name)
        shown = np.maximum(channel, floor) if logarithmic else channel
        picture = axes.imshow(shown, cmap=_SHADES, norm=norm)
        drawn.append(axes)
        axes.set_xticks(range(8))
        axes.set_yticks(range(8))
        axes.tick_params(length=0)
        axes.set_xlabel("u (horizontal frequency)")
        axes.set_ylabel("v (vertical frequency)" if index == 1 else "")
        axes.spines[:].set_visible(False)
        for v, u in np.ndindex(8, 8):
            dark = norm(shown[v, u]) > 0.55
            colour = "white" if dark else _INK
            text = _few_digits(channel[v, u]) if logarithmic else f"{channel[v, u]:.{2 if top <= 10 else 0}f}"
            axes.text(u, v, text, ha="center", va="center", fontsize=7.5, color=colour)
            if ids is not None:
                axes.text(u - 0.44, v - 0.42, str(ids[v, u]), ha="left", va="top", fontsize=5, color=colour)
    bar = figure.colorbar(picture, ax=drawn, shrink=0.75, pad=0.01)
    bar.outline.set_visible(False)


def _few_digits(value: float) -> str:
    """Write a number of any size in at most four characters."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}".lstrip("0")


@contextmanager
def _figure(output: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """Give a figure, and write it by a temporary name and a rename once it is drawn."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        suffix = output.suffix.lstrip(".").lower()
        known = sorted(figure.canvas.get_supported_filetypes())
        if suffix not in known:
            raise ValueError(f"{output}: no figure format {suffix!r}; end the name in .png, .svg or .pdf")
        yield figure
        temporary = output.with_name(output.name + ".partial")
        try:
            figure.savefig(temporary, format=suffix, dpi=150)
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
