"""Where the rooms meet: a recipe becomes readers, loaders, statistics, a network and a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from prepixel.data import (
    CenterCrop,
    CropLoader,
    ImageDataset,
    ListedDataset,
    PixelReader,
    RandomCrop,
    SpectrumReader,
    open_dataset,
)
from prepixel.data.loading.block_shuffle import BlockShuffle
from prepixel.data.loading.channel_statistics import Progress, measure_statistics
from prepixel.errors import ModelError, ReadFailure, RecipeError, RunError
from prepixel.gates import GatedNetwork, GateError, build_gate
from prepixel.models import (
    FoldedNetwork,
    FrequencyNetwork,
    LibraryNetwork,
    LightNetwork,
    PixelNetwork,
    SpectrumInput,
    WeightReuse,
    WeightsMismatch,
    fold,
    frequency_network,
    light_network,
    load_library_weights,
    load_rgb_weights,
    pixel_network,
)
from prepixel.models.pretrained import library_weights, looks_like_a_file
from prepixel.models.stochastic_depth import set_stochastic_depth
from prepixel.models.weight_files import read_weights
from prepixel.recipes.classification import InputSettings, Recipe
from prepixel.recipes.parsing import expand_location, expand_path
from prepixel.runs.loader_options import check_batch_size, index_choice, loader_options
from prepixel.runs.run_metadata import bytes_per_value, input_costs, run_sizes
from prepixel.spectrum import BandSet, Statistics
from prepixel.stores.remote_path import is_url
from prepixel.tasks import Classification, GatedClassification, MultiLabel, Regression, TargetScaling

Network = FrequencyNetwork | PixelNetwork | LibraryNetwork | FoldedNetwork | LightNetwork | GatedNetwork


@dataclass(frozen=True)
class DataFolders:
    """Store a recipe's data sets.

    Attributes:
        train: what it learns from.
        val: what it is scored on, classes numbered as in ``train``; None where the recipe names none.
    """

    train: ImageDataset
    val: ImageDataset | None

    @classmethod
    def of(cls, recipe: Recipe) -> DataFolders:
        """List a recipe's folders.

        Raises:
            DatasetError: a folder is missing, empty, or its classes are unknown.
            RecipeError: a path names an environment variable that is not set, or nothing is in a store, and a cache is
                named.
        """
        _check_cache(recipe)
        if recipe.task.kind != "classification":
            return cls._listed(recipe)
        train = _open_cached(recipe, recipe.data.train, "data.train", None)
        if recipe.data.val is None:
            return cls(train, None)
        return cls(train, _open_cached(recipe, recipe.data.val, "data.val", train.classes))

    @classmethod
    def _listed(cls, recipe: Recipe) -> DataFolders:
        kind: Literal["labels", "values"] = "labels" if recipe.task.kind == "multi_label" else "values"
        train = ListedDataset(expand_path(recipe.data.train, "data.train"), kind=kind)
        if recipe.data.val is None:
            return cls(train, None)
        path = expand_path(recipe.data.val, "data.val")
        return cls(train, ListedDataset(path, kind=kind, class_names=train.classes))


def _check_cache(recipe: Recipe) -> None:
    places = {f"data.{name}": getattr(recipe.data, name) for name in ("train", "val")}
    locations = [expand_location(place, key) for key, place in places.items() if place is not None]
    if recipe.data.cache is not None and not any(map(is_url, locations)):
        raise RecipeError(
            "data.cache keeps shards of a store, and neither data.train nor data.val is in one; remove it"
        )


def _open_cached(recipe: Recipe, place: str, key: str, class_names: Sequence[str] | None) -> ImageDataset:
    """Open a data set, with the recipe's cache if it is in a store."""
    location, cache = expand_location(place, key), recipe.data.cache
    if cache is None or not is_url(location):
        return open_dataset(location, class_names=class_names)
    folder = expand_path(cache, "data.cache")
    return open_dataset(location, class_names=class_names, cache=folder, cache_bytes=recipe.data.cache_bytes)


def parse_bands(settings: InputSettings) -> BandSet | None:
    """Return a recipe's band set; None for rgb."""
    return None if settings.bands is None else BandSet.parse(settings.bands)


