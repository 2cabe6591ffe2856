"""Other libraries' roads from a JPEG to RGB pixels, to be timed beside ours; no network is trained by them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional

from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.readers import CropBatch
from prepixel.jpeg.source import Source, read_contents

Decode = Callable[[bytes], UInt8[Tensor, "3 y x"]]


@dataclass(frozen=True)
class BaselineReader:
    """Read JPEGs as RGB pixels by another library's decoder; torchvision crops and resizes.

    Orientation is not looked at, and the first file that cannot be read ends it: it is for timing whole data sets that
    are known to be good.

    Attributes:
        size: pixels down and across.
        decode: a JPEG's bytes to its pixels.
    """

    size: tuple[int, int]
    decode: Decode

    @property
    def aspect(self) -> float:
        """Give width / height of the result."""
        return self.size[1] / self.size[0]

    def read(self, sources: Sequence[Source], params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on threads."""
        if threads == 1:
            pixels = [self._read_one(source, crop) for source, crop in zip(sources, params, strict=True)]
        else:
            with ThreadPoolExecutor(threads or None) as pool:
                pixels = list(pool.map(self._read_one, sources, params))
        return CropBatch(torch.stack(pixels), list(range(len(sources))), ())

    def _read_one(self, source: Source, params: CropParams) -> UInt8[Tensor, "3 y x"]:
        return _cut(self.decode(bytes(read_contents(source))), params, self.size)


@dataclass(frozen=True)
class BatchReader:
    """Read JPEGs as RGB pixels by torchvision's decoder of whole batches: on a CUDA device, nvJPEG.

    The files' bytes cross to the device, and are decoded, cropped and resized there. Otherwise as `BaselineReader`.

    Attributes:
        size: pixels down and across.
        device: where to decode.
    """

    size: tuple[int, int]
    device: torch.device

    @property
    def aspect(self) -> float:
        """Give width / height of the result."""
        return self.size[1] / self.size[0]

    def read(self, sources: Sequence[Source], params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on one thread; the device waits for no other."""
        buffers = [torch.frombuffer(bytearray(read_contents(source)), dtype=torch.uint8) for source in sources]
        decoded = decode_jpeg(buffers, mode=ImageReadMode.RGB, device=self.device)
        pixels = torch.stack([_cut(one, crop, self.size) for one, crop in zip(decoded, params, strict=True)])
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return CropBatch(pixels, list(range(len(sources))), ())


def _cut(pixels: UInt8[Tensor, "3 y x"], params: CropParams, size: tuple[int, int]) -> UInt8[Tensor, "3 h w"]:
    b = params.box
    place = (int(b.top), int(b.left), int(b.height), int(b.width))
    part: Tensor = functional.resized_crop(pixels, *place, list(size), antialias=True)
    return part.flip(-1) if params.flipped else part


def decode_by_torchvision(contents: bytes) -> UInt8[Tensor, "3 y x"]:
    """Decode by torchvision's bundled libjpeg-turbo."""
    buffer = torch.frombuffer(bytearray(contents), dtype=torch.uint8)
    decoded: Tensor = decode_jpeg(buffer, mode=ImageReadMode.RGB)
    return decoded


def decode_by_simplejpeg(contents: bytes) -> UInt8[Tensor, "3 y x"]:
    """Decode by simplejpeg in its fast modes."""
    import simplejpeg

    return torch.from_numpy(simplejpeg.decode_jpeg(contents, fastdct=True, fastupsample=True)).permute(2, 0, 1)


def baseline_decoders() -> dict[str, Decode | None]:
    """Give other libraries' decoders by name; None for one that is not installed."""
    has_simplejpeg = importlib.util.find_spec("simplejpeg") is not None
    return {
        "torchvision": decode_by_torchvision,
        "simplejpeg": decode_by_simplejpeg if has_simplejpeg else None,
    }
