"""Spectra: chosen frequencies of images on a grid of blocks, and the exact maps that lead there.

Names are loaded when first used: band sets, boxes and `read_arrays` need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.spectrum.arrays import SpectraArrays, read_arrays
    from prepixel.spectrum.bands import BandSet
    from prepixel.spectrum.boxes import Box, Padding
    from prepixel.spectrum.native import (
        PaddedRead,
        SpectraRead,
        read_padded,
        read_spectra,
        read_spectrum,
        spectrum_of,
    )
    from prepixel.spectrum.opened_images import OpenImages, open_images
    from prepixel.spectrum.padded import PaddedSpectrum
    from prepixel.spectrum.reference import resample
    from prepixel.spectrum.spectrum import Spectrum, concatenate, encode_int8
    from prepixel.spectrum.statistics import Statistics

_PLACES = {
    "BandSet": "prepixel.spectrum.bands",
    "Box": "prepixel.spectrum.boxes",
    "OpenImages": "prepixel.spectrum.opened_images",
    "PaddedRead": "prepixel.spectrum.native",
    "PaddedSpectrum": "prepixel.spectrum.padded",
    "Padding": "prepixel.spectrum.boxes",
    "SpectraArrays": "prepixel.spectrum.arrays",
    "SpectraRead": "prepixel.spectrum.native",
    "Spectrum": "prepixel.spectrum.spectrum",
    "Statistics": "prepixel.spectrum.statistics",
    "concatenate": "prepixel.spectrum.spectrum",
    "encode_int8": "prepixel.spectrum.spectrum",
    "open_images": "prepixel.spectrum.opened_images",
    "read_arrays": "prepixel.spectrum.arrays",
    "read_padded": "prepixel.spectrum.native",
    "read_spectra": "prepixel.spectrum.native",
    "read_spectrum": "prepixel.spectrum.native",
    "resample": "prepixel.spectrum.reference",
    "spectrum_of": "prepixel.spectrum.native",
}

__all__ = [
    "BandSet",
    "Box",
    "OpenImages",
    "PaddedRead",
    "PaddedSpectrum",
    "Padding",
    "SpectraArrays",
    "SpectraRead",
    "Spectrum",
    "Statistics",
    "concatenate",
    "encode_int8",
    "open_images",
    "read_arrays",
    "read_padded",
    "read_spectra",
    "read_spectrum",
    "resample",
    "spectrum_of",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
