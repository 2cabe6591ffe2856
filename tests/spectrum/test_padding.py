"""Boxes beyond the image: padding by a color, by repeated and by mirrored samples, against padded pixels in float64."""

from __future__ import annotations

import inspect
import itertools
import math
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tests.jpeg.small_files import by_pillow
from tests.oracles import pixel_reference as rgb_pipeline
from tests.spectrum.images import SAMPLINGS, make_image
from tests.spectrum.native_pipeline import at_level
from tests.spectrum.test_indexed_crops import FILES
from tests.spectrum.test_packed import files
from torch.nn import functional
from torchvision.transforms.v2 import functional as v2

from prepixel import _native
from prepixel.jpeg import index_jpeg, pack_jpeg, read_jpeg, read_sizes
from prepixel.jpeg.image import Color, JpegImage
from prepixel.spectrum import BandSet, Box, Padding, read_arrays, read_padded, read_spectra, resample, spectrum_of
from prepixel.spectrum.boxes import PaddingMode, axis_order
from prepixel.spectrum.crop_arrays import CropArrays
from prepixel.spectrum.dct import block_dct

ALL = BandSet.of("192")
MODES: tuple[PaddingMode, ...] = get_args(PaddingMode)
NUMPY = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}
COLOR = (200.0, 31.0, 77.0)
BEYOND = 48  # luma pixels of padding that the oracle makes on each side: a multiple of every ratio of samplings
# top, left, height, width against an image of 19 x 26: inside, beyond each edge, around it, beside it, real numbers
BOXES = [
    (2.0, 3.0, 11.0, 17.0),
    (-5.0, 2.0, 13.0, 20.0),
    (7.0, 9.0, 20.0, 30.0),
    (-8.0, -12.0, 40.0, 53.0),
    (30.0, -40.0, 16.0, 16.0),
    (-3.25, 4.5, 25.75, 31.125),
]


