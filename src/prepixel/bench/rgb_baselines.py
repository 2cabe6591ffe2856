"""Read JPEGs as RGB pixels by other libraries, to be timed beside prepixel; no network is trained on them."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.readers import crop_pixels

Decode = Callable[[bytes], UInt8[Tensor, "3 y x"]]
Draw = Callable[[int, tuple[int, int]], CropParams]


@dataclass(frozen=True)
class BaselineReader:
    """Read JPEGs as RGB pixels by another library's decoder; torchvision crops and resizes.

    Everything that is done for an image is done on one thread, from opening its file to its place in the batch: that is
    faster than splitting each image, and leaves nothing that threads wait for. Orientation is ignored, and the first
    unreadable file raises: this is for timing files known to be good.

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

    def read(self, paths: Sequence[str], draw: Draw, pool: Executor | None) -> UInt8[Tensor, "n 3 h w"]:
        """Read a batch on a pool's threads, or on the caller's.

        Args:
            paths: the files.
            draw: called with an image's place in the batch and its (height, width).
            pool: threads to read on; None for the caller's alone.
        """
        batch = torch.empty((len(paths), 3, *self.size), dtype=torch.uint8)

        def read_one(place: int) -> None:
            pixels = self.decode(Path(paths[place]).read_bytes())
            height, width = pixels.shape[1:]
            batch[place] = crop_pixels(pixels, draw(place, (height, width)), self.size)

        list(_mapper(pool)(read_one, range(len(paths))))  # which raises what a thread raised
        return batch


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

    def read(self, paths: Sequence[str], draw: Draw, pool: Executor | None) -> UInt8[Tensor, "n 3 h w"]:
        """Read a batch: files on a pool's threads, the rest on the device; see `BaselineReader.read`."""

        def read_file(path: str) -> Tensor:
            return torch.frombuffer(bytearray(Path(path).read_bytes()), dtype=torch.uint8)

        files = list(_mapper(pool)(read_file, paths))
        decoded = decode_jpeg(files, mode=ImageReadMode.RGB, device=self.device)
        sizes: list[tuple[int, int]] = [(pixels.shape[1], pixels.shape[2]) for pixels in decoded]
        crops = [crop_pixels(pixels, draw(place, sizes[place]), self.size) for place, pixels in enumerate(decoded)]
        batch = torch.stack(crops)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return batch


def _mapper(pool: Executor | None) -> Callable[..., Iterator[Any]]:
    return map if pool is None else pool.map


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