def statistics_of(
    recipe: Recipe,
    files: ImageDataset,
    bands: BandSet,
    progress: Progress | None,
    failures: list[ReadFailure] | None = None,
) -> Statistics:
    """Read the statistics that a recipe names, or measure them on its training images.

    Args:
        recipe: says which, or how to measure.
        files: the training images.
        bands: the channels.
        progress: called with images done and images in all.
        failures: takes the files that could not be read, where the recipe skips them.

    Raises:
        RunError: the file's grid is another, or it lacks a channel.
    """
    settings = recipe.input
    grid = settings.grid or (0, 0)
    if settings.statistics is not None:
        path = expand_path(settings.statistics, "input.statistics")
        statistics = Statistics.read(path)
        if statistics.grid != grid:
            raise RunError(
                f"{path}: statistics of a {statistics.grid[0]} x {statistics.grid[1]} grid, and input.grid is "
                f"{grid[0]} x {grid[1]}; measure them again: prepixel stats FOLDER --grid {grid[0]} {grid[1]}"
            )
        return statistics.for_bands(bands)
    return measure_statistics(
        files,
        grid=grid,
        bands=bands,
        crop_fraction=settings.crop_fraction,
        filter=settings.filter,
        max_images=settings.statistics_images,
        threads=recipe.data.threads,
        on_error=recipe.data.on_error,
        progress=progress,
        failures=failures,
        indexes=index_choice(recipe),
    )


def build_reader(
    settings: InputSettings, bands: BandSet | None, statistics: Statistics | None
) -> SpectrumReader | PixelReader:
    """Build what turns files into a network's inputs."""
    if bands is None or settings.grid is None:
        return PixelReader(settings.pixels or (0, 0))
    if settings.encoding != "int8" or statistics is None:
        return SpectrumReader(settings.grid, bands, settings.filter)
    shift, unit = statistics.shift().float(), statistics.int8_unit().float()
    return SpectrumReader(settings.grid, bands, settings.filter, torch.int8, shift, unit)


