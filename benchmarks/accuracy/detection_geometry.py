"""Check that boxes and masks stay aligned with the picture: random frames of real photos, against the pixel pipeline.

``-n`` hundred objects of the detection photos are chosen at random, each in a random frame: resized, cropped
("large-scale jitter") or not, flipped or not. The training mask, made from the annotation by the frame's parameters, is
compared with the pixel pipeline, where Pillow crops, resizes and flips the mask as it would the photo; the box is
compared with a painted rectangle that takes the same pipeline; and luma of the frame's coefficients is compared with
the photo's luma treated by Pillow in the same way. With ``--output`` a sheet of frames, made from coefficients alone
with boxes and masks on them, is written beside the records; it shows photos that a package ships.

    python -m benchmarks.accuracy.detection_geometry -n 10
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from benchmarks.harness import arguments, photos
from PIL import Image

from prepixel.data.datasets.coco import CocoDataset, CocoImage, CocoObject
from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.data.loading.detection_crops import FrameSettings, ResizeParams, boxes_in_frame, mask_in_frame
from prepixel.data.loading.detection_readers import SpectrumFrames
from prepixel.data.random_streams import sample_generator
from prepixel.jpeg import read_sizes
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.reports import Shown, plot_detections
from prepixel.spectrum import BandSet, PaddedSpectrum, open_images

ALL = BandSet.parse("192")
PIXELS = 8
SETTINGS = (
    FrameSettings((480, 640, 800), 1333, PIXELS),
    FrameSettings((640,), 640, PIXELS, jitter=(0.5, 2.0)),
)
LARGE = 400  # pixels; of a smaller mask one pixel of the edge may be more than a hundredth
SHEET = 8
# x, y, x, y, ... in scikit-learn's china.jpg, then one in its flower.jpg
ROOF = [95, 125, 100, 105, 125, 108, 175, 80, 195, 62, 196, 35, 206, 30, 215, 38, 214, 62, 240, 85, 275, 105, 320, 120]
ROOF = [*map(float, [*ROOF, 310, 135, 285, 125, 250, 120, 205, 115, 150, 118, 100, 137])]
STOREY = [103.0, 192.0, 320.0, 192.0, 318.0, 228.0, 280.0, 238.0, 100.0, 236.0]
TREE = [547, 225, 575, 200, 590, 150, 612, 138, 640, 150, 640, 427, 545, 427, 565, 380, 572, 330, 560, 290, 550, 255]
TREE = [*map(float, TREE)]
BUD = [288, 410, 300, 395, 330, 378, 350, 376, 365, 388, 380, 380, 415, 378, 430, 385, 440, 400, 440, 420, 470, 427]
BUD = [*map(float, [*BUD, 290, 427])]


def rgb_pipeline(picture: Image.Image, params: ResizeParams) -> np.ndarray:
    """Cut, resize and mirror by Pillow."""
    box = params.box
    part = picture.crop((int(box.left), int(box.top), int(box.left + box.width), int(box.top + box.height)))
    resized = part.resize(params.size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if params.flipped else resized)


def picture_of(path: str, params: ResizeParams) -> np.ndarray:
    """Return the RGB pixels of a frame's coefficients: the inverse transform and JFIF's color matrix."""
    frame = SpectrumFrames(ALL, PIXELS, multiple=1).read(open_images([path]), [params], 1).inputs
    assert isinstance(frame, PaddedSpectrum)
    values = frame.spectrum.values[0].double().numpy()
    table = np.array([[np.cos((2 * x + 1) * v * np.pi / 16) for x in range(8)] for v in range(8)]) / 2
    table[0] /= 2**0.5
    bh, bw = values.shape[1:]
    planes = np.einsum("cvuab,vy,ux->caybx", values.reshape(3, 8, 8, bh, bw), table, table)
    y, cb, cr = planes.reshape(3, 8 * bh, 8 * bw)
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1) + 128


def overlap(image: CocoImage, one: CocoObject, params: ResizeParams) -> tuple[int, float]:
    """Return the pixels of a mask, and its intersection over union with the pixel pipeline's."""
    photo = (image.height, image.width)
    ours = mask_in_frame(one.segmentation, photo, params).astype(bool)
    whole = Image.fromarray(run_lengths(one.segmentation, *photo).decode().astype(np.float32))
    theirs = rgb_pipeline(whole, params) > 0.5 - 1e-4
    union = int((ours | theirs).sum())
    return union, 1 - int((ours ^ theirs).sum()) / union if union else 1.0


