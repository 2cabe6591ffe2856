"""Label maps in a network's frame, and a network's answers back in the photo.

The numbers that crop, resize and mirror the photo do the same to its label map, by the nearest pixel: the label of a
frame's pixel is that of the photo's pixel in which its center lies. Beyond the photo there is none.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from prepixel.array_types import Bool, Int64, UInt8
from prepixel.data.datasets.label_maps import IGNORE
from prepixel.spectrum.boxes import Real
from prepixel.transforms.crop_draws import CropParams


def label_map_in_frame(
    labels: UInt8[np.ndarray, "h w"], params: CropParams, size: tuple[int, int]
) -> UInt8[np.ndarray, "y x"]:
    """Crop, resize, mirror and turn a label map, as a photo of its size is.

    Args:
        labels: of the upright photo.
        params: of the crop; its box may reach beyond the photo.
        size: height and width of the result.

    >>> from prepixel.spectrum.boxes import Box
    >>> labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    >>> label_map_in_frame(labels, CropParams(Box(0, -1, 2, 2), flipped=True), (2, 4)).tolist()
    [[0, 0, 255, 255], [3, 3, 255, 255]]
    """
    box, turned = params.box, params.turns % 2 == 1
    down, across = size[::-1] if turned else size
    rows, has_row = _nearest(box.top, box.height, down, labels.shape[0])
    columns, has_column = _nearest(box.left, box.width, across, labels.shape[1])
    frame = np.where(has_row[:, None] & has_column, labels[np.ix_(rows, columns)], np.uint8(IGNORE))
    mirrored = frame[:, ::-1] if params.flipped else frame
    result: UInt8[np.ndarray, "y x"] = np.ascontiguousarray(np.rot90(mirrored, params.turns))
    return result


def scores_in_photo(
    scores: Float[Tensor, "k y x"], params: CropParams, photo: tuple[int, int]
) -> Float[Tensor, "k h w"]:
    """Take scores of a frame's pixels to those of the photo, bilinearly; beyond the frame its outermost pixels count.

    Args:
        scores: of a frame that is neither mirrored nor turned.
        params: of the frame.
        photo: height and width of the upright photo.
    """
    box = params.box
    axes = []
    for start, length, side in ((box.top, box.height, photo[0]), (box.left, box.width, photo[1])):
        centers = torch.arange(side, dtype=torch.float64, device="cpu") + 0.5
        axes.append((2 * (centers - start) / length - 1).to(scores))  # -1 and 1 are the frame's outer edges
    places = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), dim=-1)
    moved = functional.grid_sample(scores[None], places[None], padding_mode="border", align_corners=False)
    return moved[0]


def _nearest(
    start: Real, length: Real, samples: int, side: int
) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return for each sample of one axis the photo's pixel in which its center lies, and whether there is one."""
    places = np.floor(start + (np.arange(samples) + 0.5) * (length / samples)).astype(np.int64)
    return places.clip(0, side - 1), (places >= 0) & (places < side)
