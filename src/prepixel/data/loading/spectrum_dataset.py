"""Map-style PyTorch data sets of spectra, for a stock `torch.utils.data.DataLoader`.

A DataLoader that finds ``__getitems__`` asks for a whole batch at once, which one call of the native pool reads.
Samples are views of that batch, so the default collate function joins them without a copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from prepixel.data.datasets.folder import FolderDataset, describe_dataset
from prepixel.data.loading.crops import Crop
from prepixel.data.loading.photo_indexes import IndexChoice, PhotoIndexes
from prepixel.data.loading.spectrum_crops import SpectrumCrops, describe_spectra
from prepixel.files import EXTENSIONS
from prepixel.jpeg.batch import OnError
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, Spectrum
from prepixel.spectrum.boxes import Filter


class SpectrumDataset(SpectrumCrops, Dataset[tuple[Spectrum, Any]]):
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
        indexes: by which crops of JPEGs are decoded without the rest: ``"auto"`` for indexes inside the files, and for
            those of a `SpectrumFolder` (`prepixel index`); a `FolderIndex`; or None. Spectra do not depend on it.
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
        indexes: IndexChoice = "auto",
    ) -> None:
        super().__init__(
            bands=bands,
            grid=grid,
            transform=transform,
            filter=filter,
            dtype=dtype,
            shift=shift,
            unit=unit,
            threads=threads,
            on_error=on_error,
            indexes=indexes,
        )
        self.samples: Sequence[tuple[Source, Any]] = samples
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        more = [f"Spectra: {describe_spectra(self.reader)}", f"Transform: {self.transform or 'none, the whole image'}"]
        more += [f"Target transform: {self.target_transform}"] if self.target_transform is not None else []
        return describe_dataset(type(self).__name__, len(self), getattr(self, "root", None), *more)

    def __getitem__(self, index: int) -> tuple[Spectrum, Any]:
        """Read one sample.

        Raises:
            IndexError: there is no such sample.
            PrepixelError: the file cannot be read, whatever ``on_error`` says.
            OSError: it cannot be opened.
        """
        spectrum, kept, failures = self._attempt([self.samples[index][0]])
        if not kept:
            raise failures[0].error
        return spectrum, self._target(index)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Spectrum, Any]]:
        """Read the samples of a batch by one native call.

        Raises:
            PrepixelError: a file cannot be read; not under ``"skip"``.
            OSError: a file cannot be opened; not under ``"skip"``.
            DatasetError: no file of the batch can be read.
        """
        indices = list(indices)
        spectrum, kept = self._read([self.samples[index][0] for index in indices])
        return [(spectrum[i], self._target(indices[place])) for i, place in enumerate(kept)]

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
        self.indexes = PhotoIndexes(self.indexes.choice, files.root)
        self.classes = list(files.classes)
        self.class_to_idx = {name: label for label, name in enumerate(files.classes)}
        self.targets = [sample.label for sample in files.samples]

    @property
    def imgs(self) -> Sequence[tuple[Source, Any]]:
        """Return ``samples``, by the older of ImageFolder's two names."""
        return self.samples
