"""An embedded data set: pictures made of noise, shapes and textures, written as real JPEG files of many kinds.

Six classes differ by shape and color, at any size. Four differ ONLY in the texture of one object, whose period is a
fixed part of the image's short side, about 5 pixels in 450: a network that sees 448 pixels can tell them, one that sees
112 cannot, since antialiasing leaves it a plain object.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw

from prepixel.array_types import Float, UInt8
from prepixel.data.parallel import map_unordered
from prepixel.data.random_streams import sample_generator
from prepixel.errors import DatasetError
from prepixel.files import error_about, sync_file, write_json

SHAPE_CLASSES: tuple[str, ...] = ("blue_disc", "green_triangle", "red_disc", "ring", "violet_cross", "yellow_square")
TEXTURE_CLASSES: tuple[str, ...] = ("woven_across", "woven_check", "woven_down", "woven_grain")
CLASSES: tuple[str, ...] = tuple(sorted(SHAPE_CLASSES + TEXTURE_CLASSES))

MARKER_NAME = "synthetic.json"
_VERSION = 1  # of the pictures: raise it whenever the same seed makes other ones

# Periods of the textures, as parts of the short side: after a .875 center crop 1.3 to 1.6 pixels of 112 (beyond
# Nyquist), 5.1 to 6.6 of 448 (horizontal or vertical frequency 2.4 to 3.1 of a block, inside S-24's 4 x 4).
TEXTURE_PERIODS = (1 / 100, 1 / 78)
_TEXTURE_AMPLITUDE = 30.0

_COLOURS: dict[str, tuple[float, float, float]] = {
    "blue": (45, 85, 205),
    "green": (50, 165, 70),
    "red": (205, 50, 45),
    "violet": (150, 60, 185),
    "yellow": (220, 195, 50),
}
_EXIF_ORIENTATION = 0x0112
# what turns an upright picture into the one stored under each EXIF orientation
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

Pixels = UInt8[np.ndarray, "y x 3"]
Plane = Float[np.ndarray, "y x"]
Picture = Float[np.ndarray, "y x 3"]


@dataclass(frozen=True)
class _Parameters:
    """State what decides every byte of a synthetic data set; kept in its marker file."""

    version: int
    num_train_per_class: int
    num_val_per_class: int
    seed: int
    min_side: int
    max_side: int


def write_synthetic(
    root: str | os.PathLike[str],
    *,
    num_train_per_class: int = 60,
    num_val_per_class: int = 20,
    seed: int = 0,
    min_side: int = 200,
    max_side: int = 700,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Path]:
    """Write the synthetic data set, unless it is there already, and give its train and val folders.

    Files are the same, byte for byte, for the same numbers, whatever ``threads`` is, under the same version of Pillow.
    They are made under a temporary name beside ``root`` and moved there when complete, so a killed run leaves no half
    of a data set; a call with the same numbers on a complete one does nothing.

    Args:
        root: the folder to make; it gets ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg``.
        num_train_per_class, num_val_per_class: images for each of the ten classes, at least 1.
        seed: in [0, 2**64).
        min_side, max_side: bounds on either side of an image, in pixels; at least 64 and 1.5 apart as a ratio.
        threads: 0 for one per core.
        progress: called with (files written, files in all) after each file, from the calling thread.

    Raises:
        DatasetError: ``root`` holds something else, or a synthetic data set of other numbers.
        ValueError: a number is out of range.
    """
    parameters = _Parameters(_VERSION, num_train_per_class, num_val_per_class, seed, min_side, max_side)
    _check(parameters)
    target = Path(root)
    if not _is_complete(target, parameters):
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        try:
            partial = Path(tempfile.mkdtemp(prefix=".prepixel-", suffix=".partial", dir=target.absolute().parent))
        except OSError as error:
            raise error_about(error, target) from error
        try:
            _write_all(partial, parameters, threads, progress)
            partial.chmod(0o755)  # mkdtemp's are private
            _move(partial, target, parameters)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target / "train", target / "val"


def draw_picture(name: str, generator: np.random.Generator, *, min_side: int = 200, max_side: int = 700) -> Pixels:
    """Draw one upright picture of a class.

    Args:
        name: one of `CLASSES`.
        generator: advanced by as many numbers as the picture needs.
        min_side, max_side: bounds on height and width.
    """
    height, width = _draw_size(generator, min_side, max_side)
    picture = _draw_background(generator, height, width)
    mask, shape = _draw_object(name, generator, height, width)
    picture += mask[:, :, None] * (shape - picture)
    _draw_occluders(picture, generator)
    # a camera's noise, so that no region is smooth
    picture += generator.normal(0, generator.uniform(1, 3), (height, width, 1))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def encode_picture(pixels: Pixels, generator: np.random.Generator, *, may_be_gray: bool) -> bytes:
    """Encode an upright picture as a JPEG file of a kind drawn at random.

    Quality 70..95; 4:4:4 (half), 4:2:0 or 4:2:2; one in seven progressive, one in seven with restart markers, one in
    ten turned and marked so by EXIF; where color tells nothing, one in twelve gray.
    """
    image = Image.fromarray(pixels)
    options: dict[str, object] = {
        "quality": int(generator.integers(70, 96)),
        "subsampling": str(generator.choice(["4:4:4", "4:2:0", "4:2:2"], p=[0.5, 0.35, 0.15])),
        "progressive": bool(generator.random() < 1 / 7),
        "optimize": bool(generator.random() < 0.3),
    }
    restart, turned, gray = generator.random(3) < (1 / 7, 1 / 10, 1 / 12)
    rows, orientation = int(generator.integers(1, 4)), int(generator.integers(2, 9))
    if restart:
        options["restart_marker_rows"] = rows
    if gray and may_be_gray:
        image = image.convert("L")
        del options["subsampling"]
    if turned:
        image = image.transpose(_STORED[orientation])
        exif = Image.Exif()
        exif[_EXIF_ORIENTATION] = orientation
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def _check(parameters: _Parameters) -> None:
    if min(parameters.num_train_per_class, parameters.num_val_per_class) < 1:
        raise ValueError(
            f"{parameters.num_train_per_class} training and {parameters.num_val_per_class} validation images a class: "
            "each must be at least 1"
        )
    if parameters.min_side < 64 or parameters.max_side < 1.5 * parameters.min_side:
        raise ValueError(
            f"sides from {parameters.min_side} to {parameters.max_side}: the smallest must be at least 64 and the "
            "largest at least 1.5 times that"
        )


def _is_complete(target: Path, parameters: _Parameters) -> bool:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    marker = target / MARKER_NAME
    if not marker.is_file():
        raise DatasetError(
            f"{target}: exists and is no synthetic data set (it has no {MARKER_NAME}); choose another folder"
        )
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        found = {name: found[name] for name in asdict(parameters)}
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{marker}: cannot be read ({error}); remove {target} and run again") from error
    wanted = asdict(parameters)
    if found != wanted:
        differing = ", ".join(f"{n}={found[n]} and not {wanted[n]}" for n in wanted if found[n] != wanted[n])
        raise DatasetError(f"{target}: was made with {differing}; remove it, or choose another folder")
    return True


def _move(partial: Path, target: Path, parameters: _Parameters) -> None:
    try:
        partial.rename(target)
    except OSError:
        # another process may have been first: then its files are the same
        if not _is_complete(target, parameters):
            raise


def _write_all(root: Path, parameters: _Parameters, threads: int, progress: Callable[[int, int], None] | None) -> None:
    jobs = []
    for part, count in (("train", parameters.num_train_per_class), ("val", parameters.num_val_per_class)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            jobs += [(part, label, number) for number in range(count)]

    def write(job: tuple[str, int, int]) -> None:
        part, label, number = job
        name = CLASSES[label]
        # the stream of a picture hangs on its name alone: asking for more of them changes none
        generator = sample_generator(parameters.seed, 2 * label + (part == "val"), number)
        pixels = draw_picture(name, generator, min_side=parameters.min_side, max_side=parameters.max_side)
        encoded = encode_picture(pixels, generator, may_be_gray=name in TEXTURE_CLASSES)
        with (root / part / name / f"{name}_{number:05}.jpg").open("wb") as file:
            file.write(encoded)
            sync_file(file)

    with contextlib.closing(map_unordered(write, jobs, threads)) as written:
        for done, _ in enumerate(written, start=1):
            if progress is not None:
                progress(done, len(jobs))
    marker = {
        "made_by": "prepixel synthesize",
        **asdict(parameters),
        "pillow": PIL.__version__,
        "numpy": np.__version__,
    }
    write_json(root / MARKER_NAME, marker)


def _draw_size(generator: np.random.Generator, smallest: int, largest: int) -> tuple[int, int]:
    short = generator.uniform(smallest, largest / 1.25)
    long = min(float(largest), short * generator.uniform(1.0, 1.6))
    sides = (round(short), round(long))
    return sides if generator.random() < 0.6 else (sides[1], sides[0])


def _enlarge(
    plane: Float[np.ndarray, "rows columns"], height: int, width: int
) -> Float[np.ndarray, "{height} {width}"]:
    small = Image.fromarray(plane.astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)


def _draw_clouds(generator: np.random.Generator, height: int, width: int) -> Plane:
    """Draw noise of standard deviation about 1 whose amplitude falls as 1/f, as that of photos does."""
    clouds = np.zeros((height, width))
    cells, weight, power = 2, 1.0, 0.0
    while cells < max(height, width) / 4:
        shape = (max(2, round(cells * height / width)), cells) if width > height else (cells, max(2, cells))
        clouds += weight * _enlarge(generator.standard_normal(shape), height, width)
        power += weight**2
        cells, weight = 2 * cells, 0.62 * weight
    return clouds / power**0.5


def _draw_color(generator: np.random.Generator, low: float = 40.0, high: float = 215.0) -> Float[np.ndarray, " 3"]:
    return generator.uniform(low, high, 3)


def _draw_background(generator: np.random.Generator, height: int, width: int) -> Picture:
    """Draw a gradient between two colors, clouds over it, and shapes in the way."""
    first, second = _draw_color(generator), _draw_color(generator)
    angle = generator.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j] - 0.5
    along = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)[:, :, None]
    picture = first + along * (second - first)
    light = _draw_clouds(generator, height, width) * generator.uniform(10, 26)
    tint = _draw_clouds(generator, height, width)[:, :, None] * generator.normal(0, 9, 3)
    picture = np.asarray(picture + light[:, :, None] + tint)
    return _paste_shapes(picture, generator, int(generator.integers(5, 16)), largest=0.3)


def _paste_shapes(picture: Picture, generator: np.random.Generator, count: int, largest: float) -> Picture:
    """Paste lines and slender polygons of random colors: clutter that resembles no class."""
    height, width = picture.shape[:2]
    short = min(height, width)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    for _ in range(count):
        center = generator.uniform(0, 1, 2) * (width, height)
        reach = generator.uniform(0.05, largest) * short
        fill = tuple(int(c) for c in _draw_color(generator, 20.0, 235.0))
        angles = np.sort(generator.uniform(0, 2 * np.pi, 4))
        corners = center + reach * generator.uniform(0.2, 1, (4, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
        if generator.random() < 0.5:
            canvas.polygon([(float(a), float(b)) for a, b in corners], fill=fill)
        else:
            ends = [(float(a), float(b)) for a, b in corners[[0, 2]]]
            canvas.line(ends, fill=fill, width=max(1, round(short * generator.uniform(0.004, 0.02))))
    return np.asarray(image, dtype=np.float64)


def _draw_occluders(picture: Picture, generator: np.random.Generator) -> None:
    """Lay one to three thin bars over everything, in place."""
    height, width = picture.shape[:2]
    mask = Image.new("L", (width, height))
    canvas = ImageDraw.Draw(mask)
    for _ in range(int(generator.integers(1, 4))):
        ends = generator.uniform(-0.1, 1.1, (2, 2)) * (width, height)
        thickness = max(1, round(min(height, width) * generator.uniform(0.005, 0.02)))
        canvas.line([(float(a), float(b)) for a, b in ends], fill=255, width=thickness)
    picture[np.asarray(mask) > 0] = _draw_color(generator, 20.0, 235.0)


def _draw_object(name: str, generator: np.random.Generator, height: int, width: int) -> tuple[Plane, Picture]:
    """Draw the object that gives a picture its class: how much it covers each pixel, and its colors."""
    short = min(height, width)
    radius = short * generator.uniform(0.25, 0.36)
    free = np.maximum(np.array([height, width]) * 0.5 - radius - 0.04 * short, 0)
    center = np.array([height, width]) * 0.5 + generator.uniform(-0.6, 0.6, 2) * free
    y, x = np.mgrid[0:height, 0:width] + 0.5 - center[:, None, None]
    turn = generator.uniform(-0.3, 0.3)
    outside = _distance(
        _shape_of(name, generator), np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x, radius
    )
    mask = np.clip(0.5 - outside, 0, 1)
    color = _COLOURS.get(name.partition("_")[0])
    base = _draw_color(generator, 70.0, 185.0) if color is None else np.array(color) + generator.normal(0, 13, 3)
    shade = _draw_clouds(generator, height, width) * 7 + generator.uniform(-18, 18) * (x + y) / radius
    if name in TEXTURE_CLASSES:
        shade = shade + _draw_texture(name, generator, y, x, short)
    return mask, base + shade[:, :, None]


def _shape_of(name: str, generator: np.random.Generator) -> str:
    drawn = str(generator.choice(["disc", "square"]))
    return drawn if name in TEXTURE_CLASSES else name.rpartition("_")[2]


def _distance(shape: str, y: Plane, x: Plane, radius: float) -> Plane:
    """Return the distance from a shape's edge in pixels, negative inside; outside corners it is a lower bound."""
    if shape == "disc":
        return np.hypot(y, x) - radius
    if shape == "ring":
        return np.abs(np.hypot(y, x) - 0.78 * radius) - 0.22 * radius
    if shape == "square":
        return np.maximum(np.abs(y), np.abs(x)) - 0.85 * radius
    if shape == "triangle":
        side = np.maximum(np.abs(x) * 3**0.5 / 2 - y / 2, y)
        return np.asarray(side - 0.55 * radius)
    bars = [np.maximum(np.abs(a) - radius, np.abs(b) - 0.28 * radius) for a, b in ((y, x), (x, y))]
    return np.minimum(*bars)  # cross


