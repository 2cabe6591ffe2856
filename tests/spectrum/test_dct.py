"""The transform against the standard's own formula, and its bounds."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import pixel_reference as rgb_pipeline

from prepixel.spectrum.dct import block_dct, block_idct, dct_basis


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 11, 16])
def test_basis_is_orthonormal_and_begins_with_the_mean(size: int) -> None:
    basis = dct_basis(size)
    assert basis.dtype == torch.float64
    torch.testing.assert_close(basis @ basis.T, torch.eye(size, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(basis[0], torch.full((size,), size**-0.5, dtype=torch.float64), atol=1e-16, rtol=0)
    # Row u changes sign u times: that is what makes it frequency u.
    changes = ((basis[:, 1:] * basis[:, :-1]) < 0).sum(1)
    if size % 2 == 0:  # odd sizes have exact zeros in the middle
        assert changes.tolist() == list(range(size))


def test_basis_of_eight_is_the_standard_s() -> None:
    torch.testing.assert_close(dct_basis(8), torch.from_numpy(rgb_pipeline.COSINES), atol=1e-15, rtol=0)


@pytest.mark.parametrize("size", [2, 5, 8])
def test_there_and_back(size: int) -> None:
    samples = torch.randn(3, 5, size, size, dtype=torch.float64) * 50
    torch.testing.assert_close(block_idct(block_dct(samples)), samples, atol=1e-12, rtol=0)
    energy = samples.square().sum((-1, -2))
    torch.testing.assert_close(block_dct(samples).square().sum((-1, -2)), energy, rtol=1e-13, atol=0)


def test_forward_is_vertical_by_v() -> None:
    """Rows that differ excite v; the transform is not its own transpose."""
    samples = torch.arange(8.0, dtype=torch.float64)[:, None].expand(8, 8)
    coefficients = block_dct(samples)
    assert coefficients[1, 0].abs() > 10
    assert coefficients[:, 1:].abs().max() < 1e-12


def test_bounds_of_in_range_blocks() -> None:
    """DC in [-1024, 1016]; AC within +-1020, reached where v and u are 0 or 4, and nowhere else."""
    assert block_dct(torch.full((8, 8), -128.0, dtype=torch.float64))[0, 0].item() == pytest.approx(-1024)
    assert block_dct(torch.full((8, 8), 127.0, dtype=torch.float64))[0, 0].item() == pytest.approx(1016)
    # The extreme block of a frequency is 127 where its basis is positive and -128 where negative.
    basis = dct_basis(8)
    pictures = basis[:, None, :, None] * basis[None, :, None, :]
    absolute = pictures.abs().sum((2, 3))
    largest = absolute * 127.5 + pictures.sum((2, 3)).abs() * 0.5
    reached = [(v, u) for v in range(8) for u in range(8) if (v, u) != (0, 0) and largest[v, u] > 1019.999]
    assert reached == [(0, 4), (4, 0), (4, 4)]
    largest[0, 0] = 0
    assert largest.max().item() == pytest.approx(1020)


def test_battery_dtype_batch_stride_and_no_change_in_place() -> None:
    samples = torch.randn(5, 3, 8, 8)
    before = samples.clone()
    for kernel in (block_dct, block_idct):
        together = kernel(samples)
        assert together.dtype == torch.float32
        torch.testing.assert_close(together[2, 1], kernel(samples[2, 1]))
        strided = samples.transpose(2, 3).contiguous().transpose(2, 3)
        torch.testing.assert_close(kernel(strided), together)
        assert kernel(samples[:0]).shape == (0, 3, 8, 8)
        assert kernel(samples.double()).dtype == torch.float64
        torch.testing.assert_close(kernel(samples.double()).float(), together, atol=1e-5, rtol=0)
    assert torch.equal(samples, before)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="blocks are square, not 8 x 7"):
        block_dct(torch.zeros(3, 8, 7))
    with pytest.raises(ValueError, match="blocks are square, not 7 x 8"):
        block_idct(torch.zeros(3, 7, 8))
    with pytest.raises(ValueError, match="at least 1 sample along an axis, not 0"):
        dct_basis(0)
