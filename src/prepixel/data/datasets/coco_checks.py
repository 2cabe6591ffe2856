"""Checks of every field of COCO's annotations: types, ranges, and what a mask costs to draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from prepixel.data.datasets.text_formats import leaves_folder

# Boxes of real data sets stick out of their images by a rounding of their makers; more than that is a mistake.
_SLACK_PIXELS = 1.0
_MAX_SIDE, _MAX_PIXELS = 65_535, 2**28
# What draws polygons takes some 100 bytes for each pixel of their outline.
_MAX_CORNERS, _MAX_OUTLINE = 1 << 17, 1 << 20
_FAR = 16  # times the photo's longer side


def is_whole(value: Any) -> TypeGuard[int]:
    """Return whether a value is a whole number below 2**63; true and false are none."""
    return type(value) is int and -(2**63) <= value < 2**63


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number that float64 can hold."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def shown(value: Any) -> str:
    """Return a value as a message shows it, shortened where it is long."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a number of more than 40 digits"
    return text if len(text) <= 80 else text[:77] + "..."


def fault_of_image(image: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an image's entry; None where nothing is."""
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        return "has no file_name"
    if leaves_folder(name):
        return f"its file_name {shown(name)} lies outside the folder of the images"
    height, width = sides = [image.get("height"), image.get("width")]
    if not is_whole(height) or not is_whole(width) or min(height, width) < 1:
        return f"height and width are {shown(sides)}, not whole numbers above 0"
    if max(height, width) > _MAX_SIDE or height * width > _MAX_PIXELS:
        return f"height and width are {shown(sides)}; there can be {_MAX_SIDE} each and {_MAX_PIXELS} pixels"
    return None


def fault_of_annotation(annotation: Mapping[str, Any], height: int, width: int) -> str | None:
    """Return what is wrong with an annotation's box, mask or crowd mark; None where nothing is."""
    crowd = annotation.get("iscrowd", 0)
    if not (type(crowd) in {int, bool} and crowd in {0, 1}):
        return f"its iscrowd is {shown(crowd)}, not 0 or 1"
    return fault_of_box(annotation.get("bbox"), height, width) or _fault_of_segmentation(
        mask_of(annotation), height, width
    )


def mask_of(annotation: Mapping[str, Any]) -> Any:
    """Return an annotation's segmentation; None where it has none, or an empty list."""
    segmentation = annotation.get("segmentation")
    return None if segmentation == [] else segmentation


def fault_of_box(box: Any, height: int, width: int) -> str | None:
    """Return what is wrong with a box of COCO's; None where nothing is."""
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return f"its bbox is {shown(box)}, not x, y, width, height"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return f"its bbox is {shown(box)}, and has no area"
    slack = _SLACK_PIXELS
    if min(x, y) < -slack or x + w > width + slack or y + h > height + slack:
        return f"its bbox is {shown(box)}, and sticks out of {width} x {height} pixels"
    return None


def _fault_of_segmentation(segmentation: Any, height: int, width: int) -> str | None:
    if segmentation is None:
        return None
    if isinstance(segmentation, dict):
        return _fault_of_runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        return "its mask is neither polygons nor a run-length code"
    corners, outline = 0, 0.0
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return "a polygon of its mask has fewer than three corners, or half a corner"
        if not all(map(is_number, polygon)):
            return "a polygon of its mask has corners that are no numbers"
        if max(map(abs, polygon)) > _FAR * max(height, width):
            return "a polygon of its mask has corners far outside the photo"
        corners += len(polygon) // 2
        if corners > _MAX_CORNERS:
            return f"the polygons of its mask have more than {_MAX_CORNERS} corners"
        outline += sum(_steps(polygon))
        if outline > _MAX_OUTLINE:
            return f"the outline of its mask is longer than {_MAX_OUTLINE} pixels"
    return None


def _steps(polygon: list[Any]) -> Iterator[float]:
    """Yield how many pixels each side of a polygon crosses."""
    xs, ys = polygon[::2], polygon[1::2]
    for i in range(len(xs)):
        yield max(abs(xs[i] - xs[i - 1]), abs(ys[i] - ys[i - 1]))


def _fault_of_runs(code: Mapping[str, Any], height: int, width: int) -> str | None:
    counts, size = code.get("counts"), code.get("size")
    if not isinstance(size, list) or not all(map(is_whole, size)) or size != [height, width]:
        return f"its mask is of size {shown(size)}, and the image of [{height}, {width}]"
    if isinstance(counts, str):
        runs = decode_runs(counts)
    elif isinstance(counts, list) and all(is_whole(run) and run >= 0 for run in counts):
        runs = counts
    else:
        return "its mask has no counts of pixels"
    if runs is None:
        return "its mask's counts are no compressed run lengths"
    if len(runs) > 2 * height * width + 1:
        return f"its mask has {len(runs)} runs, and the image {height * width} pixels"
    total = sum(runs)
    return None if total == height * width else f"its mask's runs cover {shown(total)} pixels of {height * width}"


def decode_runs(text: str) -> list[int] | None:
    """Decode COCO's compressed run lengths; None for a text that is none.

    Six bits a letter, least significant first; from the fourth run on, differences from the run before the last.

    Source: COCO's mask format.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            return None
        value = shift = 0
    return None if shift else runs
