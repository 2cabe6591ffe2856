"""Plots of scores and rates: training curves, comparisons, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator, PercentFormatter

from prepixel.records import ConfusionRow, MetricRow, Records, Split
from prepixel.reports.figure import COLORS, INK, MARKERS, SHADES, figure_file, plain_text

_MAX_NAMED = 60  # classes of a confusion plot
_PANELS: tuple[tuple[str, Split, str, float], ...] = (
    ("training loss", "train", "loss", 1.0),
    ("validation loss", "val", "loss", 1.0),
    ("validation top-1", "val", "top1", 100.0),
    ("validation mAP", "val", "map", 100.0),
    ("validation R2", "val", "r2", 100.0),
    ("validation mIoU", "val", "miou", 100.0),
    ("validation AP of boxes", "val", "box_ap", 100.0),
    ("validation AP of masks", "val", "mask_ap", 100.0),
)


def plot_curves(runs: Mapping[str, Sequence[Records]], output: Path, *, title: str = "") -> None:
    """Draw losses and scores over epochs, one color and marker per row of the table.

    Args:
        runs: the records of each row by its name; several runs of a row (its seeds) become their mean and, as a band,
            their lowest to highest.
        output: the figure's file.
        title: printed above.

    Raises:
        ValueError: no run holds a loss or a score.
    """
    repeated = [records for repetitions in runs.values() for records in repetitions]
    panels = [panel for panel in _PANELS if any(records.metrics(panel[1], panel[2]) for records in repeated)]
    if not panels:
        raise ValueError("nothing to draw: these records hold neither a loss nor a score")
    with figure_file(output, (max(4.2 * len(panels), 6.0), 4.1)) as figure:
        for index, (heading, split, name, factor) in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), index)
            axes.set_title(heading if factor != 1 else f"{heading}, log scale")
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            if factor != 1:
                axes.yaxis.set_major_formatter(PercentFormatter(decimals=None, symbol=" %"))
            else:  # the first epochs' losses may be tens of times the last ones'
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
            for position, (label, repetitions) in enumerate(runs.items()):
                rows = [records.metrics(split, name) for records in repetitions]
                _draw_repetitions(axes, [r for r in rows if r], factor, position, label)
            axes.set_xlim(left=0)
            if factor != 1:  # R2 may be below 0
                axes.set_ylim(bottom=min(0.0, float(axes.dataLim.y0)))
        drawn_lines = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
        columns = _legend_columns(list(drawn_lines))
        figure.legend(drawn_lines.values(), drawn_lines.keys(), loc="outside lower center", ncols=columns)
        if title:
            figure.suptitle(plain_text(title, longest=150), x=0.01, ha="left", weight="bold")


def plot_score_over_bytes(
    points: Mapping[str, tuple[int, Sequence[float]]], output: Path, *, quantity: str = "top-1", title: str = ""
) -> None:
    """Draw what each row of a table scores over the bytes of one sample: seeds as dots, their mean as a bar.

    Args:
        points: bytes per sample, and the score of each seed, 0..1, by the row's name.
        output: the figure's file.
        quantity: the score's name.
        title: printed above.

    Raises:
        ValueError: there is no score.
    """
    shown = {name: point for name, point in points.items() if point[1]}
    if not shown:
        raise ValueError("nothing to draw: no row has a score")
    with figure_file(output, (9.0, 4.6)) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _kibibytes(float(value))))
        axes.set_xlabel("KiB per sample, as it reaches the network's device")
        axes.set_ylabel(plain_text(quantity))
        # as many decimals as the ticks need to differ
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None, symbol=" %"))
        for position, (name, (size, scores)) in enumerate(shown.items()):
            color, marker = COLORS[position % len(COLORS)], MARKERS[position % len(MARKERS)]
            axes.plot([size] * len(scores), scores, linestyle="", marker=marker, color=color, alpha=0.5, ms=5)
            mean = float(np.mean(scores))
            seeds = f", {len(scores)} seeds" if len(scores) > 1 else ""
            label = f"{plain_text(name)}: {100 * mean:.1f} %{seeds}"
            axes.plot([size / 1.06, size * 1.06], [mean, mean], color=color, lw=2.5, label=label)
        scores_of_all = [score for _, scores in shown.values() for score in scores]
        middle, half = (min(scores_of_all) + max(scores_of_all)) / 2, (max(scores_of_all) - min(scores_of_all)) / 2
        axes.set_ylim(middle - max(1.15 * half, 0.005), middle + max(1.15 * half, 0.005))
        sizes = [size for size, _ in shown.values()]
        axes.set_xlim(min(sizes) / 1.4, max(sizes) * 1.4)
        axes.set_xticks(sorted(set(sizes)))
        axes.xaxis.set_minor_locator(NullLocator())
        figure.legend(loc="outside right upper", fontsize=9, title="bar: mean; points: seeds", alignment="left")
        if title:
            figure.suptitle(plain_text(title, longest=150), x=0.01, ha="left", weight="bold")


def plot_rates(
    bars: Mapping[str, tuple[float, float]], marks: Mapping[str, float], output: Path, *, names: tuple[str, str]
) -> None:
    """Draw the images per second of several pipelines as pairs of bars, and of network steps as lines across them.

    Args:
        bars: two rates of each pipeline.
        marks: rates by what is printed beside their lines.
        output: the figure's file.
        names: of the first and the second rate.
    """
    with figure_file(output, (9.5, 1.6 + 0.62 * len(bars))) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(bars))
        for shift, name, color in ((-0.19, names[0], COLORS[0]), (0.19, names[1], COLORS[5])):
            rates = [pair[0 if shift < 0 else 1] for pair in bars.values()]
            drawn = axes.barh(places + shift, rates, height=0.36, color=color, label=f"reading, {plain_text(name)}")
            axes.bar_label(drawn, fmt="{:,.0f}", padding=3, fontsize=8)
        for position, (name, rate) in enumerate(marks.items()):
            style = ("--", ":")[position % 2]
            axes.axvline(
                rate, color=COLORS[1], linestyle=style, lw=1.4, label=f"{plain_text(name)}: {rate:,.0f} images/s"
            )
        axes.set_yticks(places, [plain_text(name) for name in bars])
        axes.invert_yaxis()
        axes.set_xlabel("images/s")
        axes.margins(x=0.1)
        figure.legend(loc="outside lower center", ncols=2)


def _kibibytes(size_bytes: float) -> str:
    """Return a size in KiB, to three digits or in whole numbers."""
    size = size_bytes / 1024
    return f"{size:.3g}" if size < 100 else f"{size:,.0f}"


def _legend_columns(labels: Sequence[str]) -> int:
    """Return as many columns as the figure's width, some 175 letters, has room for."""
    widest = max((len(label) for label in labels), default=0) + 8  # line and spacing
    return max(1, min(len(labels), 175 // widest))


def _draw_repetitions(
    axes: Axes, repetitions: Sequence[Sequence[MetricRow]], factor: float, position: int, label: str
) -> None:
    """Draw one row of the table; seeds are averaged over the epochs that all of them reached."""
    if not repetitions:
        return
    color = COLORS[position % len(COLORS)]
    length = min(len(rows) for rows in repetitions)
    epochs = np.array([row.epoch for row in repetitions[0][:length]])
    values = factor * np.array([[row.value for row in rows[:length]] for rows in repetitions])
    label = plain_text(label)
    name = label if len(repetitions) == 1 else f"{label} ({len(repetitions)} seeds: mean, lowest to highest)"
    marker = MARKERS[position % len(MARKERS)] if length <= 30 else ""
    axes.plot(epochs, values.mean(axis=0), color=color, lw=1.8, marker=marker, ms=4.5, label=name)
    if len(repetitions) > 1:
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.18, lw=0)


def plot_confusion(row: ConfusionRow, output: Path, *, title: str = "") -> None:
    """Draw how often each class was taken for each: shades are shares of the true class, numbers are counts.

    Of more classes than can be named, those without images and without answers are left out.
    """
    counts = np.array(row.counts, dtype=np.int64)
    classes = row.classes
    if len(classes) > _MAX_NAMED:
        occurring = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
        occurring = occurring if occurring.size else np.arange(len(classes))
        counts, classes = counts[np.ix_(occurring, occurring)], tuple(classes[place] for place in occurring)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(classes)
    side = min(16.0, 2.6 + 0.42 * max(size, 5))
    with figure_file(output, (side + 1.2, side)) as figure:
        axes = figure.add_subplot()
        axes.grid(visible=False)
        picture = axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        correct = int(np.trace(counts))
        total = int(counts.sum())
        score = f"{correct} of {total} right ({100 * correct / max(total, 1):.1f} %)"
        left_out = len(row.classes) - size
        note = f"; {left_out:,} classes without images and answers left out" if left_out else ""
        every = -(-size // _MAX_NAMED)
        if every > 1:
            note += f"; one class in {every} is named"
        axes.set_title(f"{plain_text(title)}\n{score}{note}" if title else f"{score}{note}")
        names = [plain_text(name, longest=30) for name in classes]
        places = range(0, size, every)
        rotation, alignment = (90, "center") if size > 12 else (45, "right")
        axes.set_xticks(places, names[::every], rotation=rotation, ha=alignment)
        axes.set_yticks(places, names[::every])
        if size <= 25:
            for y, x in zip(*np.nonzero(counts), strict=True):
                axes.text(
                    x, y, str(counts[y, x]), ha="center", va="center", fontsize=8,
                    color="white" if shares[y, x] > 0.55 else INK,
                )  # fmt: skip
        bar = figure.colorbar(picture, ax=axes, shrink=0.7, format=PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        bar.outline.set_visible(False)
        bar.set_label("share of the true class")
