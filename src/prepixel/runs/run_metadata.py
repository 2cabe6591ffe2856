"""What the tables of runs of every kind say beside scores."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from prepixel.models import count_macs, count_parameters, example_pixels, example_spectrum
from prepixel.recipes import AnyRecipe
from prepixel.spectrum import BandSet


class InputCosts(NamedTuple):
    """Store what an input of one size is, and what a network computes for it.

    Attributes:
        label: its kind and channels.
        source: height and width in pixels of the image that it holds.
        values: of one sample.
        macs: multiply-adds of one sample.
    """

    label: str
    source: tuple[int, int]
    values: int
    macs: int


def input_costs(
    network: nn.Module, bands: BandSet | None, grid: tuple[int, int] | None, pixels: tuple[int, int] | None
) -> InputCosts:
    """Count the costs of a sample: of a grid of blocks, or of pixels where there are no bands."""
    if bands is None or grid is None:
        height, width = size = pixels or (0, 0)
        return InputCosts("RGB", size, 3 * height * width, count_macs(network, example_pixels(size)))
    macs = count_macs(network, example_spectrum(bands, grid))
    return InputCosts(f"DCT {bands}", (8 * grid[0], 8 * grid[1]), bands.num_values(grid), macs)


def bytes_per_value(settings: Any) -> int:
    """Return the bytes of a value on its way to the device, of a recipe's input."""
    return 1 if settings.encoding == "int8" or settings.kind == "rgb" else 4


def run_sizes(recipe: AnyRecipe, network: nn.Module, folders: Any, processes: int) -> dict[str, float | int | str]:
    """Return how large a run is: weights, epochs, classes, images, processes."""
    return {
        "parameters": count_parameters(network),
        "epochs": recipe.training.epochs,
        "classes": len(folders.train.classes),
        "train_images": len(folders.train),
        "val_images": 0 if folders.val is None else len(folders.val),
        "processes": processes,
    }
