"""Decode images that a pipeline of another library carries as bytes, a batch at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import default_collate

from prepixel.data.loading.crops import Crop
from prepixel.data.loading.photo_indexes import IndexChoice
from prepixel.data.loading.spectrum_crops import SpectrumCrops, describe_spectra
from prepixel.errors import DatasetError
from prepixel.jpeg.batch import OnError
from prepixel.jpeg.source import Source
from prepixel.spectrum import BandSet, Spectrum
from prepixel.spectrum.boxes import Filter


class SpectrumDecoder(SpectrumCrops):
    """Replace the encoded images of a batch by spectra: a collate function, or a transform of columns.

    A batch is a list of samples, as ``DataLoader(collate_fn=decoder)`` and WebDataset's
    ``.batched(n, collation_fn=decoder)`` have it, or a mapping of columns, as Hugging Face's
    ``Dataset.with_transform(decoder)`` and ``IterableDataset.map(decoder, batched=True)`` have it. All images of a
    batch are read by one native call. An encoded image is a path, a file's bytes, or the
    ``{"bytes": ..., "path": ...}`` of Hugging Face's ``Image(decode=False)``.

    Args:
        image: where a sample has its encoded image: the key of a mapping, or the place in a tuple.
        bands: the channels, by name or as a band set.
        grid: blocks (down, across) of every spectrum.
        transform: which part of an image a sample is: `RandomCrop`, `CenterCrop`, or an object with their
            ``make_params``; None for the whole image.
        filter: of the resize, antialiased.
        dtype: torch.float32, or torch.int8 with ``unit``.
        shift: the coefficient that 0 stands for, per channel; None for 0.
        unit: how many coefficient units one step of the values is, per channel; None for 1.
        threads: native threads per call; 1 suits DataLoader workers, 0 means one per CPU.
        on_error: ``"raise"``: the error of the first image that cannot be read; ``"skip"``: leave such samples out of
            their batch, each with a `ReadWarning`. Failed images are never substituted.
        indexes: by which crops of JPEGs are decoded without the rest: ``"auto"`` for indexes inside the files, a
            `FolderIndex` for paths, or None. Spectra do not depend on it.
    """

    def __init__(
        self,
        image: str | int = 0,
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
        self.image = image

    def __repr__(self) -> str:
        return f"SpectrumDecoder({self.image!r}, {describe_spectra(self.reader)}, transform={self.transform})"

    def __call__(self, batch: Mapping[str, Any] | Sequence[Any]) -> Any:
        """Decode a batch.

        Args:
            batch: a mapping of columns, or a list of samples that are mappings or tuples.

        Returns:
            For columns, a mapping of columns, the images' a `Spectrum`. For samples, what torch's ``default_collate``
            makes of them with their images as spectra.

        Raises:
            DatasetError: a sample has no encoded image at ``image``, or none of the batch can be read.
            PrepixelError: an image cannot be read; not under ``"skip"``.
            OSError: a file cannot be opened; not under ``"skip"``.
        """
        if isinstance(batch, Mapping):
            return self._columns(batch)
        spectrum, kept = self._read_named([_source(self._find(sample), _key(sample)) for sample in batch])
        return default_collate([self._with_image(batch[place], spectrum[i]) for i, place in enumerate(kept)])

    def _columns(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        images = self._find(columns)
        spectrum, kept = self._read_named([_source(image, None) for image in images])
        decoded: dict[str, Any] = {}
        for name, column in columns.items():
            if name == self.image:
                decoded[name] = spectrum
            else:
                decoded[name] = column if len(kept) == len(images) else [column[place] for place in kept]
        return decoded

    def _read_named(self, named: Sequence[tuple[Source, str | None]]) -> tuple[Spectrum, list[int]]:
        return self._read([source for source, _ in named], [name for _, name in named])

    def _find(self, sample: Any) -> Any:
        try:
            return sample[self.image]
        except (KeyError, IndexError, TypeError) as error:
            kind = type(sample).__name__
            has = f"{kind} with the keys {list(sample)}" if isinstance(sample, Mapping) else kind
            raise DatasetError(
                f"a sample is a {has}, and has no {self.image!r}; SpectrumDecoder's argument image says where a sample "
                "has its encoded image: a key, or a place in a tuple"
            ) from error

    def _with_image(self, sample: Any, image: Any) -> Any:
        if isinstance(sample, Mapping):
            return {name: image if name == self.image else value for name, value in sample.items()}
        values = list(sample)
        values[self.image] = image  # type: ignore[index]  # found there before, so it is a number
        return tuple(values)


def _key(sample: Any) -> str | None:
    """Return the name that WebDataset gives a sample."""
    return sample.get("__key__") if isinstance(sample, Mapping) else None


def _source(image: Any, key: str | None) -> tuple[Source, str | None]:
    """Return an encoded image as a source, and what messages call it where it is bytes."""
    path = key
    if isinstance(image, Mapping):  # Hugging Face's Image(decode=False)
        data, path = image.get("bytes"), image.get("path") or key
        if data is None and "://" in (path or ""):
            raise DatasetError(f"{path} is no local file, and its bytes are not there; read them in an earlier step")
        image = path if data is None else data
    if isinstance(image, str | os.PathLike):
        return image, None
    if isinstance(image, bytes | bytearray | memoryview) or (isinstance(image, np.ndarray) and image.ndim == 1):
        return image, path
    raise DatasetError(
        f"an image is a {type(image).__name__}, and must be a path or a file's bytes; decode nothing before: "
        'cast_column("image", Image(decode=False)) for Hugging Face, no image handler in WebDataset\'s decode()'
    )
