"""Compare each transform of spectra with its pixel twin of torchvision v2: the difference, and the time of a batch.

Photos are cropped to 224 x 224, as spectra of all 192 channels, of S-24, and as pixels. Differences are in levels of
0..255 over the images that come out: to the same change of float pixels without clamping ("unclamped"); of S-24, to
what it keeps of the change with all channels ("S-24"); and to torchvision on bytes, which rounds and clamps ("bytes").
Times are of one batch by one thread: spectra from int8 values, as a loader gives them, pixels as bytes and as float32.
Changes that are drawn before reading are timed with the reading of the files: as they are, changed by the reader, read
and then changed as a batch, and by Pillow and torchvision.

    python -m benchmarks.speed.transforms -n 7 --output benchmarks/results/records.jsonl
    python -m benchmarks.speed.transforms --sheet docs/images/transforms.jpg    # pictures of each, side by side
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from benchmarks.harness import interleave, photos, report
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from prepixel import transforms
from prepixel.data import CenterCrop, PixelReader, SpectrumReader
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.spectrum import BandSet, Box, Padding, Spectrum, Statistics, encode_int8, open_images, read_spectra
from prepixel.spectrum.dct import block_idct
from prepixel.spectrum.photometry import ycbcr_to_rgb
from prepixel.transforms import CropParams

GRID, BATCH = (28, 28), 32
ALL, FEW = BandSet.of("192"), BandSet.of("S-24")
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]


@dataclass(frozen=True)
class Case:
    """One change: of spectra, of pixels by torchvision (fractions or bytes), and of float pixels without clamping."""

    spectra: Callable[[Spectrum], Spectrum]
    pixels: Callable[[Tensor], Tensor]
    unclamped: Callable[[Tensor], Tensor] | None = None


def gray(images: Tensor) -> Tensor:
    """Return luma of level images."""
    return (LUMA.to(images) * images).sum(-3, keepdim=True)


def sharpened(images: Tensor, factor: float) -> Tensor:
    """Sharpen as torchvision, without clamping."""
    kernel = torch.ones(3, 1, 3, 3, dtype=images.dtype)
    kernel[:, :, 1, 1] = 5.0
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = torch.nn.functional.conv2d(images, kernel / 13, groups=3)
    return factor * images + (1 - factor) * smooth


def mixed(images: Tensor) -> Tensor:
    """Blend each image with the one before it."""
    return 0.3 * images.roll(1, 0) + 0.7 * images


BOX = torch.tensor([[9, 5, 11, 14]])
CASES: dict[str, Case] = {
    "brightness 1.4": Case(
        lambda s: transforms.adjust_brightness(s, 1.4), lambda x: v2.adjust_brightness(x, 1.4), lambda x: 1.4 * x
    ),
    "contrast 1.6": Case(
        lambda s: transforms.adjust_contrast(s, 1.6),
        lambda x: v2.adjust_contrast(x, 1.6),
        lambda x: 1.6 * x - 0.6 * gray(x).mean((1, 2, 3), keepdim=True),
    ),
    "saturation 1.8": Case(
        lambda s: transforms.adjust_saturation(s, 1.8),
        lambda x: v2.adjust_saturation(x, 1.8),
        lambda x: 1.8 * x - 0.8 * gray(x),
    ),
    "hue 0.1, approximate": Case(lambda s: transforms.approximate_hue(s, 0.1), lambda x: v2.adjust_hue(x, 0.1)),
    "grayscale": Case(
        transforms.to_grayscale,
        lambda x: v2.rgb_to_grayscale(x, num_output_channels=3),
        lambda x: gray(x).expand_as(x),
    ),
    "invert": Case(transforms.invert, v2.invert, lambda x: 255 - x),
    "Gaussian blur 9, 2.0": Case(
        lambda s: transforms.gaussian_blur(s, 9, 2.0),
        lambda x: v2.gaussian_blur(x, [9, 9], [2.0, 2.0]),
        lambda x: v2.gaussian_blur(x, [9, 9], [2.0, 2.0]),
    ),
    "sharpness 2.5": Case(
        lambda s: transforms.adjust_sharpness(s, 2.5),
        lambda x: v2.adjust_sharpness(x, 2.5),
        partial(sharpened, factor=2.5),
    ),
    "translate 21, -13": Case(
        lambda s: transforms.translate(s, 21, -13),
        lambda x: v2.affine(x, angle=0.0, translate=[21, -13], scale=1.0, shear=[0.0, 0.0]),
        lambda x: v2.affine(x, angle=0.0, translate=[21, -13], scale=1.0, shear=[0.0, 0.0]),
    ),
    "erase": Case(
        lambda s: transforms.erase(s, BOX.expand(len(s), 4)),
        lambda x: v2.erase(x, 72, 40, 88, 112, torch.zeros(3, 1, 1, dtype=x.dtype)),
        lambda x: v2.erase(x, 72, 40, 88, 112, torch.zeros(3, 1, 1, dtype=x.dtype)),
    ),
    "MixUp 0.7": Case(
        lambda s: Spectrum.of_coefficients(mixed(s.coefficients()), s.bands),
        lambda x: mixed(x.float()) if x.dtype == torch.uint8 else mixed(x),
        mixed,
    ),
}


def moved(crop: CropParams) -> CropParams:
    """Translate a crop by 21 and -13 of 224 pixels, with black beyond it."""
    box = crop.box
    place = (box.top + round(13 * box.height / 224), box.left - round(21 * box.width / 224))
    return crop._replace(box=Box(*place, box.height, box.width), padding=Padding(0), shown=box)


# What is drawn before reading: the crop's change, and the same of a batch of spectra.
DRAWN: dict[str, tuple[Callable[[CropParams], CropParams], Callable[[Spectrum], Spectrum]]] = {
    "vertical flip, drawn": (
        lambda crop: crop._replace(flipped=True, turns=2),
        lambda s: transforms.flip_vertical(s, torch.ones(len(s), dtype=torch.bool)),
    ),
    "quarter turn, drawn": (
        lambda crop: crop._replace(turns=1),
        lambda s: transforms.quarter_turns(s, torch.ones(len(s), dtype=torch.int64)),
    ),
    "translate 21, -13, drawn": (moved, lambda s: transforms.translate(s, 21, -13)),
}


def time_drawn(files: list[Path], statistics: Statistics, options: argparse.Namespace) -> None:
    """Time what is drawn before reading."""
    contents = [file.read_bytes() for file in files]
    images = open_images(contents)
    generator = np.random.default_rng(0)  # a centered crop draws nothing
    crops = [CenterCrop(1.0).make_params((h, w), 1.0, generator) for h, w in images.sizes.tolist()]
    reader = SpectrumReader(GRID, FEW, dtype=torch.int8, shift=statistics.shift(), unit=statistics.int8_unit())
    pixel_reader = PixelReader((8 * GRID[0], 8 * GRID[1]))
    for name, (change, on_batch) in DRAWN.items():
        changed = [change(crop) for crop in crops]
        subjects: dict[str, Callable[[], object]] = {
            "reading S-24, as it is": lambda: reader.read(images, crops, 1),
            "reading S-24, changed": lambda changed=changed: reader.read(images, changed, 1),
            "reading S-24, changed as a batch": lambda on_batch=on_batch: on_batch(
                reader.read(images, crops, 1).inputs
            ),
            "Pillow + torchvision, as it is": lambda: pixel_reader.read(images, crops, 1),
            "Pillow + torchvision, changed": lambda changed=changed: pixel_reader.read(images, changed, 1),
        }
        seconds = interleave(subjects, rounds=options.n)
        report("transforms", name, seconds, per=len(files), reference="reading S-24, as it is", options=options)


def pixels_of(spectrum: Spectrum) -> Tensor:
    """Decode to RGB levels, neither rounded nor clamped; channels that are not kept count as 0."""
    c = spectrum.coefficients()
    n, _, bh, bw = c.shape
    full = c.new_zeros(n, 192, bh, bw)
    full[:, list(spectrum.bands.channels)] = c
    samples = block_idct(full.reshape(n, 3, 8, 8, bh, bw).permute(1, 0, 4, 5, 2, 3))
    planes = samples.permute(0, 1, 2, 4, 3, 5).reshape(3, n, 8 * bh, 8 * bw)
    return ycbcr_to_rgb(planes).transpose(0, 1) + 128


def bytes_of(levels: Tensor) -> Tensor:
    """Round and clamp levels to bytes."""
    return levels.round().clamp(0, 255).to(torch.uint8)


def differences(case: Case, whole: Spectrum) -> dict[str, float | int | str]:
    """Return root mean square and largest differences of one change, in levels."""
    images = pixels_of(whole)
    found: dict[str, float | int | str] = {}

    def note(name: str, ours: Tensor, theirs: Tensor) -> None:
        difference = (ours.double() - theirs.double()).abs()
        found[f"{name}, rms"], found[f"{name}, most"] = (
            float(difference.square().mean().sqrt()),
            float(difference.max()),
        )

    if case.unclamped is not None:
        note("unclamped", pixels_of(case.spectra(whole)), case.unclamped(images))
    note("S-24", pixels_of(case.spectra(whole.select(FEW))), pixels_of(case.spectra(whole).select(FEW)))
    start = bytes_of(images)
    note("bytes", bytes_of(pixels_of(case.spectra(whole))), case.pixels(start).round())
    return found


def times(case: Case, spectra: dict[str, Spectrum], images: Tensor) -> dict[str, Callable[[], object]]:
    """Return what is timed of one change."""
    fractions = images.float() / 255
    return {
        **{name: partial(case.spectra, spectrum) for name, spectrum in spectra.items()},
        "torchvision, bytes": partial(case.pixels, images),
        "torchvision, float32": partial(case.pixels, fractions),
    }


def draw_sheet(image: Tensor, path: Path) -> None:
    """Draw each change of one picture: torchvision on bytes, spectra of 192 channels, and of S-24."""
    whole = spectrum_of(image)
    few, side, margin = whole.select(FEW), image.shape[-1], 18
    names = ("torchvision", "192 channels", "S-24")
    sheet = Image.new("RGB", (170 + 3 * (side + 4), margin + (len(CASES) + 1) * (side + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((174 + column * (side + 4), 3), name, fill="black")
    unchanged = {"unchanged": Case(lambda s: s, lambda x: x)}
    for row, (name, case) in enumerate((unchanged | CASES).items()):
        top = margin + row * (side + 4)
        draw.text((4, top + side // 2), name, fill="black")
        pair = torch.stack([image, image.flip(-1)])
        shown = [case.pixels(pair), *(pixels_of(case.spectra(s)) for s in (whole, few))]
        for column, pictures in enumerate(shown):
            levels = bytes_of(pictures[0].double()).permute(1, 2, 0).numpy()
            sheet.paste(Image.fromarray(levels), (170 + column * (side + 4), top))
    sheet.save(path, quality=90)


def spectrum_of(image: Tensor) -> Spectrum:
    """Return the spectrum of a picture of bytes and of its mirror image, of all channels in float64."""
    from prepixel.spectrum.dct import block_dct
    from prepixel.spectrum.photometry import rgb_to_ycbcr

    pair = torch.stack([image, image.flip(-1)]).double() - 128
    n, _, height, width = pair.shape
    planes = rgb_to_ycbcr(pair.transpose(0, 1)).reshape(3, n, height // 8, 8, width // 8, 8)
    c = block_dct(planes.permute(1, 0, 2, 4, 3, 5)).permute(0, 1, 4, 5, 2, 3)
    return Spectrum.of_coefficients(c.reshape(n, 192, height // 8, width // 8), ALL)


def sample_picture() -> Tensor:
    """Return a crop of the photo "flower" that scikit-learn carries (by vultilion, CC BY 2.0)."""
    from sklearn.datasets import load_sample_image

    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)
    return v2.resized_crop(photo, 20, 150, 400, 400, [160, 160], antialias=True)


def main() -> None:
    """Measure, print and record; or draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=7, help="rounds of all subjects (default 7; 0: no times)")
    parser.add_argument("--output", type=Path, default=None, help="append records to this JSON-lines file")
    parser.add_argument(
        "--sheet", type=Path, default=None, help="draw the pictures into this file, and measure nothing"
    )
    options = parser.parse_args()
    if options.sheet is not None:
        draw_sheet(sample_picture(), options.sheet)
        return
    torch.set_num_threads(1)
    files = sorted((photos() / "imagenet_samples").glob("*.[jJ]*"))[:BATCH]
    whole = read_spectra(files, grid=GRID, bands=ALL).spectrum
    statistics = Statistics.empty(ALL, GRID)
    statistics.update(whole)
    stored = encode_int8(whole, statistics.shift(), statistics.int8_unit())
    spectra = {"192 channels": stored, "S-24": stored.select(FEW)}
    exact = Spectrum.of_coefficients(whole.values[:8].double(), ALL)
    images = bytes_of(pixels_of(whole))
    environment = describe_environment()
    if options.n:
        kept = Statistics.empty(FEW, GRID)
        kept.update(whole.select(FEW))
        time_drawn(files, kept, options)
    for name, case in CASES.items():
        scores = differences(case, exact)
        print(f"\n{name}: " + ", ".join(f"{what} {value:.2g}" for what, value in scores.items()))
        if options.n:
            seconds = interleave(times(case, spectra, images), rounds=options.n)
            report("transforms", name, seconds, per=len(images), reference="torchvision, bytes", options=options)
        if options.output:
            row = ScoreRow("transforms: difference", "224 x 224, levels of 0..255", name, 8, scores, environment)
            append_records(options.output, [row])


if __name__ == "__main__":
    main()