def padded_planes(image: JpegImage, padding: Padding, shown: Box) -> list[np.ndarray]:
    """Return the component samples of an image that is larger by BEYOND luma pixels on every side."""
    part = shown.in_stored_axes((image.height, image.width), image.orientation)
    v_max, h_max = image.max_sampling
    levels = [level - 128 for level in padding.rgb]
    if image.color != "rgb":
        r, g, b = (np.array(level + 128.0) for level in levels)
        levels = [float(level) - 128 for level in rgb_pipeline.rgb_to_ycbcr(r, g, b)]
    components = list(image.components)
    if image.color == "gray":
        components += [replace(components[0], quantized=np.zeros_like(components[0].quantized))] * 2
    planes = []
    for level, c in zip(levels, components, strict=True):
        plane = rgb_pipeline.decode_plane(c.quantized.astype(float) * c.quantization, c.height, c.width)
        widths, spans = [], []
        for factor, most, size, start, length in (
            (c.sampling[0], v_max, c.height, part.top, part.height),
            (c.sampling[1], h_max, c.width, part.left, part.width),
        ):
            begin, end = math.floor(start * factor / most), min(size, math.ceil((start + length) * factor / most))
            spans.append(slice(begin, end))
            widths.append((BEYOND * factor // most + begin, BEYOND * factor // most + size - end))
        more: dict[str, Any] = {"constant_values": level} if padding.mode == "constant" else {}
        planes.append(np.pad(plane[spans[0], spans[1]], widths, NUMPY[padding.mode], **more))  # type: ignore[call-overload]
    return planes


def by_padded_pixels(
    image: JpegImage,
    box: tuple[float, float, float, float],
    grid: tuple[int, int],
    padding: Padding,
    shown: Box | None = None,
    *,
    flip: bool = False,
    turns: int = 0,
    filter_name: str = "bilinear",
) -> torch.Tensor:
    v_max, h_max = image.max_sampling
    ratios = [(v_max / c.sampling[0], h_max / c.sampling[1]) for c in image.components]
    expected = rgb_pipeline.spectrum(
        padded_planes(image, padding, Box(0, 0, *image.upright_size) if shown is None else shown),
        ratios * 3 if image.color == "gray" else ratios,
        stored_size=(image.height + 2 * BEYOND, image.width + 2 * BEYOND),
        color="ycbcr" if image.color == "gray" else image.color,
        orientation=image.orientation,
        box=(box[0] + BEYOND, box[1] + BEYOND, box[2], box[3]),
        grid=grid,
        flip=flip,
        turns=turns,
        filter_name=filter_name,
    )
    return torch.from_numpy(expected.reshape(192, *grid))


def upright_image(orientation: int, **more: Any) -> JpegImage:
    """Make an image that is 19 x 26 once upright."""
    height, width = (26, 19) if axis_order(orientation).transposed else (19, 26)
    return make_image(height, width, orientation=orientation, seed=orientation, **more)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_padding_is_that_of_pixels(sampling: str, mode: PaddingMode) -> None:
    padding = Padding(COLOR, mode)
    boxes = BOXES if mode == "constant" else BOXES[3:]
    for number, (orientation, box) in enumerate(itertools.product(range(1, 9), boxes)):
        image = upright_image(orientation, sampling=sampling)
        flip, turns, name = number % 3 == 0, number % 4, ("bilinear", "bicubic")[number % 2]
        grid = (2, 3) if number % 5 else (3, 1)
        options: dict[str, Any] = {"flip": flip, "turns": turns}
        expected = by_padded_pixels(image, box, grid, padding, filter_name=name, **options)
        ours = resample(image, Box(*box), grid, ALL, padding=padding, filter=name, **options)  # type: ignore[arg-type]
        torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)
        native = spectrum_of(image, grid=grid, bands=ALL, box=Box(*box), padding=padding, filter=name, **options)  # type: ignore[arg-type]
        error = (native.values[0].double() - expected).abs().max()
        assert error <= 3e-6 * max(1000.0, float(expected.abs().max())), (orientation, box)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("color", ["gray", "rgb", "ycbcr"])
def test_padding_begins_beyond_the_part_that_is_shown(color: Color, mode: PaddingMode) -> None:
    padding, shown = Padding(COLOR, mode), Box(4, 6, 9, 13)
    for number, (orientation, box) in enumerate(itertools.product(range(1, 9), BOXES)):
        image = upright_image(orientation, color=color, sampling="4:2:0" if color == "ycbcr" else "4:4:4")
        expected = by_padded_pixels(image, box, (3, 2), padding, shown, turns=number % 4)
        options: dict[str, Any] = {"padding": padding, "shown": shown, "turns": number % 4}
        ours = resample(image, Box(*box), (3, 2), ALL, **options)
        torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)
        native = spectrum_of(image, grid=(3, 2), bands=ALL, box=Box(*box), **options)
        error = (native.values[0].double() - expected).abs().max()
        assert error <= 3e-6 * max(1000.0, float(expected.abs().max())), (orientation, box)


@pytest.mark.parametrize("mode", MODES)
def test_padding_is_torchvisions(mode: PaddingMode) -> None:
    """Pad, crop and resize pixels by torchvision and torch, in float64: a second oracle."""
    image = make_image(19, 26, color="rgb")
    planes = [
        rgb_pipeline.decode_plane(c.quantized.astype(float) * c.quantization, c.height, c.width) + 128
        for c in image.components
    ]
    pixels = torch.from_numpy(np.stack(planes))
    # torchvision fills a tensor by one level
    larger = v2.pad(pixels, [11, 12, 13, 14], fill=77.0, padding_mode=mode)
    crop = v2.crop(larger, 3, 2, 37, 40)
    resized = functional.interpolate(crop[None], (24, 40), mode="bilinear", antialias=True, align_corners=False)[0]
    y, cb, cr = rgb_pipeline.rgb_to_ycbcr(*(plane.numpy() for plane in resized))
    levels = torch.from_numpy(np.stack([y, cb, cr])) - 128
    blocks = block_dct(levels.reshape(3, 3, 8, 5, 8).permute(0, 1, 3, 2, 4)).permute(0, 3, 4, 1, 2)
    ours = resample(image, Box(3 - 12, 2 - 11, 37, 40), (3, 5), ALL, padding=Padding(77, mode))
    torch.testing.assert_close(ours, blocks.reshape(192, 3, 5), atol=1e-9, rtol=0)


