"""From a gate to a set: how often each channel was on over a data set's images, and the channels most often on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from prepixel.engine import NothingToEvaluate
from prepixel.errors import RecipeError
from prepixel.gates import GatedNetwork
from prepixel.recipe.running import TrainedRun
from prepixel.spectrum import BandSet


@dataclass(frozen=True)
class Agreement:
    """Hold how far an order of channels agrees with a set of k of them.

    Attributes:
        spearman: rank correlation with being in the set; it cannot reach 1, as the set has no order: at most .573 for
            24 of 192.
        auc: how often a channel of the set stands above one that is not; .5 by chance, 1 if all of them do.
        shared: how many of the first k are in the set.
    """

    spearman: float
    auc: float
    shared: int


@dataclass(frozen=True)
class ChannelUse:
    """Hold how often a gate let each channel pass.

    Attributes:
        bands: the channels that it chose from.
        on: share of the images for which each was on.
        odds: mean log-odds of each, which tells channels apart that were on equally often.
        images: images that passed the gate.
    """

    bands: BandSet
    on: Float64[Tensor, " f"]
    odds: Float64[Tensor, " f"]
    images: int

    @property
    def channels_on(self) -> float:
        """Give the mean number of channels that were on for an image."""
        return float(self.on.sum())

    def best(self, count: int, origin: str) -> BandSet:
        """Name the channels most often on, in the order of their ids.

        Raises:
            RecipeError: there are not so many.
        """
        if not 1 <= count <= len(self.bands):
            raise RecipeError(f"{count} channels asked for, and the gate chooses from {len(self.bands)}")
        keys = [(-on, -odds, channel) for on, odds, channel in self._rows()]
        return BandSet(f"gates-{count}", tuple(sorted(channel for _, _, channel in sorted(keys)[:count])), origin)

    def agreement(self, bands: BandSet) -> Agreement:
        """Say how far the channels most often on are those of a set.

        Raises:
            RecipeError: the gate does not choose from all of the set's channels, or the set has all that there are.
        """
        missing = sorted(set(bands.channels) - set(self.bands.channels))
        if missing or len(bands) == len(self.bands):
            raise RecipeError(f"the gate chooses from {self.bands}, of which {bands} is no part that could be chosen")
        order = sorted(self._rows())  # least often on first; log-odds tell apart those on equally often
        ranks = {channel: rank for rank, (_, _, channel) in enumerate(order, start=1)}
        inside, n = len(bands), len(order)
        above = sum(ranks[channel] for channel in bands.channels) - inside * (inside + 1) / 2
        auc = above / (inside * (n - inside))
        # Spearman's correlation of distinct ranks with membership, whose ranks are tied in two groups
        spearman = (2 * auc - 1) * (3 * inside * (n - inside) / (n * n - 1)) ** 0.5
        best = {channel for _, _, channel in order[-inside:]}
        return Agreement(spearman, auc, len(best & set(bands.channels)))

    def shares(self) -> dict[int, float]:
        """Give the share of images for which each channel was on, by its id."""
        return {channel: on for on, _, channel in self._rows()}

    def _rows(self) -> list[tuple[float, float, int]]:
        return list(zip(self.on.tolist(), self.odds.tolist(), self.bands.channels, strict=True))


def measure_use(
    run: TrainedRun, folder: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> tuple[ChannelUse, tuple[tuple[str, str], ...]]:
    """Count over images how often a run's gate lets each channel pass.

    Args:
        run: with a gate.
        folder: images of the run's classes; None for the recipe's validation images.
        threads: threads to read on; None for the recipe's.

    Returns:
        The counts, and the files that were left out (where the recipe skips bad files).

    Raises:
        RecipeError: the run has no gate; or no folder is given, and the recipe names none.
        DatasetError: the folder has no image, or classes that the run does not know.
        NothingToEvaluate: no image could be read.
    """
    network = run.network
    if not isinstance(network, GatedNetwork):
        raise RecipeError(f"{run.folder.path}: has no gate; ask which channels it needs by: prepixel sensitivity")
    loader = run.loader(folder, threads=threads)
    on = torch.zeros(len(network.bands), dtype=torch.float64)
    odds, images = torch.zeros_like(on), 0
    with torch.inference_mode():
        for batch in loader.epoch(0):
            if len(batch):
                _, choice = network.gate(network.network.input(batch.inputs.to(run.device)))
                on += choice.bits.double().sum(0).cpu()
                odds += choice.log_odds.double().sum(0).cpu()
                images += len(batch)
    if not images:
        raise NothingToEvaluate(f"{run.folder.path}: no image could be read, so there is nothing to count")
    return ChannelUse(network.bands, on / images, odds / images, images), loader.failures
