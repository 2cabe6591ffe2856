"""Networks on spectra, and the same trunks on pixels to compare with."""

from prepixel.models.channel_slicing import slice_channels
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
from prepixel.models.folding.fold import FoldedNetwork, StemCost, fold
from prepixel.models.folding.impulse_response import FoldSettings
from prepixel.models.folding.input_trace import CannotFold
from prepixel.models.input_norm import BandSetMismatch, PixelInput, SpectrumInput
from prepixel.models.pretrained import PixelModel, imagenet_classes, pixel_model
from prepixel.models.weights import WeightReuse, WeightsMismatch, load_rgb_weights

__all__ = [
    "NAMES",
    "BandSetMismatch",
    "CannotFold",
    "FoldSettings",
    "FoldedNetwork",
    "FrequencyNetwork",
    "PixelInput",
    "PixelModel",
    "PixelNetwork",
    "SpectrumInput",
    "StemCost",
    "WeightReuse",
    "WeightsMismatch",
    "count_macs",
    "count_parameters",
    "example_pixels",
    "example_spectrum",
    "fold",
    "frequency_mobilenet_v2",
    "frequency_network",
    "frequency_resnet",
    "imagenet_classes",
    "load_rgb_weights",
    "pixel_model",
    "rgb_network",
    "slice_channels",
]
