"""Real photos read by the native implementation, beside the float64 reference and the libraries' own decoders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.spectrum.native_pipeline import error_bound

from prepixel.errors import PrepixelError
from prepixel.jpeg import read_image, read_jpeg, read_sizes
from prepixel.spectrum import BandSet, Box, Spectrum, encode_int8, read_spectra, resample
from prepixel.spectrum.statistics import Statistics

pytestmark = pytest.mark.data

BANDS = BandSet.parse("S-24")
GRID = (56, 56)


def drawn(sizes: np.ndarray, seed: int) -> np.ndarray:
    """Draw crops of 8 % to 100 % of the area, on whole pixels."""
    generator = np.random.default_rng(seed)
    parts = np.sqrt(generator.uniform(0.08, 1, (len(sizes), 1))) * np.ones(2)
    lengths = np.maximum(1, np.floor(sizes * parts))
    return np.concatenate([np.floor(generator.uniform(0, 1, sizes.shape) * (sizes - lengths + 1)), lengths], axis=1)


def test_photos_are_the_reference_but_for_rounding(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted((photos / "imagenet_samples").glob("*.JPEG"))[::4]
    boxes = drawn(read_sizes(paths).sizes, seed=7)
    flips = np.arange(len(paths)) % 2 == 0
    spectra = read_spectra(paths, grid=GRID, bands=BANDS, boxes=boxes, flips=flips).spectrum
    references = torch.stack(
        [
            resample(read_jpeg(path), Box(*box.tolist()), GRID, BANDS, flip=bool(flip))
            for path, box, flip in zip(paths, boxes, flips, strict=True)
        ]
    )
    error = (spectra.values.double() - references).abs()
    largest = references.abs().amax((1, 2, 3))
    relative = error.amax((1, 2, 3)) / largest
    for index in range(0, len(paths), 8):
        image, box = read_jpeg(paths[index]), Box(*boxes[index].tolist())
        bound = error_bound(image, box, GRID, BANDS, flip=bool(flips[index]), filter_name="bilinear")
        assert (error[index] <= bound).all()
    assert relative.max() <= 2e-6

    statistics = Statistics.empty(BANDS, GRID)
    statistics.update(references)
    shift, unit = statistics.shift().float(), statistics.int8_unit().float()
    native = read_spectra(
        paths, grid=GRID, bands=BANDS, boxes=boxes, flips=flips, dtype=torch.int8, shift=shift, unit=unit
    ).spectrum
    expected = encode_int8(Spectrum.of_coefficients(references, BANDS), shift, unit).values
    differ = native.values != expected
    steps = (references - shift.double()[:, None, None]) / unit.double()[:, None, None]
    assert (native.values.int() - expected.int()).abs().max() <= 1
    from_tie = (steps - steps.floor() - 0.5).abs()
    assert not bool((differ & (from_tie > 1e-4)).any())
    unclipped = steps.abs() < 127
    with capsys.disabled():
        print(
            f"\n{len(paths)} photos, S-24 on 56 x 56, random crops: float32 against float64, largest error "
            f"{error.max():.2g} of coefficients up to {largest.max():.0f} (at most {relative.max():.2g} of an image's "
            f"largest, rms {error.square().mean().sqrt():.2g}); int8 against the rounded reference: "
            f"{int(differ.sum())} of {differ.numel()} values differ (ties only); largest error "
            f"{(native.values.double() - steps).abs()[unclipped].max():.6f} steps"
        )


def test_every_readable_file_of_other_projects_gives_finite_spectra(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read hostile and rare files as one batch: the good ones equal the reference, the bad ones are all reported."""
    corpus = [path for path in sorted((photos / "jpeg_corpus").rglob("*")) if path.is_file()]
    paths = [path for path in corpus if path.stat().st_size < 2**19 and path.suffix.lower() in {".jpg", ".jpeg"}]
    assert len(paths) > 300
    read = read_spectra(paths, grid=(3, 5), bands=BANDS, on_error="skip")
    assert len(read.kept) + len(read.failures) == len(paths)
    assert all(isinstance(failure.error, PrepixelError) for failure in read.failures)
    assert read.spectrum.values.isfinite().all()
    for place, index in list(enumerate(read.kept.tolist()))[::5]:
        image = read_image(paths[index])
        assert (image.origin == "pixels") == (index in read.from_pixels)
        reference = resample(dataclasses.replace(image), None, (3, 5), BANDS)
        tolerance = 4e-6 * max(1.0, float(reference.abs().max()))
        torch.testing.assert_close(read.spectrum.values[place].double(), reference, rtol=0, atol=tolerance)
    with capsys.disabled():
        print(
            f"\n{len(paths)} files of other projects: {len(read.kept)} read, {len(read.from_pixels)} of them by the "
            f"RGB pipeline, {len(read.failures)} reported"
        )
