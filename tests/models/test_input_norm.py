from __future__ import annotations

import inspect
import io
import math

import pytest
import torch

from prepixel.models import BandSetMismatch, PixelInput, SpectrumInput
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

BANDS = BandSet.parse("S-6")
SHIFT = torch.tensor([-57.0, 0.0, 0.5, 0.0, 11.0, 13.0])
SCALE = torch.tensor([211.0, 31.0, 29.0, 7.0, 61.0, 53.0])


def _coefficients(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(3, 6, 5, 7, generator=generator, dtype=torch.float64).mul(100).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_floats_in_any_affine_encoding_become_normalized(dtype: torch.dtype) -> None:
    coefficients = _coefficients()
    expected = (coefficients - SHIFT[:, None, None]) / SCALE[:, None, None]
    shift, unit = torch.tensor([3.0, 1, 4, 1, 5, 9]), torch.tensor([2.0, 6, 5, 3, 5, 8])
    values = ((coefficients - shift[:, None, None]) / unit[:, None, None]).to(dtype)
    normalized = SpectrumInput(BANDS, SHIFT, SCALE)(Spectrum(values, BANDS, shift, unit))
    assert normalized.dtype == torch.float32
    # Rounding of the values, carried over by unit / scale, and of float32 itself.
    error = torch.finfo(dtype).eps * 150 * (8 / 7) + 1e-5
    torch.testing.assert_close(normalized.double(), expected, rtol=0, atol=error)


def test_int8_becomes_normalized_to_half_a_step() -> None:
    coefficients = _coefficients().clamp(-250, 250)
    unit = torch.full((6,), 2.0)
    values = (coefficients / 2).round().to(torch.int8)
    spectrum = Spectrum(values, BANDS, torch.zeros(6), unit)
    normalized = SpectrumInput(BANDS, SHIFT, SCALE)(spectrum)
    exact = (spectrum.coefficients() - SHIFT[:, None, None]) / SCALE[:, None, None]
    torch.testing.assert_close(normalized, exact, rtol=0, atol=1e-5)
    expected = (coefficients - SHIFT[:, None, None]) / SCALE[:, None, None]
    assert ((normalized - expected).abs() <= 1 / SCALE[:, None, None] + 1e-5).all()


def test_without_constants_coefficients_pass_and_the_spectrum_is_left_alone() -> None:
    spectrum = Spectrum.of_coefficients(_coefficients(torch.float32), BANDS)
    before = spectrum.values.clone()
    normalized = SpectrumInput(BANDS)(spectrum)
    assert torch.equal(normalized, before)
    normalized.zero_()
    assert torch.equal(spectrum.values, before)


def test_an_empty_batch_stays_empty() -> None:
    spectrum = Spectrum.of_coefficients(torch.zeros(0, 6, 5, 7), BANDS)
    assert SpectrumInput(BANDS)(spectrum).shape == (0, 6, 5, 7)


def test_zero_means_the_mean_color() -> None:
    values = SHIFT[None, :, None, None].expand(1, 6, 2, 3).contiguous()
    normalized = SpectrumInput(BANDS, SHIFT, SCALE)(Spectrum.of_coefficients(values, BANDS))
    torch.testing.assert_close(normalized, torch.zeros(1, 6, 2, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (
            BandSet.parse("S-12"),
            r"sees S-6 \(6 channels, Y/Cb/Cr 4/1/1\), but the spectrum holds S-12 \(12 channels, Y/Cb/Cr 8/2/2\); read",
        ),
        (
            BandSet("mine", (0, 1, 2, 3, 64, 128)),
            r"holds mine \(6 channels, Y/Cb/Cr 4/1/1\), which lacks channels 8, 9; read",
        ),
        (
            BandSet("mine", (9, 8, 1, 0, 64, 128)),
            "the same channels in another order; give them in the network's order",
        ),
        (BandSet("one", (191,)), "which lacks channels 0, 1, 8, 9, 64, 128; read the images"),
    ],
)
def test_other_channels_are_refused_by_name(other: BandSet, text: str) -> None:
    spectrum = Spectrum.of_coefficients(torch.zeros(1, len(other), 2, 3), other)
    with pytest.raises(BandSetMismatch, match=text):
        SpectrumInput(BANDS)(spectrum)


def test_the_same_channels_under_another_name_are_the_same() -> None:
    renamed = BandSet("mine", BANDS.channels)
    spectrum = Spectrum.of_coefficients(torch.ones(1, 6, 2, 3), renamed)
    assert SpectrumInput(BANDS)(spectrum).sum() == 36


def test_constants_and_channels_are_saved_with_the_weights() -> None:
    file = io.BytesIO()
    torch.save(SpectrumInput(BANDS, SHIFT, SCALE).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = SpectrumInput(BANDS)
    other.load_state_dict(state)
    assert torch.equal(other.shift, SHIFT)
    assert torch.equal(other.scale, SCALE)
    wrong = SpectrumInput(BandSet("mine", (0, 1, 2, 3, 64, 128)))
    with pytest.raises(BandSetMismatch, match="the network sees mine .*, but these weights see saved"):  # noqa: RUF043
        wrong.load_state_dict(state)


@pytest.mark.parametrize(
    ("shift", "scale", "text"),
    [
        (SHIFT[:5], None, r"shift has shape \(5,\); band set S-6 needs one number for each of its 6 channels"),
        (None, SCALE[:3], r"scale has shape \(3,\)"),
        (SHIFT, torch.tensor([1.0, 1, 1, 0, 1, 1]), "scale of channel 9 is 0, not positive"),
        (SHIFT, torch.tensor([1.0, 1, 1, 1, -2, 1]), "scale of channel 64 is -2, not positive"),
        (SHIFT * math.inf, SCALE, "shift holds numbers that are not finite"),
    ],
)
def test_constants_that_cannot_be_are_refused(
    shift: torch.Tensor | None, scale: torch.Tensor | None, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        SpectrumInput(BANDS, shift, scale)


def test_bytes_and_fractions_of_pixels_become_the_same() -> None:
    pixels = torch.randint(256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    stem = PixelInput(mean=(0.5, 0.25, 0.125), std=(0.5, 0.2, 0.1))
    expected = (pixels.double() / 255 - torch.tensor([0.5, 0.25, 0.125])[:, None, None]) / torch.tensor(
        [0.5, 0.2, 0.1]
    )[:, None, None]
    torch.testing.assert_close(stem(pixels).double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(stem(pixels.float() / 255).double(), expected, rtol=0, atol=1e-5)


def test_pixels_and_bare_values_are_no_spectrum() -> None:
    wanted = r"takes a Spectrum of S-6, not a Tensor; read images by prepixel\.read_spectra"
    for values in (torch.zeros(2, 3, 64, 64), torch.zeros(2, 6, 5, 7)):
        with pytest.raises(TypeError, match=wanted):
            inspect.unwrap(SpectrumInput.forward)(SpectrumInput(BANDS), values)  # types are checked in tests only
