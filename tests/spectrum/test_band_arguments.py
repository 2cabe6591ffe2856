"""Every public function that asks for bands takes a band set or the name of one, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.jpeg.small_files import by_pillow

from prepixel.data.loading.detection_readers import SpectrumFrames
from prepixel.data.loading.readers import SpectrumReader
from prepixel.jpeg import read_jpeg
from prepixel.models import frequency_mobilenet_v2, frequency_resnet
from prepixel.models.cost import example_spectrum
from prepixel.models.frequency_network import frequency_network
from prepixel.models.input_norm import SpectrumInput
from prepixel.models.pyramid import frequency_pyramid
from prepixel.spectrum import (
    BandSet,
    Spectrum,
    Statistics,
    read_arrays,
    read_spectra,
    read_spectrum,
    resample,
    spectrum_of,
)

FILE = by_pillow()


def all_channels() -> Spectrum:
    return read_spectrum(FILE, grid=(2, 2), bands="192")


def whole() -> Statistics:
    statistics = Statistics.empty("192", (2, 2))
    statistics.update(all_channels())
    return statistics


# name: a call of the function, and how many channels its result has.
CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], int]]] = {
    "read_spectra": (lambda b: read_spectra([FILE], grid=(2, 2), bands=b), lambda r: r.spectrum.values.shape[1]),
    "read_spectrum": (lambda b: read_spectrum(FILE, grid=(2, 2), bands=b), lambda r: r.values.shape[1]),
    "read_arrays": (lambda b: read_arrays([FILE], grid=(2, 2), bands=b), lambda r: r.values.shape[1]),
    "spectrum_of": (lambda b: spectrum_of(read_jpeg(FILE), grid=(2, 2), bands=b), lambda r: r.values.shape[1]),
    "resample": (lambda b: resample(read_jpeg(FILE), None, (2, 2), b), len),
    "Spectrum.of_coefficients": (
        lambda b: Spectrum.of_coefficients(torch.zeros(1, 24, 2, 2), b),
        lambda r: len(r.bands),
    ),
    "Spectrum.select": (lambda b: all_channels().select(b), lambda r: len(r.bands)),
    "Statistics.empty": (lambda b: Statistics.empty(b, (2, 2)), lambda r: len(r.mean)),
    "Statistics.for_bands": (lambda b: whole().for_bands(b), lambda r: len(r.mean)),
    "SpectrumInput": (SpectrumInput, lambda r: len(r.bands)),
    "frequency_resnet": (lambda b: frequency_resnet(18, b, 10), lambda r: len(r.input.bands)),
    "frequency_mobilenet_v2": (lambda b: frequency_mobilenet_v2(b, 10), lambda r: len(r.input.bands)),
    "frequency_network": (lambda b: frequency_network("resnet18", b, 10), lambda r: len(r.input.bands)),
    "frequency_pyramid": (lambda b: frequency_pyramid("resnet18", b), lambda r: len(r.input.bands)),
    "example_spectrum": (lambda b: example_spectrum(b, (2, 2)), lambda r: r.values.shape[1]),
    "SpectrumReader": (lambda b: SpectrumReader((2, 2), b), lambda r: len(r.bands)),
    "SpectrumFrames": (SpectrumFrames, lambda r: len(r.bands)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_name_is_as_good_as_a_band_set(name: str) -> None:
    call, count = CALLS[name]
    assert count(call(BandSet.parse("S-24"))) == 24
    if name not in (
        "SpectrumReader",
        "SpectrumFrames",
    ):  # dataclasses, whose fields the tests' checking holds to BandSet
        assert count(call("S-24")) == 24


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("other", [24, None, (0, 1, 2)])
def test_other_things_are_refused(name: str, other: Any) -> None:
    with pytest.raises(TypeError, match=r"bands is a \w+; give a BandSet|[Tt]ype-?check"):
        CALLS[name][0](other)
