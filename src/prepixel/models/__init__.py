"""Networks on spectra, and the same trunks on pixels to compare with."""

from prepixel.models.classification import (
    NAMES,
    FrequencyNetwork,
    PixelNetwork,
    frequency_mobilenet_v2,
    frequency_network,
    frequency_resnet,
    rgb_network,
)
from prepixel.models.cost import count_macs, count_parameters, example_pixels, example_spectrum
from prepixel.models.stem import BandSetMismatch, PixelInput, SpectrumInput
from prepixel.models.weights import WeightReuse, WeightsMismatch, load_rgb_weights

__all__ = [
    "NAMES",
    "BandSetMismatch",
    "FrequencyNetwork",
    "PixelInput",
    "PixelNetwork",
    "SpectrumInput",
    "WeightReuse",
    "WeightsMismatch",
    "count_macs",
    "count_parameters",
    "example_pixels",
    "example_spectrum",
    "frequency_mobilenet_v2",
    "frequency_network",
    "frequency_resnet",
    "load_rgb_weights",
    "rgb_network",
]
