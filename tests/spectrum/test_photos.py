"""What is claimed of real photos."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.spectrum.test_geometry import ORIENTATIONS, assert_same_coefficients, by_jpegtran

from prepixel.jpeg import read_jpeg
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.boxes import Box
from prepixel.spectrum.dct import block_dct
from prepixel.spectrum.geometry import transform
from prepixel.spectrum.photometry import rgb_to_ycbcr
from prepixel.spectrum.reference import resample
from prepixel.spectrum.spectrum import Spectrum, encode_int8
from prepixel.spectrum.statistics import Statistics

pytestmark = pytest.mark.data
ALL = BandSet.parse("192")
GRID = (56, 56)


def files(photos: Path) -> list[Path]:
    return sorted((photos / "imagenet_samples").glob("*.JPEG"))


def test_quality_100_integers_are_our_coefficients_but_for_their_rounding(photos: Path) -> None:
    """Expect an rms of sqrt(2 / 12) = .41, from rounding YCbCr samples and then coefficients, and at most .42."""
    squares, largest = [], 0.0
    for path in files(photos)[:10]:
        with Image.open(path) as opened:
            crop = ImageOps.fit(opened.convert("RGB"), (448, 448), Image.Resampling.BILINEAR, bleed=1 / 16)
        buffer = io.BytesIO()
        crop.save(buffer, "JPEG", quality=100, subsampling="4:4:4")
        image = read_jpeg(buffer.getvalue())
        pixels = torch.from_numpy(np.asarray(crop, dtype=np.float64)).permute(2, 0, 1)
        samples = rgb_to_ycbcr(pixels - 128).reshape(3, 56, 8, 56, 8).permute(0, 1, 3, 2, 4)
        stored = np.stack([component.quantized for component in image.components])
        assert all(int(component.quantization.max()) == 1 for component in image.components)
        difference = block_dct(samples) - torch.from_numpy(stored)
        squares.append(difference.square().mean().item())
        largest = max(largest, difference.abs().max().item())
    assert 0.38 < float(np.sqrt(np.mean(squares))) <= 0.42
    assert 1 < largest <= 6.5


def test_turns_of_photos_equal_jpegtran(photos: Path) -> None:
    for index, path in enumerate(files(photos)[:21]):
        orientation = 2 + index % 7
        file = path.read_bytes()
        ours = transform(read_jpeg(file), orientation, trim=True)
        assert_same_coefficients(ours, by_jpegtran(file, ["-trim", *ORIENTATIONS[orientation][1]]))


def test_int8_steps_serve_photos_that_they_were_not_chosen_on(photos: Path) -> None:
    """Hold `Statistics.int8_unit` to the figures of its docstring."""

    def read(path: Path) -> torch.Tensor:
        image = read_jpeg(path)
        height, width = image.upright_size
        side = min(height, width) * 0.875
        return resample(image, Box((height - side) / 2, (width - side) / 2, side, side), GRID, ALL)[None]

    statistics, judged = Statistics.empty(ALL, GRID), Statistics.empty(ALL, GRID)
    for path in files(photos)[::2]:
        statistics.update(read(path))
    shift, unit = statistics.shift(), statistics.int8_unit()
    error, clipped = torch.zeros(192, dtype=torch.float64), torch.zeros(192, dtype=torch.float64)
    for path in files(photos)[1::2]:
        coefficients = read(path)
        judged.update(coefficients)
        spectrum = encode_int8(Spectrum.of_coefficients(coefficients, ALL), shift, unit)
        error += (spectrum.coefficients().double() - coefficients).square().sum((0, 2, 3))
        clipped += ((coefficients - shift[:, None, None]).abs() > 127.5 * unit[:, None, None]).sum((0, 2, 3))
    relative = error / judged.num_positions / judged.std().square()
    square_set = list(BandSet.parse("S-24").channels)
    assert (clipped / judged.num_positions).mean() < 3e-5
    assert clipped[[0, 64, 128]].sum() == 0
    assert relative.mean().sqrt().item() == pytest.approx(0.052, abs=0.001)
    assert relative[square_set].mean().sqrt().item() == pytest.approx(0.035, abs=0.001)
