"""Records and arrays become figures. Only this room draws.

Every function writes one file, in the format of its suffix (png, svg, pdf), whole or not at all.
"""

from prepixel.plots.channels import plot_frequency_channels, plot_heat_maps, plot_sensitivity
from prepixel.plots.detections import Shown, plot_detections
from prepixel.plots.scores import plot_confusion, plot_curves, plot_rates, plot_score_over_bytes

__all__ = [
    "Shown",
    "plot_confusion",
    "plot_curves",
    "plot_detections",
    "plot_frequency_channels",
    "plot_heat_maps",
    "plot_rates",
    "plot_score_over_bytes",
    "plot_sensitivity",
]
