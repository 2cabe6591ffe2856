"""Read JPEGs as RGB pixels by other libraries, to be timed beside prepixel; no network is trained on them."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.readers import CropBatch, crop_pixels
from prepixel.spectrum import OpenImages

Decode = Callable[[bytes], UInt8[Tensor, "3 y x"]]


@dataclass(frozen=True)
class BaselineReader:
    """Read JPEGs as RGB pixels by another library's decoder; torchvision crops and resizes.

    Images are spread over threads; decoding and resizing one image take one thread each, which is faster than splitting
    each image. Orientation is ignored, and the first unreadable file raises: this is for timing files known to be good.

    Attributes:
        size: pixels down and across.
        decode: turns the bytes of a JPEG into its pixels.
    """

    size: tuple[int, int]
    decode: Decode

    @property
    def aspect(self) -> float:
        """Return width / height of the result."""
        return self.size[1] / self.size[0]

    def read(self, images: OpenImages, params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on threads, one image at a time per thread."""

        def read_one(index: int) -> UInt8[Tensor, "3 y x"]:
            return _crop(self.decode(bytes(images.contents(index))), params[index], self.size)

        if threads == 1:
            pixels = [read_one(index) for index in range(len(images))]
        else:
            with ThreadPoolExecutor(threads or None) as pool:
                pixels = list(pool.map(read_one, range(len(images))))
        return CropBatch(torch.stack(pixels), images.kept.tolist(), ())


@dataclass(frozen=True)
class BatchReader:
    """Read JPEGs as RGB pixels by torchvision's batch decoder, which is nvJPEG on a CUDA device.

    The files are sent to the device and decoded, cropped and resized there. Otherwise as `BaselineReader`.

    Attributes:
        size: pixels down and across.
        device: where to decode.
    """

    size: tuple[int, int]
    device: torch.device

    @property
    def aspect(self) -> float:
        """Return width / height of the result."""
        return self.size[1] / self.size[0]

    def read(self, images: OpenImages, params: Sequence[CropParams], threads: int) -> CropBatch:
        """Read on one thread; the work is the device's."""
        buffers = [torch.frombuffer(bytearray(images.contents(i)), dtype=torch.uint8) for i in range(len(images))]
        decoded = decode_jpeg(buffers, mode=ImageReadMode.RGB, device=self.device)
        pixels = torch.stack([_crop(one, crop, self.size) for one, crop in zip(decoded, params, strict=True)])
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return CropBatch(pixels, images.kept.tolist(), ())


def _crop(pixels: UInt8[Tensor, "3 y x"], params: CropParams, size: tuple[int, int]) -> UInt8[Tensor, "3 h w"]:
    part = crop_pixels(pixels, params.box, size)
    return part.flip(-1) if params.flipped else part


def decode_by_torchvision(contents: bytes) -> UInt8[Tensor, "3 y x"]:
    """Decode by torchvision's libjpeg-turbo."""
    buffer = torch.frombuffer(bytearray(contents), dtype=torch.uint8)
    decoded: Tensor = decode_jpeg(buffer, mode=ImageReadMode.RGB)
    return decoded


def decode_by_simplejpeg(contents: bytes) -> UInt8[Tensor, "3 y x"]:
    """Decode by simplejpeg, with fast inverse DCT and upsampling."""
    import simplejpeg

    return torch.from_numpy(simplejpeg.decode_jpeg(contents, fastdct=True, fastupsample=True)).permute(2, 0, 1)


def decode_by_pillow(contents: bytes) -> UInt8[Tensor, "3 y x"]:
    """Decode by Pillow."""
    with Image.open(io.BytesIO(contents), formats=["JPEG"]) as picture:
        pixels = np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def decode_by_opencv(contents: bytes) -> UInt8[Tensor, "3 y x"]:
    """Decode by OpenCV."""
    import cv2

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(contents, np.uint8), flags)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return torch.from_numpy(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)


def baseline_decoders() -> dict[str, Decode | None]:
    """Return other libraries' decoders by name; None for one that is not installed."""

    def if_installed(module: str, decode: Decode) -> Decode | None:
        return decode if importlib.util.find_spec(module) is not None else None

    return {
        "Pillow": decode_by_pillow,
        "torchvision": decode_by_torchvision,
        "OpenCV": if_installed("cv2", decode_by_opencv),
        "simplejpeg": if_installed("simplejpeg", decode_by_simplejpeg),
    }


@contextmanager
def one_thread_per_image() -> Iterator[None]:
    """Keep torch and OpenCV from splitting single images over threads, while the context is active.

    Threads that read whole images side by side use the CPUs better; threads of both kinds at once slow each other down.
    """
    torch_threads = torch.get_num_threads()
    cv2 = importlib.import_module("cv2") if importlib.util.find_spec("cv2") is not None else None
    cv2_threads = 0 if cv2 is None else cv2.getNumThreads()
    torch.set_num_threads(1)
    if cv2 is not None:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(torch_threads)
        if cv2 is not None:
            cv2.setNumThreads(cv2_threads)
