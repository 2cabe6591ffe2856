"""Batches of images of unequal size."""

from __future__ import annotations

import pytest
import torch

from prepixel.spectrum import BandSet, PaddedSpectrum, Spectrum, encode_int8

BANDS = BandSet("three", (0, 9, 64))


def drawn(n: int, height: int, width: int) -> Spectrum:
    generator = torch.Generator().manual_seed(height)
    return Spectrum.of_coefficients(torch.randn(n, 3, height, width, generator=generator), BANDS)


def test_each_image_fills_its_own_grid_and_the_rest_is_zero() -> None:
    parts = [drawn(1, 5, 7), drawn(2, 3, 11)]
    padded = PaddedSpectrum.of(parts, multiple=4)
    assert padded.spectrum.values.shape == (3, 3, 8, 12)
    assert padded.grids == ((5, 7), (3, 11), (3, 11))
    assert torch.equal(padded.spectrum.values[0, :, :5, :7], parts[0].values[0])
    assert torch.equal(padded.spectrum.values[1:, :, :3, :11], parts[1].values)
    assert padded.spectrum.values.count_nonzero() == parts[0].values.numel() + parts[1].values.numel()


def test_padding_stands_for_the_shift() -> None:
    shift, unit = torch.tensor([-60.0, 0.0, 31.0]), torch.tensor([4.0, 2.0, 1.0])
    encoded = [encode_int8(drawn(1, height, 2), shift, unit) for height in (2, 5)]
    padded = PaddedSpectrum.of(encoded)
    assert torch.equal(padded.spectrum.coefficients()[0, :, 2:, :], shift[:, None, None].expand(3, 3, 2))


def test_it_moves_as_a_whole() -> None:
    moved = PaddedSpectrum.of([drawn(1, 2, 3)]).to("meta")
    assert moved.spectrum.values.device.type == "meta"
    assert len(moved) == 1


def test_spectra_that_differ_in_more_than_their_grids_are_refused() -> None:
    other = Spectrum(torch.zeros(1, 3, 2, 2), BANDS, torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match=r"spectrum 1 differs from the first in channels, dtype, shift or unit"):
        PaddedSpectrum.of([drawn(1, 2, 2), other])
    with pytest.raises(ValueError, match=r"0 spectra, multiple 1; give at least one of them, and 1 or more"):
        PaddedSpectrum.of([])


def test_grids_must_be_one_an_image_and_lie_inside() -> None:
    with pytest.raises(ValueError, match=r"1 grids for 2 images; give one per image"):
        PaddedSpectrum(drawn(2, 3, 3), ((3, 3),))
    with pytest.raises(ValueError, match=r"image 1: a grid of 4 x 3 blocks does not lie in 3 x 3"):
        PaddedSpectrum(drawn(2, 3, 3), ((3, 3), (4, 3)))
