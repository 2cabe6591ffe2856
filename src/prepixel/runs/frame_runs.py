"""What runs on frames, those of detectors and segmenters, have alike."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from prepixel.data.loading.channel_statistics import Progress
from prepixel.data.loading.loader import BatchLoader
from prepixel.engine.protocols import Task
from prepixel.errors import ReadFailure, RunError
from prepixel.recipes.detection import DetectionRecipe
from prepixel.recipes.parsing import expand_path
from prepixel.recipes.segmentation import SegmentationRecipe
from prepixel.runs.build_classifier import read_rgb_weights
from prepixel.runs.loader_options import check_batch_size
from prepixel.runs.run_folder import RunFolder
from prepixel.runs.session import RunBuilder, RunParts
from prepixel.spectrum import BandSet, Statistics

FrameRecipe = DetectionRecipe | SegmentationRecipe


class FrameRunBuilder(RunBuilder):
    """Build the parts of a run on frames.

    Args:
        recipe: what is trained.
        folders: its data sets, with ``train`` and ``val``.
        photos: what messages call the training set's samples.

    Attributes:
        recipe: what is trained.
        folders: its data sets.
    """

    def __init__(self, recipe: FrameRecipe, folders: Any, photos: str) -> None:
        self.recipe = recipe
        self.folders = folders
        self.classes = folders.train.classes
        self.bands = None if recipe.input.bands is None else BandSet.parse(recipe.input.bands)
        self.failures: list[ReadFailure] = []
        check_batch_size(recipe, folders.train, photos)

    @abc.abstractmethod
    def measure(self, bands: BandSet, progress: Progress | None) -> Statistics:
        """Measure or read the statistics of the channels."""

    @abc.abstractmethod
    def loader(self, photos: Any, statistics: Statistics | None, *, training: bool, **options: Any) -> BatchLoader:
        """Build the loader of training or validation batches."""

    @abc.abstractmethod
    def network(self, place: RunFolder) -> nn.Module:
        """Build the network with its first weights."""

    @abc.abstractmethod
    def task(self, network: Any) -> Task:
        """Build the task."""

    @abc.abstractmethod
    def metadata(self, network: Any, processes: int) -> dict[str, float | int | str]:
        """Return what a table's row needs beside scores."""

    def write_inputs(self, place: RunFolder, progress: Progress | None) -> None:
        """Measure or copy the statistics of the channels where they are needed."""
        if needs_statistics(self.recipe) and self.bands is not None and not place.statistics.exists():
            self.measure(self.bands, progress).write(place.statistics)

    def build(self, place: RunFolder, accelerator: Accelerator) -> RunParts:
        """Build network, task and loaders."""
        train, val = self.folders.train, self.folders.val
        loader = functools.partial(
            self.loader,
            statistics=read_frame_statistics(place, self.recipe),
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            pin_memory=accelerator.device.type == "cuda",
        )
        network = self.network(place)
        parts = [part for part in (train, val) if part is not None and part.problems]
        return RunParts(
            network,
            self.task(network),
            loader(train, training=True),
            None if val is None else loader(val, training=False),
            self.metadata(network, accelerator.num_processes),
            tuple(describe_problems(part.problems) for part in parts),
            sum(len(part.problems) for part in parts),
        )


def needs_statistics(recipe: FrameRecipe) -> bool:
    """Return whether channels are normalized or encoded by statistics of the data; a folded stem has its own norm."""
    settings = recipe.input
    return settings.kind == "spectrum" and (recipe.network.stem == "removed" or settings.encoding == "int8")


def read_frame_statistics(place: RunFolder, recipe: FrameRecipe) -> Statistics | None:
    """Read the statistics that a run kept; None where it needs none."""
    if not needs_statistics(recipe):
        return None
    return Statistics.read(place.statistics).for_bands(BandSet.read(place.bands))


def read_first_weights(recipe: FrameRecipe) -> dict[str, Tensor] | None:
    """Read the weights that ``network.rgb_weights`` names; None where it names none.

    Raises:
        RunError: the file cannot be read, or holds no weights by name.
    """
    path = recipe.network.rgb_weights
    return None if path is None else read_rgb_weights(expand_path(path, "network.rgb_weights"))


def start_from_run(
    recipe: FrameRecipe, network: Any, load: Callable[..., Any], take: Callable[[Any, Any], None]
) -> None:
    """Take over the weights of the run that ``network.from_run`` names, if it names one.

    Args:
        recipe: of the run that begins.
        network: gets the weights.
        load: opens a run.
        take: copies the weights of a run's network.

    Raises:
        RunError: the other run's network is another.
    """
    if recipe.network.from_run is None:
        return
    start = load(expand_path(recipe.network.from_run, "network.from_run"), weights="last", device="cpu")
    try:
        take(network, start.network)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise RunError(f"network.from_run: {start.folder.path} is of another network: {reason}") from error


def describe_problems(problems: Sequence[str]) -> str:
    """Return a line about entries of annotations that are left out."""
    entries = "1 entry" if len(problems) == 1 else f"{len(problems):,} entries"
    return f"{entries} of the annotations left out, the first: {problems[0]}"
