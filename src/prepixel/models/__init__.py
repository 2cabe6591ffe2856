"""Networks on spectra, and the same trunks on pixels to compare with."""

from prepixel.optional import extras_for

with extras_for(__name__):
    from prepixel.errors import ModelError
    from prepixel.models.batch_norm import BatchTooSmall
    from prepixel.models.build_function import allow_build_function, import_build_function
    from prepixel.models.channel_slicing import slice_channels
    from prepixel.models.cost import count_macs, count_parameters, example_pixels, example_spectrum
    from prepixel.models.folding.fold import FoldedNetwork, fold, rebuild_folded
    from prepixel.models.folding.folded_stem import GridMismatch
    from prepixel.models.folding.impulse_response import FoldSettings
    from prepixel.models.folding.input_trace import CannotFold
    from prepixel.models.folding.structure import FoldStructure, StemCost
    from prepixel.models.frequency_network import (
        NAMES,
        FrequencyNetwork,
        PixelNetwork,
        frequency_mobilenet_v2,
        frequency_network,
        frequency_resnet,
        rgb_network,
    )
    from prepixel.models.input_norm import BandSetMismatch, PixelInput, SpectrumInput
    from prepixel.models.library_network import LibraryNetwork, load_library_weights
    from prepixel.models.light_stem import LightNetwork, LightStem, light_network
    from prepixel.models.pretrained import PixelModel, imagenet_classes, pixel_model, pixel_network
    from prepixel.models.segmenters import Segmenter, fold_segmenter, frequency_segmenter, pixel_segmenter
    from prepixel.models.weight_files import check_finite
    from prepixel.models.weights import WeightReuse, WeightsMismatch, load_rgb_weights

__all__ = [
    "NAMES",
    "BandSetMismatch",
    "BatchTooSmall",
    "CannotFold",
    "FoldSettings",
    "FoldStructure",
    "FoldedNetwork",
    "FrequencyNetwork",
    "GridMismatch",
    "LibraryNetwork",
    "LightNetwork",
    "LightStem",
    "ModelError",
    "PixelInput",
    "PixelModel",
    "PixelNetwork",
    "Segmenter",
    "SpectrumInput",
    "StemCost",
    "WeightReuse",
    "WeightsMismatch",
    "allow_build_function",
    "check_finite",
    "count_macs",
    "count_parameters",
    "example_pixels",
    "example_spectrum",
    "fold",
    "fold_segmenter",
    "frequency_mobilenet_v2",
    "frequency_network",
    "frequency_resnet",
    "frequency_segmenter",
    "imagenet_classes",
    "import_build_function",
    "light_network",
    "load_library_weights",
    "load_rgb_weights",
    "pixel_model",
    "pixel_network",
    "pixel_segmenter",
    "rebuild_folded",
    "rgb_network",
    "slice_channels",
]
