"""Spectra: chosen frequencies of images on a grid of blocks, and the exact maps that lead there.

Names are loaded when first used: band sets, boxes and `read_arrays` need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prepixel.spectrum.arrays import SpectraArrays, read_arrays
    from prepixel.spectrum.bands import BandSet
    from prepixel.spectrum.boxes import Box
    from prepixel.spectrum.native import SpectraRead, read_spectra, read_spectrum, spectrum_of
    from prepixel.spectrum.padded import PaddedSpectrum
    from prepixel.spectrum.reference import resample
    from prepixel.spectrum.spectrum import Spectrum, encode_int8
    from prepixel.spectrum.statistics import Statistics

_MODULES = {
    "BandSet": "bands",
    "Box": "boxes",
    "PaddedSpectrum": "padded",
    "SpectraArrays": "arrays",
    "SpectraRead": "native",
    "Spectrum": "spectrum",
    "Statistics": "statistics",
    "encode_int8": "spectrum",
    "read_arrays": "arrays",
    "read_spectra": "native",
    "read_spectrum": "native",
    "resample": "reference",
    "spectrum_of": "native",
}

__all__ = [
    "BandSet",
    "Box",
    "PaddedSpectrum",
    "SpectraArrays",
    "SpectraRead",
    "Spectrum",
    "Statistics",
    "encode_int8",
    "read_arrays",
    "read_spectra",
    "read_spectrum",
    "resample",
    "spectrum_of",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"prepixel.spectrum.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'prepixel.spectrum' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
