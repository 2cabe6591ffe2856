"""Typed descriptions of training runs, and their YAML form."""

from prepixel.optional import extras_for

with extras_for(__name__):
    from prepixel.recipes.augmentation import AugmentSettings
    from prepixel.recipes.classification import DataSettings, InputSettings, NetworkSettings, Recipe, TaskSettings
    from prepixel.recipes.detection import (
        DetectionDataSettings,
        DetectionRecipe,
        DetectionTaskSettings,
        DetectorSettings,
        FrameInputSettings,
    )
    from prepixel.recipes.parsing import (
        AnyRecipe,
        parse_any_recipe,
        parse_recipe,
        read_any_recipe,
        read_recipe,
        recipe_values,
        write_recipe,
    )
    from prepixel.recipes.resuming import RESUMABLE_KEYS
    from prepixel.recipes.segmentation import (
        LabeledFrameSettings,
        SegmentationDataSettings,
        SegmentationRecipe,
        SegmentationTaskSettings,
        SegmenterSettings,
    )

__all__ = [
    "RESUMABLE_KEYS",
    "AnyRecipe",
    "AugmentSettings",
    "DataSettings",
    "DetectionDataSettings",
    "DetectionRecipe",
    "DetectionTaskSettings",
    "DetectorSettings",
    "FrameInputSettings",
    "InputSettings",
    "LabeledFrameSettings",
    "NetworkSettings",
    "Recipe",
    "SegmentationDataSettings",
    "SegmentationRecipe",
    "SegmentationTaskSettings",
    "SegmenterSettings",
    "TaskSettings",
    "parse_any_recipe",
    "parse_recipe",
    "read_any_recipe",
    "read_recipe",
    "recipe_values",
    "write_recipe",
]
