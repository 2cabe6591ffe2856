"""A Spectrum means the same however it is stored, mirrored, turned, padded or cut down."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from prepixel.spectrum import geometry
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum, concatenate, encode_int8

ALL = BandSet.parse("192")
LEARNED = BandSet.parse("L-24")
SQUARE = BandSet.parse("S-24")
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8]


def make_spectrum(bands: BandSet, dtype: torch.dtype = torch.float32, grid: tuple[int, int] = (5, 7)) -> Spectrum:
    """Make values that every dtype holds exactly, with shift and unit of their own in each channel."""
    generator = torch.Generator().manual_seed(len(bands))
    values = torch.randint(-127, 128, (3, len(bands), *grid), generator=generator).to(dtype)
    steps = torch.arange(len(bands), dtype=torch.float32)
    return Spectrum(values, bands, 0.5 * steps - 3, 0.25 * steps + 0.5)


def as_blocks(spectrum: Spectrum) -> Tensor:
    """Lay all 192 channels out as [n, c, bh, bw, v, u]."""
    coefficients = spectrum.select(ALL).coefficients()
    n, _, bh, bw = coefficients.shape
    return coefficients.reshape(n, 3, 8, 8, bh, bw).permute(0, 1, 4, 5, 2, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_coefficients_are_shift_plus_unit_times_values(dtype: torch.dtype) -> None:
    spectrum = make_spectrum(LEARNED, dtype)
    coefficients = spectrum.coefficients()
    assert coefficients.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    channel = 5
    expected = spectrum.values[1, channel].to(coefficients.dtype) * (0.25 * channel + 0.5) + (0.5 * channel - 3)
    assert torch.equal(coefficients[1, channel], expected)


def test_plain_coefficients_come_back_untouched() -> None:
    coefficients = torch.randn(2, 24, 3, 5) * 100
    spectrum = Spectrum.of_coefficients(coefficients, LEARNED)
    assert torch.equal(spectrum.coefficients(), coefficients)
    assert len(spectrum) == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalized_is_one_affine_map_of_coefficients(dtype: torch.dtype) -> None:
    spectrum = make_spectrum(LEARNED, dtype)
    shift, scale = torch.randn(24).double() * 10, torch.rand(24).double() + 0.5
    expected = (spectrum.coefficients().double() - shift[:, None, None]) / scale[:, None, None]
    torch.testing.assert_close(spectrum.normalized(shift, scale).double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["flip_horizontal", "flip_vertical", "transpose"])
def test_turning_a_spectrum_is_turning_its_blocks_exactly(name: str, dtype: torch.dtype) -> None:
    spectrum = make_spectrum(ALL, dtype)
    turned = getattr(spectrum, name)()
    assert turned.values.dtype == dtype
    assert torch.equal(as_blocks(turned), getattr(geometry, name)(as_blocks(spectrum)))
    back = getattr(turned, name)()
    assert torch.equal(back.values, spectrum.values)
    assert torch.equal(back.shift, spectrum.shift)


def test_transposing_keeps_the_band_set_where_it_can_and_names_another_where_not() -> None:
    square = make_spectrum(SQUARE)
    assert square.transpose().bands == SQUARE
    learned = make_spectrum(LEARNED).transpose()
    assert learned.bands.of_component(0) == (0, 8, 16, 24, 32, 40, 1, 9, 17, 2, 10, 18, 3, 4)
    assert learned.bands.name == "L-24 transposed"
    assert torch.equal(learned.values[:, 1], make_spectrum(LEARNED).values[:, 1].transpose(1, 2))


def test_minus_128_has_no_mirror_image() -> None:
    spectrum = Spectrum(
        torch.full((1, 1, 3, 5), -128, dtype=torch.int8), BandSet("one", (1,)), torch.zeros(1), torch.ones(1)
    )
    for turn in (spectrum.flip_horizontal, spectrum.flip_vertical):
        with pytest.raises(ValueError, match=r"int8 values hold -128.*encode them by encode_int8"):
            turn()


def test_select_takes_channels_by_name_in_the_order_asked() -> None:
    spectrum = make_spectrum(SQUARE)
    own = BandSet("own", (129, 9, 0))
    chosen = spectrum.select(own)
    assert chosen.bands == own
    for position, channel in enumerate(own.channels):
        index = SQUARE.channels.index(channel)
        assert torch.equal(chosen.coefficients()[:, position], spectrum.coefficients()[:, index])
    with pytest.raises(ValueError, match=r"band set S-24 lacks channels \[4, 5\] of .*read them from the images"):
        spectrum.select(BandSet("own", (0, 5, 4)))


def test_padding_is_the_shift_everywhere() -> None:
    spectrum = make_spectrum(LEARNED, torch.int8)
    padded = spectrum.pad((7, 11))
    coefficients = padded.coefficients()
    assert coefficients.shape == (3, 24, 7, 11)
    assert torch.equal(coefficients[:, :, :5, :7], spectrum.coefficients())
    outside = coefficients.clone()
    outside[:, :, :5, :7] = spectrum.shift[:, None, None]
    assert torch.equal(outside, spectrum.shift[:, None, None].expand(3, 24, 7, 11))
    assert torch.equal(spectrum.pad((5, 7)).values, spectrum.values)
    with pytest.raises(ValueError, match="cannot pad a grid of 5 x 7 blocks to 5 x 6"):
        spectrum.pad((5, 6))


def test_int8_is_within_half_a_unit_where_not_clipped() -> None:
    coefficients = torch.randn(3, 24, 5, 7, dtype=torch.float64) * 40
    shift, unit = torch.linspace(-20, 20, 24), torch.linspace(0.3, 2, 24)
    spectrum = encode_int8(Spectrum.of_coefficients(coefficients, LEARNED), shift, unit)
    assert spectrum.values.dtype == torch.int8
    reach = 127.5 * unit.double()[:, None, None]
    inside = (coefficients - shift.double()[:, None, None]).abs() < reach
    assert 0.5 < inside.double().mean() < 1, "the test must hold both kinds"
    error = (spectrum.coefficients().double() - coefficients).abs() / unit.double()[:, None, None]
    assert error[inside].max() <= 0.5 + 1e-4
    assert spectrum.values[~inside].abs().min() == 127


def test_int8_rounds_ties_to_even_and_clips_alike_on_both_sides() -> None:
    values = torch.tensor([0.5, 1.5, -0.5, -2.5, 126.5, 127.49, 1e6, -1e6]).reshape(1, 1, 2, 4)
    spectrum = encode_int8(Spectrum.of_coefficients(values, BandSet("dc", (0,))), torch.zeros(1), torch.ones(1))
    assert spectrum.values.flatten().tolist() == [0, 2, 0, -2, 126, 127, 127, -127]


def test_int8_of_int8_is_itself() -> None:
    spectrum = make_spectrum(LEARNED, torch.int8)
    assert torch.equal(encode_int8(spectrum, spectrum.shift, spectrum.unit).values, spectrum.values)


@pytest.mark.parametrize("unit", [0.0, -1.0])
def test_int8_needs_a_positive_unit(unit: float) -> None:
    spectrum = make_spectrum(SQUARE)
    units = torch.ones(24)
    units[7] = unit
    with pytest.raises(ValueError, match=f"above 0 in every channel; the smallest is {unit:g}"):
        encode_int8(spectrum, torch.zeros(24), units)


def test_arrays_that_disagree_are_refused() -> None:
    values, ones = torch.zeros(2, 24, 3, 5), torch.ones(24)
    with pytest.raises(ValueError, match=r"band set S-6 has 6 channels.*got \(2, 24, 3, 5\), \(24,\) and \(24,\)"):
        Spectrum(values, BandSet.parse("S-6"), ones, ones)
    # The tests' type checking stands before the rest, so the check is called without.
    check = inspect.unwrap(Spectrum.__post_init__)
    with pytest.raises(ValueError, match=r"got \(2, 24, 3, 5\), \(24,\) and \(5,\)"):
        check(SimpleNamespace(values=values, bands=LEARNED, shift=ones, unit=ones[:5]))
    with pytest.raises(ValueError, match=r"got \(24, 3, 5\)"):
        check(SimpleNamespace(values=values[0], bands=LEARNED, shift=ones, unit=ones))


def test_to_moves_everything_and_changes_nothing() -> None:
    spectrum = make_spectrum(LEARNED, torch.int8)
    moved = spectrum.to("cpu", non_blocking=True)
    assert torch.equal(moved.coefficients(), spectrum.coefficients())
    devices = {spectrum.to("meta").values.device.type, spectrum.to("meta").shift.device.type}
    assert devices == {"meta"} == {spectrum.to("meta").unit.device.type}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a CUDA device")
def test_pinned_memory_and_the_device_hold_the_same() -> None:
    spectrum = make_spectrum(LEARNED, torch.int8)
    pinned = spectrum.pin_memory()
    assert pinned.values.is_pinned()
    on_device = pinned.to("cuda", non_blocking=True).flip_horizontal().coefficients()
    assert torch.equal(on_device.cpu(), spectrum.flip_horizontal().coefficients())


def test_shape_dtype_and_device_are_those_of_the_values() -> None:
    spectrum = make_spectrum(LEARNED, torch.int8)
    assert spectrum.shape == (3, 24, 5, 7)
    assert spectrum.dtype == torch.int8
    assert spectrum.device == torch.device("cpu")
    assert spectrum.to("meta").device == torch.device("meta")


def test_an_index_takes_images_and_always_gives_a_batch() -> None:
    spectrum = make_spectrum(LEARNED)
    for index, places in (
        (1, [1]),
        (-1, [2]),
        (torch.tensor(2), [2]),
        (slice(1, None), [1, 2]),
        ([2, 0], [2, 0]),
        (torch.tensor([2, 0, 2]), [2, 0, 2]),
        (torch.tensor([True, False, True]), [0, 2]),
    ):
        part = spectrum[index]
        assert torch.equal(part.values, spectrum.values[places])
        assert torch.equal(part.shift, spectrum.shift)
    assert spectrum[2].values.data_ptr() == spectrum.values[2].data_ptr()
    assert [len(one) for one in spectrum] == [1, 1, 1]  # by __getitem__, until it raises IndexError
    with pytest.raises(IndexError):
        spectrum[3]
    with pytest.raises(TypeError, match="indexed by images, not by"):
        spectrum[0, 1]  # type: ignore[index]


def test_joining_copies_only_what_does_not_lie_together() -> None:
    values = torch.arange(7 * 24 * 5 * 3, dtype=torch.float32).reshape(7, 24, 5, 3)
    whole = Spectrum.of_coefficients(values, LEARNED)
    assert concatenate([whole[2], whole[3:5]]).values.data_ptr() == values[2].data_ptr()
    assert torch.equal(concatenate([whole[2], whole[3:5]]).values, values[2:5])
    assert torch.equal(concatenate([whole[5], whole[1], whole]).values, torch.cat([values[5:6], values[1:2], values]))
    with pytest.raises(ValueError, match="bands, grid, dtype, shift and unit must be equal"):
        concatenate([whole, Spectrum.of_coefficients(values[:, :, :2], LEARNED)])
    with pytest.raises(ValueError, match="there is no spectrum to join"):
        concatenate([])


def test_torch_collates_spectra() -> None:
    spectrum = make_spectrum(LEARNED, torch.int8)
    joined, targets = default_collate([(spectrum[2], 2), (spectrum[0], 0)])
    assert torch.equal(joined.coefficients(), spectrum[[2, 0]].coefficients())
    assert targets.tolist() == [2, 0]


def test_an_empty_batch_goes_through_everything() -> None:
    empty = Spectrum.of_coefficients(torch.zeros(0, 192, 3, 5), ALL)
    assert len(empty.flip_horizontal().flip_vertical().pad((5, 7)).select(LEARNED).transpose()) == 0
    assert encode_int8(empty, torch.zeros(192), torch.ones(192)).values.shape == (0, 192, 3, 5)