def test_a_box_inside_has_the_bits_of_no_padding() -> None:
    image = upright_image(6, sampling="4:2:0")
    for box in (None, Box(2, 3.5, 15, 20.25)):
        plain = spectrum_of(image, grid=(3, 2), bands=ALL, box=box)
        padded = spectrum_of(image, grid=(3, 2), bands=ALL, box=box, padding=Padding(9))
        assert torch.equal(plain.values, padded.values)


def test_a_color_alone_is_a_constant_block() -> None:
    image = upright_image(1, sampling="4:2:0")
    ours = spectrum_of(image, grid=(2, 3), bands=ALL, box=Box(40, 0, 8, 8), padding=Padding(COLOR)).values[0]
    expected = [8 * (float(level) - 128) for level in rgb_pipeline.rgb_to_ycbcr(*(np.array(k) for k in COLOR))]
    for component, level in enumerate(expected):
        torch.testing.assert_close(ours[64 * component], torch.full((2, 3), level, dtype=torch.float32))
    assert ours[[c for c in range(192) if c % 64]].abs().max() == 0
    nothing = spectrum_of(image, grid=(2, 3), bands=ALL, padding=Padding(COLOR), shown=Box(0, 0, 0, 0)).values[0]
    assert torch.equal(nothing, ours)
    jpegs = [by_pillow(subsampling=2), by_pillow(progressive=True), by_pillow(keep_rgb=True)]
    sources = [*jpegs, *(pack_jpeg(file, compression="none") for file in jpegs)]
    boxes = np.array([[500.0, -90.0, 9.0, 9.0]] * len(sources))
    read = read_arrays(sources, grid=(2, 3), bands=ALL, boxes=boxes, padding=Padding(COLOR))
    assert np.abs(read.values - ours.numpy()).max() < 1e-3  # RGB files pad in RGB, and become YCbCr after that


def test_every_instruction_set_and_packed_image_gives_the_same_bits() -> None:
    bands, grid = BandSet.of("S-24"), (5, 3)
    crops = CropArrays.of(
        1, np.array([BOXES[3]]), None, np.array([1]), Padding(COLOR), np.array([[1.0, 2.0, 16.0, 20.0]])
    )
    for color, dtype in itertools.product(("gray", "rgb", "ycbcr"), (np.float32, np.int8)):
        image = upright_image(3, color=color)
        results = []
        for level in _native.simd_levels():
            out = np.empty((1, len(bands), *grid), dtype)
            results.append(at_level(level, image, Box(*BOXES[3]), out, bands, **crops.native()).tobytes())
        assert len(set(results)) == 1
    sources = list(files().values())
    packed = [pack_jpeg(file, compression="none") for file in sources]
    sizes = read_sizes(sources).sizes
    rng = np.random.default_rng(8)
    for mode in MODES:
        boxes = np.concatenate(
            [rng.uniform(-0.5, 0.6, sizes.shape) * sizes, rng.uniform(0.2, 1.4, sizes.shape) * sizes], 1
        )
        options: dict[str, Any] = {"grid": grid, "bands": "S-24", "boxes": boxes, "padding": Padding(COLOR, mode)}
        assert np.array_equal(read_arrays(sources, **options).values, read_arrays(packed, **options).values)


