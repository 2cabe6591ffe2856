"""Style and colors of all figures, text as it is drawn, and atomic writing of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from prepixel.files import AtomicFile, make_folder

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DPI = 150  # of the layout, too: one made for another resolution leaves texts overlapping
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
    "text.parse_math": False,  # names of classes, files and recipes may hold any dollars
}
SHADES = LinearSegmentedColormap.from_list("prepixel", ["#ffffff", "#cfe3f1", "#5aa5d3", "#0072B2", "#08304f"])
MARKERS = ("o", "^", "D", "s", "x", "v")


def plain_text(text: str, longest: int = 80) -> str:
    r"""Return a name as it is drawn: no control characters, nothing that is not Unicode, and not too long.

    >>> plain_text("a\x1b[1m" + chr(0xDCFF) + "_b")
    'a\\x1b[1m\\udcff_b'
    """
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
    if shown.startswith("_"):
        shown = f" {shown}"  # matplotlib leaves labels that begin with an underscore out of legends
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}\u2026"


@contextmanager
def figure_file(output: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """Yield a figure, and write it atomically once it is drawn."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained", facecolor="white")
        suffix = output.suffix.lstrip(".").lower()
        known = sorted(figure.canvas.get_supported_filetypes())
        if suffix not in known:
            raise ValueError(f"{output}: no figure format {suffix!r}; end the name in .png, .svg or .pdf")
        yield figure
        make_folder(output.absolute().parent)
        figure.draw_without_rendering()  # where axes have a fixed shape, the layout needs two passes
        with AtomicFile(output) as target:
            figure.savefig(target.file, format=suffix, dpi=_DPI)
