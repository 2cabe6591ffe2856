"""What networks eat: chosen frequencies of images on a grid of blocks, and the exact maps that lead there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.spectrum.bands import BandSet
    from prepixel.spectrum.geometry import Box
    from prepixel.spectrum.native import SpectraRead, read_spectra, read_spectrum, spectrum_of
    from prepixel.spectrum.padded import PaddedSpectrum
    from prepixel.spectrum.reference import resample
    from prepixel.spectrum.spectrum import Spectrum, encode_int8
    from prepixel.spectrum.statistics import Statistics

_PLACES = {
    "BandSet": "prepixel.spectrum.bands",
    "Box": "prepixel.spectrum.geometry",
    "PaddedSpectrum": "prepixel.spectrum.padded",
    "SpectraRead": "prepixel.spectrum.native",
    "Spectrum": "prepixel.spectrum.spectrum",
    "Statistics": "prepixel.spectrum.statistics",
    "encode_int8": "prepixel.spectrum.spectrum",
    "read_spectra": "prepixel.spectrum.native",
    "read_spectrum": "prepixel.spectrum.native",
    "resample": "prepixel.spectrum.reference",
    "spectrum_of": "prepixel.spectrum.native",
}

__all__ = [
    "BandSet",
    "Box",
    "PaddedSpectrum",
    "SpectraRead",
    "Spectrum",
    "Statistics",
    "encode_int8",
    "read_spectra",
    "read_spectrum",
    "resample",
    "spectrum_of",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