def _draw_texture(name: str, generator: np.random.Generator, y: Plane, x: Plane, short: int) -> Plane:
    """Draw a weave: threads across, down, both (a check), or grain of the same period without direction."""
    period = short * generator.uniform(*TEXTURE_PERIODS)
    phases = generator.uniform(0, 2 * np.pi, 2)
    # threads are not quite straight: a slow bend of a few degrees
    bend = 2.0 * period * _enlarge(generator.standard_normal((3, 3)), *y.shape)
    down = np.sin(2 * np.pi * (y + bend) / period + phases[0])
    across = np.sin(2 * np.pi * (x + bend) / period + phases[1])
    if name == "woven_across":
        weave = down
    elif name == "woven_down":
        weave = across
    elif name == "woven_check":
        weave = (down + across) / 2**0.5
    else:
        weave = _draw_grain(generator, y.shape, period)
    return np.asarray(_TEXTURE_AMPLITUDE * weave)


def _draw_grain(generator: np.random.Generator, shape: tuple[int, ...], period: float) -> Plane:
    """Draw noise around one period, of the power of a sine: blurred noise less noise blurred more."""
    noise = Image.fromarray(generator.standard_normal(shape).astype(np.float32))
    # cells of half a period, enlarged: nothing much shorter than the period remains
    cells = tuple(max(2, round(2 * side / period)) for side in shape)
    fine = np.asarray(noise.resize((cells[1], cells[0]), Image.Resampling.NEAREST), dtype=np.float64)
    coarse_size = (max(2, cells[1] // 2), max(2, cells[0] // 2))
    coarse = Image.fromarray(fine.astype(np.float32)).resize(coarse_size, Image.Resampling.BOX)
    fine -= np.asarray(coarse.resize((cells[1], cells[0]), Image.Resampling.BICUBIC), dtype=np.float64)
    grain = _enlarge(fine, shape[0], shape[1])
    return np.asarray(grain * (0.5**0.5 / grain.std()))
