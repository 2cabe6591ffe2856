"""Records and arrays become figures. Only this room draws.

Every function writes one file, in the format of its suffix (png, svg, pdf), whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.reports.channel_maps import plot_frequency_channels, plot_heat_maps, plot_sensitivity
    from prepixel.reports.curves import plot_confusion, plot_curves, plot_rates, plot_score_over_bytes
    from prepixel.reports.detections import Shown, plot_detections
    from prepixel.reports.label_overlays import LabeledPicture, plot_label_maps

_PLACES = {
    "LabeledPicture": "prepixel.reports.label_overlays",
    "Shown": "prepixel.reports.detections",
    "plot_confusion": "prepixel.reports.curves",
    "plot_curves": "prepixel.reports.curves",
    "plot_detections": "prepixel.reports.detections",
    "plot_frequency_channels": "prepixel.reports.channel_maps",
    "plot_heat_maps": "prepixel.reports.channel_maps",
    "plot_label_maps": "prepixel.reports.label_overlays",
    "plot_rates": "prepixel.reports.curves",
    "plot_score_over_bytes": "prepixel.reports.curves",
    "plot_sensitivity": "prepixel.reports.channel_maps",
}

__all__ = [
    "LabeledPicture",
    "Shown",
    "plot_confusion",
    "plot_curves",
    "plot_detections",
    "plot_frequency_channels",
    "plot_heat_maps",
    "plot_label_maps",
    "plot_rates",
    "plot_score_over_bytes",
    "plot_sensitivity",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
