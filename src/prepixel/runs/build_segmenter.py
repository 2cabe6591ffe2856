"""Where the rooms meet for segmenters: a recipe becomes photos, loaders, statistics, a segmenter and a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from prepixel.data import PixelReader, SpectrumReader
from prepixel.data.datasets.coco_label_maps import CocoLabelMaps
from prepixel.data.datasets.label_maps import LabeledPhotos
from prepixel.data.datasets.mask_images import MaskImageDataset
from prepixel.data.loading.channel_statistics import Progress, measure_statistics
from prepixel.data.loading.loader import BatchLoader
from prepixel.data.loading.padded_crops import RandomScaledCrop, WholePhoto
from prepixel.data.loading.segmentation_dataset import SegmentationDataset
from prepixel.errors import DatasetError, ReadFailure, RunError
from prepixel.models import (
    Segmenter,
    WeightsMismatch,
    fold_segmenter,
    frequency_segmenter,
    pixel_segmenter,
)
from prepixel.models.input_norm import PixelInput
from prepixel.recipes.parsing import expand_path
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.runs.loader_options import check_batch_size, index_choice, loader_options
from prepixel.runs.run_metadata import bytes_per_value, input_costs, run_sizes
from prepixel.spectrum import BandSet, Statistics
from prepixel.tasks import Segmentation

PHOTOS = "photos"  # what messages call the training set's samples


@dataclass(frozen=True)
class LabeledFolders:
    """Store a segmentation recipe's data sets.

    Attributes:
        train: what it learns from.
        val: what it is scored on; None where the recipe names none.
    """

    train: LabeledPhotos
    val: LabeledPhotos | None

    @classmethod
    def of(cls, recipe: SegmentationRecipe) -> LabeledFolders:
        """Open both parts' photos and labels.

        Raises:
            DatasetError: photos, masks or annotations are missing or wrong, or the parts have not the same classes.
            RecipeError: a path names an environment variable that is not set.
        """
        train = open_part(recipe, "train")
        if recipe.data.val is None:
            return cls(train, None)
        val = open_part(recipe, "val")
        if train.classes != val.classes:
            raise DatasetError(
                f"{recipe.data.train} has {len(train.classes)} classes and {recipe.data.val} {len(val.classes)}, or "
                "others; both must have the same ones"
            )
        return cls(train, val)


def open_part(recipe: SegmentationRecipe, part: str) -> LabeledPhotos:
    """Open the photos and labels of one part of a recipe's data, ``train`` or ``val``."""
    data = recipe.data
    given = {suffix: getattr(data, f"{part}{suffix}") for suffix in ("", "_annotations", "_masks", "_names")}
    paths = {suffix: expand_path(text, f"data.{part}{suffix}") for suffix, text in given.items() if text is not None}
    if "_annotations" in paths:
        return CocoLabelMaps(paths["_annotations"], paths[""], on_error=data.on_error, one_class=data.one_class)
    return MaskImageDataset(
        paths[""],
        paths["_masks"],
        classes=expand_path(data.classes or "", "data.classes"),
        names=paths.get("_names"),
        ignore_label=data.ignore_label,
    )


def build_frame_reader(recipe: SegmentationRecipe, statistics: Statistics | None) -> SpectrumReader | PixelReader:
    """Build what turns photos into frames; int8 values take their steps from statistics."""
    settings = recipe.input
    if settings.bands is None or settings.grid is None:
        return PixelReader(settings.pixels or (0, 0))
    bands = BandSet.parse(settings.bands)
    if settings.encoding == "float32":
        return SpectrumReader(settings.grid, bands, settings.filter)
    assert statistics is not None
    shift, unit = statistics.shift().float(), statistics.int8_unit().float()
    return SpectrumReader(settings.grid, bands, settings.filter, torch.int8, shift, unit)


