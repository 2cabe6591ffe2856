"""Records and arrays become figures. Only this room draws.

Every function writes one file, in the format of its suffix (png, svg, pdf), whole or not at all.
"""

from prepixel.reports.channel_maps import plot_frequency_channels, plot_heat_maps, plot_sensitivity
from prepixel.reports.curves import plot_confusion, plot_curves, plot_rates, plot_score_over_bytes
from prepixel.reports.detections import Shown, plot_detections

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
