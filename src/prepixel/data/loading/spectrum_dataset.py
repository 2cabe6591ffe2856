"""Map-style PyTorch data sets of spectra, for a stock `torch.utils.data.DataLoader`.

A DataLoader that finds ``__getitems__`` asks for a whole batch at once, which one call of the native pool reads.
Samples are views of that batch, so the default collate function joins them without a copy.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from prepixel.data.datasets.folder import FolderDataset
from prepixel.data.loading.crops import Crop, CropParams
from prepixel.data.loading.readers import CropBatch, SpectrumReader, read_drawn
from prepixel.errors import DatasetError
from prepixel.files import EXTENSIONS
from prepixel.jpeg.batch import OnError, check_choice
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, Box, Spectrum
from prepixel.spectrum.boxes import Filter


class ReadWarning(UserWarning):
    """Warn that a sample was left out because its file cannot be read."""


class SpectrumDataset(Dataset[tuple[Spectrum, Any]]):
    """Read spectra of any sequence of (source, target) pairs.

    A sample is a `Spectrum` of one image and its target. Random crops take their seed from torch's generator of the
    process that reads, so ``DataLoader(generator=...)`` and ``torch.manual_seed`` make them repeatable, and workers
    differ.

    Args:
        samples: (source, target) pairs; a source is a path or the bytes of a file.
        bands: the channels, by name or as a band set.
        grid: blocks (down, across) of every spectrum.
        transform: which part of an image a sample is: `RandomCrop`, `CenterCrop`, or an object with their
            ``make_params``; None for the whole image.
        target_transform: applied to each target.
        filter: of the resize, antialiased.
        dtype: torch.float32, or torch.int8 with ``unit``.
        shift: the coefficient that 0 stands for, per channel; None for 0.
        unit: how many coefficient units one step of the values is, per channel; None for 1.
        threads: native threads per call; 1 suits DataLoader workers, 0 means one per CPU.
        on_error: ``"raise"``: the error of the first file that cannot be read; ``"skip"``: leave such files out of
            their batch, each with a `ReadWarning`. Failed files are never substituted.
    """

    def __init__(
        self,
        samples: Sequence[tuple[Source, Any]],
        *,
        bands: BandSet | str,
        grid: tuple[int, int],
        transform: Crop | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        filter: Filter = "bilinear",  # noqa: A002
        dtype: torch.dtype = torch.float32,
        shift: Float[Tensor, " f"] | None = None,
        unit: Float[Tensor, " f"] | None = None,
        threads: int = 1,
        on_error: OnError = "raise",
    ) -> None:
        # torchvision's transforms have a make_params, too, of another signature; they are modules, and ours are not
        if transform is not None and (isinstance(transform, torch.nn.Module) or not isinstance(transform, Crop)):
            raise TypeError(
                f"transform is a {type(transform).__name__}; it must draw crop parameters. Spectra are not pixels, so "
                "torchvision's transforms do not apply: use prepixel.data.RandomCrop or CenterCrop"
            )
        check_choice("on_error", on_error, ("raise", "skip"))
        self.samples: Sequence[tuple[Source, Any]] = samples
        self.transform, self.target_transform = transform, target_transform
        self.threads, self.on_error = threads, on_error
        self.reader = SpectrumReader(
            grid=grid, bands=BandSet.of(bands), filter=filter, dtype=dtype, shift=shift, unit=unit
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Spectrum, Any]:
        """Read one sample.

        Raises:
            IndexError: there is no such sample.
            PrepixelError: the file cannot be read, whatever ``on_error`` says.
            OSError: it cannot be opened.
        """
        batch = self._read([index])
        if not batch.kept:
            raise batch.failures[0].error
        assert isinstance(batch.inputs, Spectrum)
        return batch.inputs, self._target(index)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Spectrum, Any]]:
        """Read the samples of a batch by one native call.

        Raises:
            PrepixelError: a file cannot be read; not under ``"skip"``.
            OSError: a file cannot be opened; not under ``"skip"``.
            DatasetError: no file of the batch can be read.
        """
        indices = list(indices)
        inputs, kept, failures = self._read(indices)
        for failure in failures:
            if self.on_error == "raise":
                raise failure.error
            warnings.warn(f"left out: {failure.error}", ReadWarning, stacklevel=2)
        if indices and not kept:
            raise DatasetError(
                f"none of the {len(indices)} files of this batch can be read; the first: {failures[0].error}"
            )
        assert isinstance(inputs, Spectrum)
        return [(_one(inputs, i), self._target(indices[place])) for i, place in enumerate(kept)]

    def _read(self, indices: list[int]) -> CropBatch:
        sources = [self.samples[index][0] for index in indices]
        return read_drawn(self.reader, sources, lambda _, size: self._params(*size), self.threads)

    def _params(self, height: int, width: int) -> CropParams:
        if self.transform is None:
            return CropParams(Box(0.0, 0.0, float(height), float(width)), flipped=False)
        # one seed per sample, whatever the transform consumes: the samples of a batch do not depend on each other
        seed = int(torch.empty((), dtype=torch.int64).random_())
        return self.transform.make_params((height, width), self.reader.aspect, np.random.default_rng(seed))

    def _target(self, index: int) -> Any:
        target = self.samples[index][1]
        return target if self.target_transform is None else self.target_transform(target)


class SpectrumFolder(SpectrumDataset):
    """Read spectra of ``root/CLASS/.../image.jpg``, with the attributes of `torchvision.datasets.ImageFolder`.

    Classes are numbered in sorted order of their folders. Hidden files and folders are passed over.

    Args:
        root: the folder.
        extensions: what counts as an image, lower case with the dot.
        options: `SpectrumDataset`'s: bands, grid, transform and the others.

    Attributes:
        classes: class names, sorted.
        class_to_idx: the class number of each name.
        samples: (path, class number) of every image.
        targets: the class number of every image.

    Raises:
        DatasetError: the folder is missing or empty, or a class folder holds no image.
    """

    def __init__(self, root: str | os.PathLike[str], *, extensions: Sequence[str] = EXTENSIONS, **options: Any) -> None:
        files = FolderDataset(root, layout="folders", extensions=extensions)
        super().__init__([(sample.path, sample.label) for sample in files.samples], **options)
        self.root = os.fspath(root)
        self.classes = list(files.classes)
        self.class_to_idx = {name: label for label, name in enumerate(files.classes)}
        self.targets = [sample.label for sample in files.samples]

    @property
    def imgs(self) -> Sequence[tuple[Source, Any]]:
        """Return ``samples``, by the older of ImageFolder's two names."""
        return self.samples