def build_segmentation_loader(
    recipe: SegmentationRecipe,
    photos: LabeledPhotos,
    statistics: Statistics | None,
    *,
    training: bool,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> BatchLoader:
    """Build the loader of training or validation batches.

    Raises:
        RunError: there are fewer training photos than a batch holds.
    """
    data, settings = recipe.data, recipe.input
    if training:
        check_batch_size(recipe, photos, PHOTOS)
    dataset = SegmentationDataset(
        photos,
        build_frame_reader(recipe, statistics),
        settings.frame,
        RandomScaledCrop(settings.scales, settings.flip_probability) if training else WholePhoto(),
        seed=recipe.seed,
        threads=data.threads,
        indexes=index_choice(recipe),
    )
    batch_size = data.batch_size if training else data.val_batch_size or data.batch_size
    options = loader_options(recipe, batch_size=batch_size, rank=rank, world_size=world_size, pin_memory=pin_memory)
    return BatchLoader(dataset, training=training, **options)


def build_recipe_segmenter(
    recipe: SegmentationRecipe,
    num_classes: int,
    statistics: Statistics | None = None,
    weights: dict[str, Any] | None = None,
) -> Segmenter:
    """Build the segmenter with first weights that depend on the recipe's seed alone.

    Args:
        recipe: which segmenter.
        num_classes: the background included.
        statistics: of the channels, for a removed stem.
        weights: of the RGB classifier.

    Raises:
        RunError: the weights are of another trunk.
        ModelError: there is no such trunk.
    """
    settings, bands = recipe.network, recipe.input.bands
    torch.manual_seed(recipe.seed)
    shared: dict[str, Any] = {"weights": weights, "aux": settings.aux}
    try:
        if bands is None:
            return pixel_segmenter(settings.kind, settings.name, num_classes, **shared)
        if settings.stem == "folded":
            on_pixels = pixel_segmenter(settings.kind, settings.name, num_classes, **shared)
            return fold_segmenter(on_pixels, bands, pixels_per_block=recipe.input.pixels_per_block)
        shift, scale = (None, None) if statistics is None else (statistics.shift(), statistics.scale())
        return frequency_segmenter(
            settings.kind, settings.name, BandSet.parse(bands), num_classes, shift=shift, scale=scale, **shared
        )
    except WeightsMismatch as error:
        raise RunError(f"network.rgb_weights: {settings.rgb_weights}: {error}") from error


def take_segmenter(network: Segmenter, given: Segmenter) -> None:
    """Take all weights of another segmenter; of one on pixels, folded over the network's channels.

    Raises:
        ValueError: they are of different kinds or trunks, or one is on pixels and the other, which gives, is not.
        RuntimeError: their parts are not the same.
    """
    if (network.kind, network.trunk) != (given.kind, given.trunk):
        raise ValueError(f"{given.kind}, {given.trunk}, not {network.kind}, {network.trunk}")
    if isinstance(given.input, PixelInput) and not isinstance(network.input, PixelInput):
        given = fold_segmenter(given, network.input.bands, pixels_per_block=network.pixels_per_block)
    elif type(network.input) is not type(given.input):
        raise ValueError("it is on coefficients, and pixels are asked for")
    network.load_state_dict(given.state_dict())


def build_segmentation_task(recipe: SegmentationRecipe, num_classes: int) -> Segmentation:
    """Build the task."""
    return Segmentation(num_classes, recipe.task.aux_weight)


def segmentation_statistics(
    recipe: SegmentationRecipe,
    photos: LabeledPhotos,
    bands: BandSet,
    progress: Progress | None,
    failures: list[ReadFailure] | None = None,
) -> Statistics:
    """Read the statistics that a recipe names, or measure them on the largest centered parts of its training photos."""
    settings = recipe.input
    if settings.statistics is not None:
        return Statistics.read(expand_path(settings.statistics, "input.statistics")).for_bands(bands)
    return measure_statistics(
        photos,
        grid=settings.grid or (0, 0),
        bands=bands,
        crop_fraction=1.0,
        filter=settings.filter,
        max_images=settings.statistics_images,
        threads=recipe.data.threads,
        on_error=recipe.data.on_error,
        progress=progress,
        failures=failures,
        indexes=index_choice(recipe),
    )


def segmentation_run_metadata(
    recipe: SegmentationRecipe, network: Segmenter, folders: LabeledFolders, processes: int
) -> dict[str, float | int | str]:
    """Return what a table's row needs beside scores: the input, its resolution, and its costs."""
    settings = recipe.input
    bands = None if settings.bands is None else BandSet.parse(settings.bands)
    costs = input_costs(network, bands, settings.grid, settings.pixels)
    frame = f"frames of {settings.frame[0]} x {settings.frame[1]}"
    folded = ["folded"] if recipe.network.stem == "folded" else []
    return {
        "input": costs.label,
        "source": frame if costs.source == settings.frame else f"{frame}, from {costs.source[0]} x {costs.source[1]}",
        "values_per_sample": costs.values,
        "bytes_per_sample": costs.values * bytes_per_value(settings),
        "network": ", ".join([recipe.network.kind, recipe.network.name, *folded]),
        "macs": costs.macs,
        **run_sizes(recipe, network, folders, processes),
    }
