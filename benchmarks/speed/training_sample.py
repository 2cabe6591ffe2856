"""Measure how fast a JPEG's bytes become a training-ready sample: random resized crop, flip, scale; one thread.

prepixel makes S-24 spectra on a 56 x 56 grid, which is what a 448 x 448 crop holds; the pixel pipelines make 224 x 224
RGB, as their users do. Every pipeline gets the same photos in memory and the same random crops and flips, in batches of
32, in turn. A figure is the median over rounds; its ratio is the median of the ratios to Pillow in the same round.
Peers that are not installed are named and left out (benchmarks/peers/install.sh installs them). A second table measures
the gain from a second thread.

    python -m benchmarks.speed.training_sample -n 9
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
import torch
from benchmarks.harness import arguments, interleave, peer, photos, report
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional

from prepixel.jpeg import read_sizes
from prepixel.spectrum import BandSet, Statistics, read_spectra

BATCH = 32
GRID = (56, 56)
BANDS = BandSet.parse("S-24")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
REFERENCE = "Pillow + torchvision v2: float RGB 224"
QUICKEST_PEER = "simplejpeg + OpenCV area: uint8 RGB 224"
EIGHT_BITS = "prepixel: int8 S-24, 56 x 56"


@dataclass(frozen=True)
class Samples:
    """Inputs shared by all pipelines."""

    files: list[bytes]
    boxes: np.ndarray
    flips: np.ndarray

    def one_by_one(self) -> Iterator[tuple[bytes, list[int], bool]]:
        """Yield file, (top, left, height, width) and flip."""
        yield from zip(self.files, self.boxes.astype(int).tolist(), self.flips.tolist(), strict=True)


def draw(files: list[bytes]) -> Samples:
    """Choose area 0.08 to 1 and aspect 3/4 to 4/3 as RandomResizedCrop does, clipped to the photo."""
    generator = np.random.default_rng(1)
    boxes = []
    for height, width in read_sizes(files).sizes.tolist():
        area = height * width * generator.uniform(0.08, 1)
        aspect = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
        h, w = min(height, round((area / aspect) ** 0.5)), min(width, round((area * aspect) ** 0.5))
        boxes.append([generator.integers(0, height - h + 1), generator.integers(0, width - w + 1), h, w])
    return Samples(files, np.array(boxes, dtype=np.float64), generator.random(len(files)) < 0.5)


def spectra(samples: Samples, *, threads: int, batch: int = BATCH, **options: object) -> Callable[[], None]:
    """Read batch after batch by prepixel."""

    def run() -> None:
        for begin in range(0, len(samples.files), batch):
            part = slice(begin, begin + batch)
            read_spectra(
                samples.files[part],
                grid=GRID,
                bands=BANDS,
                boxes=samples.boxes[part],
                flips=samples.flips[part],
                threads=threads,
                **options,
            )

    return run


def pixels(samples: Samples, sample: Callable[[bytes, list[int], bool], torch.Tensor]) -> Callable[[], None]:
    """Read image after image and stack batches."""

    def run() -> None:
        batch = []
        for file, box, flip in samples.one_by_one():
            batch.append(sample(file, box, flip))
            if len(batch) == BATCH:
                torch.stack(batch)
                batch.clear()

    return run


def by_pillow(file: bytes, box: list[int], flip: bool) -> torch.Tensor:
    """Decode by Pillow and transform by torchvision v2, as the usual training script does."""
    picture = functional.resized_crop(Image.open(io.BytesIO(file)).convert("RGB"), *box, [224, 224], antialias=True)
    picture = functional.horizontal_flip(picture) if flip else picture
    return _scaled(functional.pil_to_tensor(picture))


def by_torchvision(file: bytes, box: list[int], flip: bool) -> torch.Tensor:
    """Decode and resize by torchvision alone."""
    buffer = torch.frombuffer(bytearray(file), dtype=torch.uint8)
    return _scaled(_resized(decode_jpeg(buffer, mode=ImageReadMode.RGB), box, flip))


def by_simplejpeg(file: bytes, box: list[int], flip: bool) -> torch.Tensor:
    """Decode by simplejpeg's fast modes."""
    decoded = simplejpeg.decode_jpeg(file, fastdct=True, fastupsample=True)
    return _scaled(_resized(torch.from_numpy(decoded).permute(2, 0, 1), box, flip))


