"""Make small JpegImages of any sampling, color and orientation for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from hypothesis import strategies as st

from prepixel.jpeg.image import Color, Component, JpegImage

# name: (v, h) of Y, Cb, Cr. The last two have chroma of different shapes, and luma smaller than chroma.
SAMPLINGS: dict[str, tuple[tuple[int, int], ...]] = {
    "4:4:4": ((1, 1), (1, 1), (1, 1)),
    "4:2:2": ((1, 2), (1, 1), (1, 1)),
    "4:2:0": ((2, 2), (1, 1), (1, 1)),
    "4:4:0": ((2, 1), (1, 1), (1, 1)),
    "4:1:1": ((1, 4), (1, 1), (1, 1)),
    "thirds": ((3, 2), (2, 1), (1, 3)),
    "fine chroma": ((1, 1), (2, 1), (1, 2)),
}


def make_image(
    height: int,
    width: int,
    *,
    sampling: str = "4:4:4",
    color: Color = "ycbcr",
    orientation: int = 1,
    seed: int = 0,
) -> JpegImage:
    """Fill an image of the given form with random coefficients, the padding of its last blocks included."""
    generator = np.random.default_rng(seed)
    factors = SAMPLINGS[sampling][: 1 if color == "gray" else 3]
    v_max, h_max = (max(factor[axis] for factor in factors) for axis in (0, 1))
    components = []
    for index, (v, h) in enumerate(factors):
        down, across = -(-height * v // v_max), -(-width * h // h_max)
        quantized = generator.integers(-9, 10, (-(-down // 8), -(-across // 8), 8, 8), dtype=np.int16)
        table = generator.integers(1, 8, (8, 8), dtype=np.uint16)
        components.append(Component(index + 1, (v, h), down, across, quantized, table))
    return JpegImage(height, width, tuple(components), color, orientation)


@st.composite
def forms(draw: st.DrawFn) -> Callable[[], JpegImage]:
    """Draw the making of a 1..41 x 1..43 image; the test makes it, since checked types use `random` themselves."""
    color: Color = draw(st.sampled_from(["ycbcr", "ycbcr", "gray", "rgb"]))
    return partial(
        make_image,
        draw(st.integers(1, 41)),
        draw(st.integers(1, 43)),
        sampling=draw(st.sampled_from(sorted(SAMPLINGS))),
        color=color,
        orientation=draw(st.integers(1, 8)),
        seed=draw(st.integers(0, 99)),
    )


@st.composite
def boxes(draw: st.DrawFn, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Draw (top, left, height, width) inside an upright image: whole pixels, or sixteenths (exact in floats)."""
    per_pixel = draw(st.sampled_from([1, 16]))
    edges = []
    for side in size:
        low = draw(st.integers(0, side * per_pixel - 1))
        high = draw(st.integers(low + 1, side * per_pixel))
        edges.append((low / per_pixel, (high - low) / per_pixel))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]
