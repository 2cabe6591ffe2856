"""From a gate to a set: how often each channel was on over a data set's images, and the channels most often on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from prepixel.data.loading.loader import BatchLoader
from prepixel.engine import NothingToEvaluate
from prepixel.errors import ReadFailure, RunError
from prepixel.gates import GatedNetwork, GateOutput
from prepixel.models.detectors import Detector, SpectralBackbone
from prepixel.runs.classifier import TrainedRun
from prepixel.runs.detector import TrainedDetector
from prepixel.runs.segmenter import TrainedSegmenter
from prepixel.spectrum import BandSet


@dataclass(frozen=True)
class Agreement:
    """Store how far an order of channels agrees with a set of k of them.

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
    """Store how often a gate left each channel on.

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
        """Return the mean number of channels that were on for an image."""
        return float(self.on.sum())

    def best(self, count: int, origin: str) -> BandSet:
        """Name the channels most often on, in the order of their ids.

        Raises:
            RunError: there are not so many.
        """
        if not 1 <= count <= len(self.bands):
            raise RunError(f"{count} channels asked for, and the gate chooses from {len(self.bands)}")
        keys = [(-on, -odds, channel) for on, odds, channel in self._rows()]
        return BandSet(f"gates-{count}", tuple(sorted(channel for _, _, channel in sorted(keys)[:count])), origin)

    def agreement(self, bands: BandSet) -> Agreement:
        """Compare the channels that are most often on with a set.

        Raises:
            RunError: the gate does not choose from all of the set's channels, or the set has all that there are.
        """
        missing = sorted(set(bands.channels) - set(self.bands.channels))
        if missing or len(bands) == len(self.bands):
            raise RunError(f"the gate chooses from {self.bands}, of which {bands} is no part that could be chosen")
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
        """Return the share of images for which each channel was on, by its id."""
        return {channel: on for on, _, channel in self._rows()}

    def _rows(self) -> list[tuple[float, float, int]]:
        return list(zip(self.on.tolist(), self.odds.tolist(), self.bands.channels, strict=True))


def measure_use(
    run: TrainedRun | TrainedDetector | TrainedSegmenter,
    folder: str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
) -> tuple[ChannelUse, tuple[ReadFailure, ...]]:
    """Count over images how often a run's gate lets each channel pass.

    Args:
        run: with a gate.
        folder: for a classifier, images of the run's classes; None for the recipe's validation images.
        threads: threads to read on; None for the recipe's.

    Returns:
        The counts, and the files that were left out (where the recipe skips bad files).

    Raises:
        RunError: the run has no gate; no folder is given, and the recipe names none; or one is given for a detector.
        DatasetError: the folder has no image, or classes that the run does not know.
        NothingToEvaluate: no image could be read.
    """
    bands, choose = _chooser(run)
    loader: BatchLoader
    if isinstance(run, TrainedRun):
        loader = run.loader(folder, threads=threads)
    elif folder is None:
        _, loader = run.photos_and_loader(threads=threads)
    else:
        raise RunError(f"{run.folder.path}: is a detector's, whose photos its recipe names; leave out --data")
    on = torch.zeros(len(bands), dtype=torch.float64)
    odds, images = torch.zeros_like(on), 0
    with torch.inference_mode():
        for batch in loader.epoch(0):
            if len(batch):
                choice = choose(batch.inputs)
                on += choice.bits.double().sum(0).cpu()
                odds += choice.log_odds.double().sum(0).cpu()
                images += len(batch)
    if not images:
        raise NothingToEvaluate(f"{run.folder.path}: no image could be read, so there is nothing to count")
    return ChannelUse(bands, on / images, odds / images, images), loader.failures


def _chooser(run: TrainedRun | TrainedDetector | TrainedSegmenter) -> tuple[BandSet, Callable[[Any], GateOutput]]:
    """Return the channels that a run's gate chooses from, and a function that returns its choice for a batch."""
    network = run.network
    if isinstance(network, GatedNetwork):
        device, gate, normalize = run.device, network.gate, network.network.input
        return network.bands, lambda inputs: gate(normalize(inputs.to(device)))[1]
    backbone = network.backbone if isinstance(network, Detector) else None
    if not isinstance(backbone, SpectralBackbone) or backbone.gate is None:
        raise RunError(f"{run.folder.path}: has no gate; ask which channels it needs by: prepixel sensitivity")
    spectral = backbone

    def choose(inputs: Any) -> GateOutput:
        spectral.see(inputs.to(run.device))
        assert spectral.choice is not None
        return spectral.choice

    return backbone.gate.bands, choose