def by_opencv(cv2: Any) -> Callable[[bytes, list[int], bool], torch.Tensor]:
    """Decode by simplejpeg's fast modes, and resize by area to bytes: FFCV's pipeline, the fastest on pixels."""
    cv2.setNumThreads(1)

    def sample(file: bytes, box: list[int], flip: bool) -> torch.Tensor:
        top, left, height, width = box
        decoded = simplejpeg.decode_jpeg(file, fastdct=True, fastupsample=True)
        crop = decoded[top : top + height, left : left + width]
        resized = cv2.resize(crop, (224, 224), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(np.ascontiguousarray(resized[:, ::-1]) if flip else resized)

    return sample


def by_spdl(spdl: Any) -> Callable[[bytes, list[int], bool], torch.Tensor]:
    """Decode, crop and resize by FFmpeg's filters to bytes."""

    def sample(file: bytes, box: list[int], flip: bool) -> torch.Tensor:
        top, left, height, width = box
        mirror = "hflip," if flip else ""
        graph = f"crop={width}:{height}:{left}:{top}:exact=1,scale=224:224,{mirror}format=rgb24"
        return torch.from_numpy(np.array(spdl.to_numpy(spdl.load_image(file, filter_desc=graph))))

    return sample


def by_dali(samples: Samples) -> Callable[[], None]:
    """Decode the crop only, resize, flip and normalize on the CPU, one thread, in batches."""
    from nvidia.dali import fn, pipeline_def, types

    def batches() -> Iterator[tuple[list[np.ndarray], ...]]:
        for begin in range(0, len(samples.files), BATCH):
            part = slice(begin, begin + BATCH)
            boxes = samples.boxes[part].astype(np.int32)
            files = [np.frombuffer(file, np.uint8) for file in samples.files[part]]
            yield files, list(boxes[:, :2]), list(boxes[:, 2:]), list(samples.flips[part].astype(np.int32))

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None, prefetch_queue_depth=1)
    def pipeline() -> Any:
        file, start, shape, flip = fn.external_source(source=batches, num_outputs=4, cycle="quiet")
        crop = fn.decoders.image_slice(file, start=start, shape=shape, axes=[0, 1], output_type=types.RGB)
        crop = fn.resize(crop, resize_x=224, resize_y=224)
        scaled = ([255 * m for m in MEAN], [255 * s for s in STD])
        return fn.crop_mirror_normalize(crop, mirror=flip, mean=scaled[0], std=scaled[1], output_layout="CHW")

    built = pipeline()
    built.build()

    def run() -> None:
        for _ in range(0, len(samples.files), BATCH):
            built.run()

    return run


def _resized(decoded: torch.Tensor, box: list[int], flip: bool) -> torch.Tensor:
    crop = functional.resized_crop(decoded, *box, [224, 224], antialias=True)
    return functional.horizontal_flip(crop) if flip else crop


def _scaled(rgb: torch.Tensor) -> torch.Tensor:
    return functional.normalize(functional.to_dtype(rgb, torch.float32, scale=True), MEAN, STD)


def main() -> None:
    """Time every pipeline on the photos as distributed."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    paths = sorted((photos() / "imagenet_samples").glob("*.JPEG"))[: options.files]
    samples = draw([path.read_bytes() for path in paths])
    statistics = Statistics.empty(BANDS, GRID)
    statistics.update(read_spectra(samples.files[:BATCH], grid=GRID, bands=BANDS).spectrum)
    scale = {"shift": statistics.shift(), "unit": statistics.scale()}
    steps = {"shift": statistics.shift(), "unit": statistics.int8_unit(), "dtype": torch.int8}
    pipelines = {
        REFERENCE: pixels(samples, by_pillow),
        "torchvision decode_jpeg + v2: float RGB 224": pixels(samples, by_torchvision),
        "simplejpeg + torchvision v2: float RGB 224": pixels(samples, by_simplejpeg),
        "prepixel: float32 S-24, 56 x 56": spectra(samples, threads=1, **scale),
        EIGHT_BITS: spectra(samples, threads=1, **steps),
    }
    if cv2 := peer("cv2"):
        pipelines[QUICKEST_PEER] = pixels(samples, by_opencv(cv2))
    if spdl := peer("spdl.io", works=lambda spdl: spdl.load_image(samples.files[0])):
        pipelines["spdl (FFmpeg): uint8 RGB 224"] = pixels(samples, by_spdl(spdl))
    if peer("nvidia.dali.fn"):
        pipelines["DALI, CPU: float RGB 224"] = by_dali(samples)
    timings = interleave(pipelines, rounds=options.n)
    report("training-ready samples", "one thread", timings, per=len(paths), reference=REFERENCE, options=options)

    if QUICKEST_PEER in timings:
        eight_bits = {name: timings[name] for name in (QUICKEST_PEER, EIGHT_BITS)}
        case = "one thread, 8 bits per value"
        report("training-ready samples", case, eight_bits, per=len(paths), reference=QUICKEST_PEER, options=options)

    one = "prepixel: int8 S-24, one thread"
    for case, batch in (("threads", BATCH), (f"threads, {len(paths)} images per call", len(paths))):
        pipelines = {
            one: spectra(samples, threads=1, batch=batch, **steps),
            "prepixel: int8 S-24, two threads": spectra(samples, threads=2, batch=batch, **steps),
        }
        timings = interleave(pipelines, rounds=options.n)
        report("training-ready samples", case, timings, per=len(paths), reference=one, options=options)


if __name__ == "__main__":
    main()
