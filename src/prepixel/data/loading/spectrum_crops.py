"""Read crops of image files as spectra, drawn from torch's generator: what data sets and decoders of spectra share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prepixel.data.loading.crops import Crop, CropParams
from prepixel.data.loading.photo_indexes import IndexChoice, PhotoIndexes
from prepixel.data.loading.readers import SpectrumReader, read_drawn
from prepixel.errors import DatasetError, JpegError, ReadFailure
from prepixel.jpeg.batch import OnError, check_choice
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, Box, Spectrum
from prepixel.spectrum.boxes import Filter
from prepixel.transforms.batch_transform import BatchTransform
from prepixel.transforms.geometric import GeometricTransform


class ReadWarning(UserWarning):
    """Warn that a sample was left out because its file cannot be read."""


def describe_spectra(reader: SpectrumReader) -> str:
    """Return what a reader makes of an image: the channels, the grid and the type."""
    dtype = str(reader.dtype).removeprefix("torch.")
    return f"{reader.bands} on {reader.grid[0]} x {reader.grid[1]} blocks, {dtype}"


class SpectrumCrops:
    """Read a crop of each of a batch of images as a spectrum, by one native call.

    Random crops take their seed from torch's generator of the process that reads, so ``DataLoader(generator=...)`` and
    ``torch.manual_seed`` make them repeatable, and workers differ. The arguments are `SpectrumDataset`'s.
    """

    def __init__(
        self,
        *,
        bands: BandSet | str,
        grid: tuple[int, int],
        transform: Crop | None = None,
        filter: Filter = "bilinear",  # noqa: A002
        dtype: torch.dtype = torch.float32,
        shift: Float[Tensor, " f"] | None = None,
        unit: Float[Tensor, " f"] | None = None,
        threads: int = 1,
        on_error: OnError = "raise",
        indexes: IndexChoice = "auto",
    ) -> None:
        # torchvision's transforms have a make_params, too, of another signature; they are modules, and ours are not
        given: object = transform
        of_batches = isinstance(given, BatchTransform) and not isinstance(given, GeometricTransform)
        if transform is not None and (
            of_batches or isinstance(transform, torch.nn.Module) or not isinstance(transform, Crop)
        ):
            raise TypeError(
                f"transform is a {type(transform).__name__}; it must draw crop parameters. Spectra are not pixels, so "
                "torchvision's transforms do not apply: use prepixel.data.RandomCrop or CenterCrop, or the geometric "
                "ones of prepixel.transforms; others change the batches that come out"
            )
        check_choice("on_error", on_error, ("raise", "skip"))
        self.transform = transform
        self.threads, self.on_error, self.indexes = threads, on_error, PhotoIndexes(indexes)
        self.reader = SpectrumReader(
            grid=grid, bands=BandSet.of(bands), filter=filter, dtype=dtype, shift=shift, unit=unit
        )

    def _attempt(self, sources: Sequence[Source]) -> tuple[Spectrum, list[int], tuple[ReadFailure, ...]]:
        """Read what can be read.

        Returns:
            The spectrum, for each of its images the place of its source, and the sources that cannot be read.
        """

        def draw(_: int, size: tuple[int, int]) -> CropParams:
            return self._params(*size)

        batch = read_drawn(self.reader, sources, draw, self.threads, indexes=self.indexes.open())
        assert isinstance(batch.inputs, Spectrum)
        return batch.inputs, batch.kept, batch.failures

    def _read(self, sources: Sequence[Source], names: Sequence[str | None] | None = None) -> tuple[Spectrum, list[int]]:
        """Read a batch under the policy ``on_error``.

        Args:
            sources: the images.
            names: what messages call the sources that are given as bytes.

        Returns:
            The spectrum, and for each of its images the place of its source.

        Raises:
            PrepixelError: an image cannot be read; not under ``"skip"``.
            OSError: a file cannot be opened; not under ``"skip"``.
            DatasetError: none of the images can be read.
        """
        spectrum, kept, failures = self._attempt(sources)
        for failure in failures:
            if names is not None and names[failure.index] and isinstance(failure.error, JpegError):
                failure.error.source = names[failure.index]
            if self.on_error == "raise":
                raise failure.error
            warnings.warn(f"left out: {failure.message}", ReadWarning, stacklevel=3)
        if failures and not kept:
            raise DatasetError(
                f"none of the {len(sources)} files of this batch can be read; the first: {failures[0].error}"
            )
        return spectrum, kept

    def _params(self, height: int, width: int) -> CropParams:
        if self.transform is None:
            return CropParams(Box(0.0, 0.0, float(height), float(width)), flipped=False)
        # one seed per sample, whatever the transform consumes: the samples of a batch do not depend on each other
        seed = int(torch.empty((), dtype=torch.int64).random_())
        return self.transform.make_params((height, width), self.reader.aspect, np.random.default_rng(seed))
