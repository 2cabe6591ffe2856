"""The instruction sets of this machine that the resampler has code for."""

from __future__ import annotations

from prepixel import _native


def simd_levels() -> tuple[str, ...]:
    """Return the names of the instruction sets that this machine can resample by, the one that is used last."""
    return _native.simd_levels()
