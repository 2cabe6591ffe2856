"""Training batches that are changed on the device, by draws that are functions of (seed, epoch, batch, rank)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from prepixel.data import Batch, ReadFailure
from prepixel.data.loading.loader import BatchLoader
from prepixel.data.random_streams import Stream, sample_generator
from prepixel.recipes.augmentation import AugmentSettings
from prepixel.runs.pixel_augmentation import PixelAugmentation
from prepixel.spectrum import Spectrum
from prepixel.transforms import BatchTransform, Compose, CutMix, MixUp, RandAugment, RandomChoice, RandomErasing
from prepixel.transforms import TrivialAugmentWide as TrivialAugment

# Inputs and labels, and what chance is drawn from, to changed ones.
Augmentation = Callable[[Spectrum | Tensor, Tensor, torch.Generator], tuple[Spectrum | Tensor, Tensor]]


@dataclass(frozen=True)
class AugmentedBatch:
    """Store a batch that is changed when it is moved to the device.

    Attributes:
        batch: as it was read.
        augmentation: what changes it.
        seed: of its draws.
    """

    batch: Batch
    augmentation: Augmentation
    seed: int

    @property
    def inputs(self) -> Spectrum | Tensor:
        """Return the inputs as they were read."""
        return self.batch.inputs

    @property
    def targets(self) -> Tensor:
        """Return the labels as they were read."""
        return self.batch.targets

    def __len__(self) -> int:
        return len(self.batch)

    def to(self, device: torch.device | str) -> Batch:
        """Move the batch to a device, and change it there."""
        moved = self.batch.to(device)
        if not len(moved):
            return moved
        generator = torch.Generator().manual_seed(self.seed)
        inputs, targets = self.augmentation(moved.inputs, moved.targets, generator)
        return Batch(inputs, targets, moved.indices)


class AugmentedLoader:
    """Load the batches of another loader, to be changed on the device.

    Args:
        loader: of training batches.
        augmentation: what changes them.
        seed: of the draws, which depend on it, the epoch, the batch and the rank alone.
    """

    def __init__(self, loader: BatchLoader, augmentation: Augmentation, seed: int) -> None:
        self.loader, self.augmentation, self.seed = loader, augmentation, seed

    @property
    def failures(self) -> tuple[ReadFailure, ...]:
        """List the files that were left out so far, each once."""
        return self.loader.failures

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[AugmentedBatch]:
        """Yield the batches of an epoch, from ``first_batch`` on as an undisturbed pass would."""
        batches = self.loader.epoch(epoch, first_batch)
        try:
            for number, batch in enumerate(batches, first_batch):
                place = number * self.loader.world_size + self.loader.rank
                source = sample_generator(self.seed, epoch, place, Stream.AUGMENT)
                yield AugmentedBatch(batch, self.augmentation, int(source.integers(2**63)))
        finally:
            batches.close()


def build_augmentation(settings: AugmentSettings, num_classes: int, *, pixels: bool) -> Augmentation:
    """Build what changes training batches, of spectra or of uint8 RGB pixels, by the same draws."""
    if pixels:
        return PixelAugmentation(settings, num_classes)
    transform = Compose(spectrum_transforms(settings, num_classes))

    def change(
        inputs: Spectrum | Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Spectrum | Tensor, Tensor]:
        assert isinstance(inputs, Spectrum)
        return transform(inputs, labels, generator=generator)

    return change


def spectrum_transforms(settings: AugmentSettings, num_classes: int) -> list[BatchTransform]:
    """Return the transforms of a recipe's section, in order."""
    found: list[BatchTransform] = []
    if settings.rand_augment:
        found.append(RandAugment(settings.rand_augment, settings.magnitude))
    if settings.trivial_augment:
        found.append(TrivialAugment())
    if settings.erasing:
        found.append(RandomErasing(settings.erasing, value="mean"))
    mixing: list[BatchTransform] = []
    if settings.mixup:
        mixing.append(MixUp(settings.mixup, num_classes))
    if settings.cutmix:
        mixing.append(CutMix(settings.cutmix, num_classes))
    if mixing:
        found.append(RandomChoice(mixing))
    return found
