"""Masks of objects: polygons and run-length codes to pixels, and pixels to a frame's.

COCO's own tools draw them, so that a pixel is inside for us where it is for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prepixel.array_types import UInt8
from prepixel.optional import missing_extra

_TIE = 1e-4  # edges often fall on the middle of a pixel, and rounding is not to decide then


@dataclass(frozen=True)
class RunLengths:
    """Store a mask as COCO's tools do.

    Attributes:
        code: its compressed run-length code.
    """

    code: dict[str, Any]

    @property
    def area(self) -> int:
        """Count its pixels."""
        return int(coco_masks().area(self.code))

    def decode(self) -> UInt8[np.ndarray, "h w"]:
        """Return its pixels, 0 or 1."""
        mask: np.ndarray = coco_masks().decode(self.code)
        return mask


def coco_masks() -> Any:
    """Return faster-coco-eval's mask tools, which are pycocotools' with a binding that is looked after.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        from faster_coco_eval.core import mask
    except ModuleNotFoundError as error:
        raise missing_extra("faster_coco_eval", "detection") from error
    return mask


def run_lengths(segmentation: Any, height: int, width: int) -> RunLengths:
    """Turn COCO's segmentation, polygons or a run-length code, into a run-length code of an image's pixels."""
    tools = coco_masks()
    if isinstance(segmentation, dict):
        code = segmentation
        if isinstance(code["counts"], list):
            code = tools.frPyObjects(code, height, width)
        elif isinstance(code["counts"], str):
            code = {**code, "counts": code["counts"].encode("ascii")}
        return RunLengths(code)
    return RunLengths(tools.merge(tools.frPyObjects([list(map(float, p)) for p in segmentation], height, width)))


def resize_mask(mask: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "y x"]:
    """Resize a mask: a pixel is inside where half or more of what it stands for is, by an antialiased triangle."""
    import torch  # by this function alone: annotations are read, and packed, without it
    from torch.nn import functional

    whole = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
    resized = functional.interpolate(whole, size, mode="bilinear", antialias=True)[0, 0]
    return (resized > 0.5 - _TIE).to(torch.uint8).numpy()