def build_loader(
    recipe: Recipe,
    files: ImageDataset,
    reader: SpectrumReader | PixelReader,
    *,
    training: bool,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> CropLoader:
    """Build the loader of training or validation batches.

    Raises:
        RunError: there are fewer training images than a batch holds.
    """
    settings, data = recipe.input, recipe.data
    if training:
        check_batch_size(recipe, files)
    batch_size = data.batch_size if training else data.val_batch_size or 2 * data.batch_size
    crop = RandomCrop(settings.areas, settings.ratios, settings.flip_probability)
    return CropLoader(
        files,
        reader,
        crop=crop if training else CenterCrop(settings.crop_fraction),
        seed=recipe.seed,
        training=training,
        repeats=data.repeats if training else 1,
        block_shuffle=BlockShuffle(data.shuffle_block, data.shuffle_open) if data.shuffle_block > 1 else None,
        threads=data.threads,
        indexes=index_choice(recipe),
        **loader_options(recipe, batch_size=batch_size, rank=rank, world_size=world_size, pin_memory=pin_memory),
    )


def build_network(recipe: Recipe, num_classes: int, bands: BandSet | None, statistics: Statistics | None) -> Network:
    """Build the network, and the gate before it, with first weights that depend on the recipe's seed alone.

    Raises:
        RunError: the gate asks for more than the band set has.
    """
    torch.manual_seed(recipe.seed)
    network = _build_ungated(recipe, num_classes, bands, statistics)
    if recipe.gate.kind == "none" or isinstance(network, PixelNetwork | LibraryNetwork):
        return network
    bands = network.input.bands
    try:
        costs = torch.full((len(bands),), _channel_bytes(recipe), device="cpu")
        return GatedNetwork(network, build_gate(bands, recipe.gate, costs))
    except GateError as error:
        raise RunError(f"gate: {error}") from error


def _channel_bytes(recipe: Recipe) -> float:
    """Count the bytes of one channel of one sample."""
    down, across = recipe.input.grid or (0, 0)
    return float(down * across * bytes_per_value(recipe.input))


def _build_ungated(
    recipe: Recipe, num_classes: int, bands: BandSet | None, statistics: Statistics | None
) -> FrequencyNetwork | PixelNetwork | LibraryNetwork | FoldedNetwork | LightNetwork:
    settings = recipe.network
    if bands is None:
        return _pixel_network(recipe, num_classes)
    if settings.stem == "folded":
        return _fold(recipe, _pixel_network(recipe, num_classes), bands)
    shift, scale = (None, None) if statistics is None else (statistics.shift(), statistics.scale())
    if settings.stem == "light":
        return _lighten(recipe, _pixel_network(recipe, num_classes), SpectrumInput(bands, shift, scale))
    network = frequency_network(
        settings.name, bands, num_classes, layer2_stride=settings.layer2_stride, shift=shift, scale=scale
    )
    if settings.stochastic_depth is not None:
        set_stochastic_depth(network, settings.stochastic_depth, settings.name)
    return network


def _pixel_network(recipe: Recipe, num_classes: int) -> PixelNetwork | LibraryNetwork:
    """Build the RGB network of a recipe for the pixels that it takes."""
    settings = recipe.network
    pixels = recipe.input.pixels or settings.pixels
    return pixel_network(settings.name, num_classes, pixels, stochastic_depth=settings.stochastic_depth)


def _fold(recipe: Recipe, network: PixelNetwork | LibraryNetwork, bands: BandSet) -> FoldedNetwork:
    """Fold an RGB network, which normalizes its pixels itself."""
    return fold(
        network,
        pixels=recipe.network.pixels or (0, 0),
        grid=recipe.input.grid or (0, 0),
        bands=bands,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def _lighten(recipe: Recipe, network: PixelNetwork | LibraryNetwork, normalization: SpectrumInput) -> LightNetwork:
    return light_network(
        network,
        normalization.bands,
        pixels=recipe.network.pixels or (0, 0),
        grid=recipe.input.grid or (0, 0),
        shift=normalization.shift,
        scale=normalization.scale,
    )


def reuse_rgb_weights(recipe: Recipe, network: Network, num_classes: int) -> WeightReuse | None:
    """Fill a network from the RGB checkpoint that its recipe names, if it names one.

    Raises:
        RunError: the file cannot be read, or holds another network's weights.
    """
    if recipe.network.rgb_weights is None:
        return None
    path, state = _rgb_weights(recipe)
    if isinstance(network, GatedNetwork):
        network = network.network
        assert isinstance(network, FrequencyNetwork | FoldedNetwork | LightNetwork)
    try:
        if not isinstance(network, FoldedNetwork | LightNetwork):
            return _load(network, state, num_classes)
        torch.manual_seed(recipe.seed)  # fresh layers get the same initial weights as the RGB network of this seed
        on_pixels = _pixel_network(recipe, num_classes)
        reuse = _load(on_pixels, state, num_classes)
        derived = (
            _fold(recipe, on_pixels, network.bands)
            if isinstance(network, FoldedNetwork)
            else _lighten(recipe, on_pixels, network.input)
        )
        network.load_state_dict(derived.state_dict())
        return reuse
    except WeightsMismatch as error:
        raise RunError(f"network.rgb_weights: {path}: {error}") from error


def _load(
    network: FrequencyNetwork | PixelNetwork | LibraryNetwork, state: dict[str, Tensor], num_classes: int
) -> WeightReuse:
    if isinstance(network, LibraryNetwork):
        return load_library_weights(network, state, num_classes)
    return load_rgb_weights(network, state)


def _rgb_weights(recipe: Recipe) -> tuple[str, dict[str, Tensor]]:
    """Return the weights that a recipe names, a file's or a library's, and what messages call them."""
    settings = recipe.network
    given = str(settings.rgb_weights)
    path = expand_path(given, "network.rgb_weights")
    if path.exists() or looks_like_a_file(given):
        return str(path), read_rgb_weights(path)
    try:
        return given, library_weights(settings.name, given, recipe.input.pixels or settings.pixels)
    except ModelError as error:
        raise RunError(f"network.rgb_weights: {error}") from error


def read_rgb_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights that ``network.rgb_weights`` names.

    Raises:
        RunError: the file cannot be read, or holds no weights by name.
    """
    try:
        return read_weights(path)
    except ModelError as error:
        raise RunError(f"network.rgb_weights: {error}") from error


def build_task(
    recipe: Recipe, num_classes: int, network: Network | None = None, scaling: TargetScaling | None = None
) -> Classification | MultiLabel | Regression:
    """Build the task; for a gated network, that which counts its channels.

    Args:
        recipe: says which.
        num_classes: classes, labels or numbers.
        network: that is trained.
        scaling: of a regression's targets.
    """
    if recipe.task.kind == "multi_label":
        return MultiLabel(num_classes, recipe.task.label_smoothing)
    if recipe.task.kind == "regression":
        assert scaling is not None
        return Regression(scaling)
    if isinstance(network, GatedNetwork):
        return GatedClassification(
            num_classes, recipe.task.label_smoothing, network.gate.budget, criterion=recipe.task.loss
        )
    return Classification(num_classes, recipe.task.label_smoothing, criterion=recipe.task.loss)


def run_metadata(
    recipe: Recipe, network: Network, folders: DataFolders, processes: int
) -> dict[str, float | int | str]:
    """Return what a table's row needs beside scores: the input, its resolution, and its costs."""
    settings = recipe.input
    bands = parse_bands(settings)
    costs = input_costs(network, bands, settings.grid, settings.pixels)
    return {
        "input": costs.label,
        "source": f"{costs.source[0]} x {costs.source[1]}",
        "values_per_sample": costs.values,
        "bytes_per_sample": costs.values * bytes_per_value(settings),
        "network": ", ".join(
            [
                recipe.network.name,
                *([recipe.network.stem] if recipe.network.stem != "removed" and bands is not None else []),
                *([f"{recipe.gate.kind} gate"] if recipe.gate.kind != "none" else []),
            ]
        ),
        "macs": costs.macs,
        **run_sizes(recipe, network, folders, processes),
    }
