"""The orthonormal DCT-II of square blocks, forward and inverse, of any size."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

BLOCK = 8
# The largest size that the DC of an 8 x 8 block of 8-bit samples can have: 8 times the level shift.
DC_BOUND = 1024


def dct_basis(size: int) -> Float64[Tensor, "u x"]:
    """Return the orthonormal DCT-II matrix B: coefficients = B @ samples, samples = B.T @ coefficients.

    Args:
        size: samples of one axis; at least 1.

    Raises:
        ValueError: size is below 1.

    Source: ITU-T T.81, A.3.3, one axis of the 8 x 8 transform, with sqrt(2 / size) in place of 1/2.

    >>> basis = dct_basis(8)
    >>> torch.allclose(basis @ basis.T, torch.eye(8, dtype=torch.float64), atol=1e-15)
    True
    """
    if size < 1:
        raise ValueError(f"a block has at least 1 sample along an axis, not {size}")
    frequency = torch.arange(size, dtype=torch.float64)[:, None]
    position = torch.arange(size, dtype=torch.float64)[None, :] + 0.5
    basis = torch.cos(frequency * position * (math.pi / size)) * math.sqrt(2 / size)
    basis[0] = math.sqrt(1 / size)
    return basis


def block_dct(samples: Float[Tensor, "*blocks y x"]) -> Float[Tensor, "*blocks v u"]:
    """Transform each square block of samples to its frequency coefficients.

    Args:
        samples: level-shifted samples, nominally in [-128, 127]. Not checked: the transform is linear.

    Returns:
        Orthonormal coefficients, v vertical, in the samples' dtype. In-range 8 x 8 blocks give DC in
        [-1024, 1016] and AC within +-1020.

    Raises:
        ValueError: the blocks are not square.

    Source: ITU-T T.81, A.3.3 (8 x 8; other sizes by the orthonormal basis).

    >>> round(block_dct(torch.full((8, 8), 127.0))[0, 0].item(), 3)
    1016.0
    """
    basis = _basis_for(samples)
    return basis @ samples @ basis.T


def block_idct(coefficients: Float[Tensor, "*blocks v u"]) -> Float[Tensor, "*blocks y x"]:
    """Transform each square block of coefficients back to its samples, neither rounded nor clamped.

    Args:
        coefficients: orthonormal coefficients, v vertical.

    Returns:
        Level-shifted samples, in the coefficients' dtype.

    Raises:
        ValueError: the blocks are not square.

    Source: ITU-T T.81, A.3.3.

    >>> block_idct(torch.tensor([[16.0, 0.0], [0.0, 0.0]])).round(decimals=3).tolist()
    [[8.0, 8.0], [8.0, 8.0]]
    """
    basis = _basis_for(coefficients)
    return basis.T @ coefficients @ basis


def _basis_for(blocks: Float[Tensor, "*blocks rows columns"]) -> Float[Tensor, "size size"]:
    rows, columns = blocks.shape[-2:]
    if rows != columns:
        raise ValueError(f"blocks are square, not {rows} x {columns}; their two axes come last")
    return dct_basis(rows).to(dtype=blocks.dtype, device=blocks.device)