def concatenate(spectra: Sequence[Spectrum]) -> Spectrum:
    """Join spectra of equal bands, grid, shift and unit to one batch.

    Consecutive views of one tensor are joined without a copy.

    Raises:
        ValueError: they are none, or they differ in bands, grid, dtype, shift or unit.
    """
    if not spectra:
        raise ValueError("there is no spectrum to join")
    first = spectra[0]
    for other in spectra[1:]:
        alike = (
            other.bands == first.bands
            and other.values.dtype == first.values.dtype
            and other.values.shape[1:] == first.values.shape[1:]
            and torch.equal(other.shift, first.shift)
            and torch.equal(other.unit, first.unit)
        )
        if not alike:
            raise ValueError(
                f"{_form(first)} and {_form(other)} do not join: bands, grid, dtype, shift and unit must be equal"
            )
    values = [spectrum.values for spectrum in spectra]
    return replace(first, values=_consecutive(values) if _are_consecutive(values) else torch.cat(values))


def _form(spectrum: Spectrum) -> str:
    return f"{spectrum.values.dtype} spectra of {spectrum.bands} on {tuple(spectrum.values.shape[2:])} blocks"


def _are_consecutive(values: Sequence[Tensor]) -> bool:
    place, storage = values[0].data_ptr(), values[0].untyped_storage().data_ptr()
    for tensor in values:
        if not tensor.is_contiguous() or tensor.data_ptr() != place:
            return False
        if tensor.untyped_storage().data_ptr() != storage:
            return False
        place += tensor.nbytes
    return True


def _consecutive(values: Sequence[Tensor]) -> Tensor:
    first = values[0]
    shape = (sum(len(tensor) for tensor in values), *first.shape[1:])
    return first.as_strided(shape, first.stride(), first.storage_offset())


def _one(spectrum: Spectrum, index: int) -> Spectrum:
    return replace(spectrum, values=spectrum.values[index : index + 1])


def _collate(batch: Sequence[Spectrum], *, collate_fn_map: Any = None) -> Spectrum:
    return concatenate(batch)


default_collate_fn_map[Spectrum] = _collate