def test_files_are_padded_by_index_and_without_each_by_its_own() -> None:
    sizes = read_sizes(FILES).sizes
    indexes = [index_jpeg(file, every=1) for file in FILES]
    rng = np.random.default_rng(4)
    boxes = np.concatenate([rng.uniform(-0.2, 0.7, sizes.shape) * sizes, rng.uniform(0.1, 0.5, sizes.shape) * sizes], 1)
    shown = np.concatenate([sizes * 0.125, sizes * 0.75], 1)
    padding = [Padding(COLOR, MODES[i % 4]) for i in range(len(FILES))]
    options: dict[str, Any] = {"bands": "S-24", "boxes": boxes, "padding": padding, "shown": shown}
    plain = read_arrays(FILES, grid=(3, 5), indexes=None, **options)
    for threads in (1, 3):
        indexed = read_arrays(FILES, grid=(3, 5), indexes=indexes, threads=threads, **options)
        assert np.array_equal(indexed.values, plain.values)
    spectra = read_spectra(FILES, grid=(3, 5), **options).spectrum.values.numpy()
    padded = read_padded(FILES, grids=[(3, 5)] * len(FILES), **options).spectrum.spectrum.values.numpy()
    assert np.array_equal(spectra, plain.values)
    assert np.array_equal(padded, plain.values)
    for i in set(range(len(FILES))) - set(plain.report.from_pixels):
        one = {"box": Box(*boxes[i].tolist()), "padding": padding[i], "shown": Box(*shown[i].tolist())}
        expected = resample(read_jpeg(FILES[i]), grid=(3, 5), bands="S-24", **one)  # type: ignore[arg-type]
        assert np.abs(plain.values[i] - expected.numpy()).max() <= 3e-6 * max(1000.0, float(expected.abs().max()))


def test_some_images_without_padding_stay_inside() -> None:
    file = by_pillow(subsampling=2)
    boxes = np.array([[2.0, 3.0, 20.0, 30.0], [-2.0, 3.0, 20.0, 30.0]])
    read = read_arrays([file] * 2, grid=(2, 3), bands="S-24", boxes=boxes, padding=[None, Padding(5)])
    plain = read_arrays([file], grid=(2, 3), bands="S-24", boxes=boxes[:1])
    assert np.array_equal(read.values[0], plain.values[0])
    with pytest.raises(ValueError, match="outside the upright image of"):
        read_arrays([file] * 2, grid=(2, 3), bands="S-24", boxes=boxes, padding=[Padding(5), None])


def test_padding_that_does_not_fit_is_refused() -> None:
    image = make_image(16, 24)

    def read(box: Box | None = None, **more: Any) -> None:
        options = {"box": box or Box(-1, 0, 9, 9), "padding": Padding(0)} | more
        spectrum_of(image, grid=(2, 3), bands="S-24", **options)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="outside the upright image of 16 x 24"):
        read(shown=Box(0, 0, 17, 24))
    with pytest.raises(ValueError, match="beyond 1048576 pixels"):
        read(Box(-1, 0, 2.0**21, 9))
    with pytest.raises(ValueError, match="is not a box: its edges must be finite"):
        read(Box(-1, 0, math.inf, 9))
    with pytest.raises(ValueError, match="its edges must be finite and ordered"):
        read(shown=Box(0, 0, math.nan, 9))
    with pytest.raises(ValueError, match="shows nothing, which only padding of one color can follow"):
        read(shown=Box(0, 0, 0, 9), padding=Padding(0, "edge"))
    with pytest.raises(ValueError, match=r"levels of 0\.\.255, not 1e\+07"):
        read(padding=Padding(1e7))
    with pytest.raises(ValueError, match="shown says where padding begins, and there is none"):
        read(padding=None, shown=Box(0, 0, 9, 9))
    with pytest.raises(ValueError, match="2 paddings for 1 sources; give one per source"):
        CropArrays.of(1, padding=[None, None])
    with pytest.raises(ValueError, match=r"fill is nan; a color is one level of 0\.\.255, or three"):
        Padding(math.nan)
    with pytest.raises(ValueError, match="no padding mode 'wrap'; there are constant, edge, reflect, symmetric"):
        inspect.unwrap(Padding.__post_init__)(_Unchecked(0, "wrap"))


class _Unchecked:
    """Stands for a padding whose arguments no type checker has seen."""

    def __init__(self, fill: float, mode: str) -> None:
        self.fill, self.mode, self.rgb = fill, mode, (fill,) * 3