def box_error(image: CocoImage, one: CocoObject, params: ResizeParams) -> float | None:
    """Return the distance, in pixels of the frame, of a box's edges from the same rectangle painted and resized.

    The rectangle is painted with antialiased edges, clipped to the frame. Its edges after the pixel pipeline
    are computed from its sums: width from a row's sum, place from its center. None for a box that is hardly visible.
    """
    b, (x, y, w, h) = params.box, one.box
    left, right = max(x, b.left), min(x + w, b.left + b.width)
    top, bottom = max(y, b.top), min(y + h, b.top + b.height)
    if right - left < 4 or bottom - top < 4:
        return None
    shades = [
        (np.minimum(np.arange(n) + 1, high) - np.maximum(np.arange(n), low)).clip(0, 1)
        for n, low, high in ((image.height, top, bottom), (image.width, left, right))
    ]
    painted = rgb_pipeline(Image.fromarray(np.outer(*shades).astype(np.float32)), params).astype(np.float64)
    moved = boxes_in_frame(np.array([[left, top, right, bottom]]), params)[0]
    found = np.empty(4)
    for axis, (low, high) in enumerate(((0, 2), (1, 3))):
        profile = painted.sum(axis) / painted.sum(axis).max()
        center = (profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum()
        found[[low, high]] = center - profile.sum() / 2, center + profile.sum() / 2
    return float(np.abs(found - moved).max())


def outlined() -> list[tuple[str, list[tuple[str, list[float]]]]]:
    """Return two photos that scikit-learn ships (CC BY 2.0, danielbuechele) and their hand-drawn outlines."""
    folder = files("sklearn.datasets.images")
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    blossom = np.stack([307 + 138 * np.cos(turns), 222 + 136 * np.sin(turns)], 1).ravel().tolist()
    china: list[tuple[str, list[float]]] = [("roof", ROOF), ("storey", STOREY), ("tree", TREE)]
    return [(str(folder / "china.jpg"), china), (str(folder / "flower.jpg"), [("flower", blossom), ("flower", BUD)])]


def sheet(output: Path) -> None:
    """Draw frames from coefficients with their boxes and masks."""
    shown = {}
    photos_of_sheet = outlined()
    for index in range(SHEET):
        path, objects = photos_of_sheet[index % 2]
        height, width = read_sizes([path]).sizes[0].tolist()
        params = SETTINGS[index // 2 % 2].make_params((height, width), sample_generator(2, 0, index), training=True)
        corners = [np.array(polygon).reshape(-1, 2) for _, polygon in objects]
        boxes = np.array([[*xy.min(0), *xy.max(0)] for xy in corners])
        boxes = boxes_in_frame(boxes, params).clip(0, np.tile(params.size[::-1], 2))
        kept = [k for k in range(len(objects)) if (boxes[k, 2:] - boxes[k, :2]).min() > 8]
        masks = [mask_in_frame([objects[k][1]], (height, width), params).astype(bool) for k in kept]
        pixels = picture_of(path, params).clip(0, 255).round().astype(np.uint8)
        what = f"{params.size[1]} x {params.size[0]}" + (", mirrored" if params.flipped else "")
        what += ", cut" if params.box.height < height or params.box.width < width else ""
        names = [objects[k][0] for k in kept]
        shown[f"{what}{' ' * index}"] = Shown(pixels[::2, ::2], boxes[kept] / 2, names, [m[::2, ::2] for m in masks])
    title = "frames as their coefficients hold them; boxes and masks by the same parameters"
    plot_detections(shown, output, width_inches=12, title=title)


def main() -> None:
    """Choose objects and frames at random, and compare."""
    options = arguments(__doc__)
    root = photos() / "coco_mini"
    images = CocoDataset(root / "annotations" / "instances_val.json", root / "val")
    generator = np.random.default_rng(0)
    overlaps, edges, differences = [], [], []
    small = 0
    for number in range(100 * options.n):
        image = images.samples[int(generator.integers(len(images)))]
        objects = [one for one in image.objects if one.segmentation is not None]
        if not objects:
            continue
        one = objects[int(generator.integers(len(objects)))]
        params = SETTINGS[number % 2].make_params(
            (image.height, image.width), sample_generator(1, 0, number), training=True
        )
        union, found = overlap(image, one, params)
        if union >= LARGE:
            overlaps.append(found)
        else:
            small += 1
        if (error := box_error(image, one, params)) is not None:
            edges.append(error)
        if number % 20 == 0:
            luma = np.asarray(Image.open(image.path).convert("YCbCr"))[..., 0].astype(np.float32)
            ours = picture_of(image.path, params) @ np.array([0.299, 0.587, 0.114])
            differences.append(float(np.sqrt(np.mean((ours - rgb_pipeline(Image.fromarray(luma), params)) ** 2))))
    scores: dict[str, float | int | str] = {
        "IoU, least": min(overlaps),
        "IoU, mean": float(np.mean(overlaps)),
        "box edges, pixels, most": max(edges),
        "boxes": len(edges),
        "picture, rms of 255, most": max(differences),
        "masks below 400 pixels, not counted": small,
    }
    print("  ".join(f"{name} {value:.4f}" for name, value in scores.items() if isinstance(value, float)))
    if options.output:
        row = ScoreRow(
            "detection geometry", "random frames", "coefficients", len(overlaps), scores, describe_environment()
        )
        append_records(options.output, [row])
        sheet(options.output.with_name("detection_geometry.jpg"))


if __name__ == "__main__":
    main()
