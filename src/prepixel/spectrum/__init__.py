"""What networks eat: chosen frequencies of images on a grid of blocks, and the exact maps that lead there."""

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.geometry import Box
from prepixel.spectrum.native import SpectraRead, read_spectra, read_spectrum, spectrum_of
from prepixel.spectrum.padded import PaddedSpectrum
from prepixel.spectrum.reference import resample
from prepixel.spectrum.spectrum import Spectrum, encode_int8
from prepixel.spectrum.statistics import Statistics

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
