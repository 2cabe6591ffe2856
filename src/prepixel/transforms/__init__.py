"""Augmentation of spectra: geometric changes drawn before reading, photometric ones on batches, on the device.

Names and parameters are torchvision v2's. Names are loaded when first used: geometric transforms need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.transforms.auto_augment import LINEAR_OPERATIONS, RandAugment, TrivialAugmentWide
    from prepixel.transforms.axis_filters import adjust_sharpness, gaussian_blur, translate
    from prepixel.transforms.batch_transform import BatchTransform
    from prepixel.transforms.color_jitter import ColorJitter, RandomGrayscale, RandomInvert
    from prepixel.transforms.containers import Compose, RandomApply, RandomChoice
    from prepixel.transforms.crop_draws import Crop, CropParams
    from prepixel.transforms.functional import (
        adjust_brightness,
        adjust_contrast,
        adjust_saturation,
        approximate_hue,
        erase,
        invert,
        to_grayscale,
    )
    from prepixel.transforms.geometric import (
        CenterCrop,
        ComposeCrops,
        RandomCrop,
        RandomHorizontalFlip,
        RandomResizedCrop,
        Resize,
    )
    from prepixel.transforms.mixing import CutMix, MixUp, RandomErasing
    from prepixel.transforms.random_filters import GaussianBlur, RandomAdjustSharpness, RandomTranslate
    from prepixel.transforms.turns import RandomQuarterTurn, RandomVerticalFlip, flip_vertical, quarter_turns

_PLACES = {
    "BatchTransform": "prepixel.transforms.batch_transform",
    "CenterCrop": "prepixel.transforms.geometric",
    "ColorJitter": "prepixel.transforms.color_jitter",
    "Compose": "prepixel.transforms.containers",
    "ComposeCrops": "prepixel.transforms.geometric",
    "Crop": "prepixel.transforms.crop_draws",
    "CropParams": "prepixel.transforms.crop_draws",
    "CutMix": "prepixel.transforms.mixing",
    "GaussianBlur": "prepixel.transforms.random_filters",
    "LINEAR_OPERATIONS": "prepixel.transforms.auto_augment",
    "MixUp": "prepixel.transforms.mixing",
    "RandAugment": "prepixel.transforms.auto_augment",
    "RandomAdjustSharpness": "prepixel.transforms.random_filters",
    "RandomApply": "prepixel.transforms.containers",
    "RandomChoice": "prepixel.transforms.containers",
    "RandomCrop": "prepixel.transforms.geometric",
    "RandomErasing": "prepixel.transforms.mixing",
    "RandomGrayscale": "prepixel.transforms.color_jitter",
    "RandomHorizontalFlip": "prepixel.transforms.geometric",
    "RandomInvert": "prepixel.transforms.color_jitter",
    "RandomQuarterTurn": "prepixel.transforms.turns",
    "RandomResizedCrop": "prepixel.transforms.geometric",
    "RandomTranslate": "prepixel.transforms.random_filters",
    "RandomVerticalFlip": "prepixel.transforms.turns",
    "Resize": "prepixel.transforms.geometric",
    "TrivialAugmentWide": "prepixel.transforms.auto_augment",
    "adjust_brightness": "prepixel.transforms.functional",
    "adjust_contrast": "prepixel.transforms.functional",
    "adjust_saturation": "prepixel.transforms.functional",
    "adjust_sharpness": "prepixel.transforms.axis_filters",
    "approximate_hue": "prepixel.transforms.functional",
    "erase": "prepixel.transforms.functional",
    "flip_vertical": "prepixel.transforms.turns",
    "gaussian_blur": "prepixel.transforms.axis_filters",
    "invert": "prepixel.transforms.functional",
    "quarter_turns": "prepixel.transforms.turns",
    "to_grayscale": "prepixel.transforms.functional",
    "translate": "prepixel.transforms.axis_filters",
}

__all__ = [
    "LINEAR_OPERATIONS",
    "BatchTransform",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ComposeCrops",
    "Crop",
    "CropParams",
    "CutMix",
    "GaussianBlur",
    "MixUp",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomQuarterTurn",
    "RandomResizedCrop",
    "RandomTranslate",
    "RandomVerticalFlip",
    "Resize",
    "TrivialAugmentWide",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_saturation",
    "adjust_sharpness",
    "approximate_hue",
    "erase",
    "flip_vertical",
    "gaussian_blur",
    "invert",
    "quarter_turns",
    "to_grayscale",
    "translate",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
