"""What all figures have in common: colors, style, and a file that is written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from prepixel.files import AtomicFile

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#26303a"
_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8a949e",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e7eb",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
}
SHADES = LinearSegmentedColormap.from_list("prepixel", ["#ffffff", "#cfe3f1", "#5aa5d3", "#0072B2", "#08304f"])
MARKERS = ("o", "^", "D", "s", "x", "v")


@contextmanager
def figure_file(output: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """Yield a figure, and write it atomically once it is drawn."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        suffix = output.suffix.lstrip(".").lower()
        known = sorted(figure.canvas.get_supported_filetypes())
        if suffix not in known:
            raise ValueError(f"{output}: no figure format {suffix!r}; end the name in .png, .svg or .pdf")
        yield figure
        with AtomicFile(output) as target:
            figure.savefig(target.file, format=suffix, dpi=150)
