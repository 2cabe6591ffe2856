"""Time pipelines from a folder's JPEGs to training batches, in turn on the same images, and a network's steps."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prepixel.bench.rgb_baselines import BaselineReader, BatchReader, baseline_decoders, one_thread_per_image
from prepixel.data import DatasetError, PackedDataset, RandomCrop, SpectrumReader
from prepixel.data.jobs.bandlimit_file import BandlimitOptions
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_entry import PackEntry
from prepixel.data.jobs.pack_options import PackOptions
from prepixel.data.jobs.pack_sources import PackSource
from prepixel.data.loading.crops import CropParams
from prepixel.data.loading.readers import read_drawn
from prepixel.data.random_streams import sample_generator
from prepixel.engine import choose_device
from prepixel.errors import PrepixelError
from prepixel.file_listing import not_a_folder
from prepixel.files import image_files
from prepixel.jpeg import Limits, read_image
from prepixel.jpeg.source import Source
from prepixel.models import frequency_network, rgb_network
from prepixel.spectrum import BandSet, Spectrum, Statistics, read_spectra

_BANDLIMITED, _PACKED = "from band-limited files", "from packed shards"
_JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif")
_CLASSES = 1000
Progress = Callable[[int, int], None]
Reader = BaselineReader | BatchReader | SpectrumReader


@dataclass(frozen=True)
class ThroughputSettings:
    """What is timed.

    Attributes:
        bands: channels of the coefficient pipelines.
        grid: their blocks down and across.
        pixels: size of the RGB pipelines' images, down and across.
        network: backbone whose training step is timed beside the pipelines; empty for none.
        images: at most this many of the folder's, evenly spaced.
        batch_size: images per batch, of pipelines and training steps.
        rounds: how often each pipeline reads all images, after one uncounted round.
        threads: of the column "all threads"; 0 for one per CPU.
    """

    bands: BandSet
    grid: tuple[int, int] = (56, 56)
    pixels: tuple[int, int] = (224, 224)
    network: str = "resnet50"
    images: int = 256
    batch_size: int = 32
    rounds: int = 5
    threads: int = 0


@dataclass(frozen=True)
class PipelineThroughput:
    """What one pipeline costs.

    Attributes:
        name: of the pipeline.
        one_thread, all_threads: images per second of each round.
        file_bytes: mean size of the files read.
        sample_bytes: bytes of one sample that are sent to the device.
    """

    name: str
    one_thread: tuple[float, ...]
    all_threads: tuple[float, ...]
    file_bytes: float
    sample_bytes: int


@dataclass(frozen=True)
class ThroughputReport:
    """All results.

    Attributes:
        pipelines: in the order of the table; ratios are to the first.
        steps: images per second of each round of training steps, by the kind of input, ``RGB`` or ``DCT``.
        absent: pipelines that cannot be timed here, and why.
        images: how many images each pipeline read.
        left_out: files of the sample that some pipeline cannot read.
        threads: how many "all threads" are.
        device: where the network ran.
    """

    pipelines: tuple[PipelineThroughput, ...]
    steps: Mapping[str, tuple[float, ...]]
    absent: tuple[str, ...]
    images: int
    left_out: tuple[str, ...]
    threads: int
    device: str

    def data_wait_fraction(self, pipeline: PipelineThroughput) -> float | None:
        """Return the share of time that the device would wait for this pipeline's data, 0..1; None without a network.

        It assumes a loader that reads ahead on all threads. Where the network runs on the CPU, the two share it, and
        the figure is too low.
        """
        step = self.steps.get("RGB" if pipeline.name.startswith("RGB") else "DCT")
        if step is None:
            return None
        return max(0.0, 1 - statistics.median(pipeline.all_threads) / statistics.median(step))


def measure_throughput(
    folder: str | os.PathLike[str], settings: ThroughputSettings, progress: Progress | None = None
) -> ThroughputReport:
    """Time all pipelines on images of a folder, and a network's training step on their output.

    The pipelines take turns, round by round, and get the same random crops and flips. Files come from the page cache,
    since an uncounted first round has read them; band-limited files and shards are made in a temporary folder. While
    pipelines are timed, torch's and OpenCV's own threads are off: images are spread over threads, each image on one.
    Opening the images and drawing their crops is on every pipeline's time.

    Args:
        folder: JPEGs, at any depth.
        settings: what to time.
        progress: called with rounds done and rounds in total.

    Raises:
        DatasetError: the folder is missing, or holds fewer good JPEGs than a batch.
        RecipeError: no network of that name.
    """
    threads = settings.threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="prepixel-bench-") as temporary, warnings.catch_warnings():
        # since 0.29, torchvision warns in every call; users have this decoder all the same
        warnings.filterwarnings("ignore", "The image decoding and encoding capabilities", DeprecationWarning)
        paths, left_out = _sample(Path(folder), settings)
        readers, absent = _readers(paths, settings)
        smaller = _Files.bandlimited(paths, Path(temporary), settings)
        packed = _Files.packed(paths, Path(temporary), settings)
        files = {
            name: smaller if name.endswith(_BANDLIMITED) else packed if name.endswith(_PACKED) else _Files.of(paths)
            for name in readers
        }
        steps = _Steps.of(settings)
        rates: dict[tuple[str, int], list[float]] = {}
        speeds: dict[str, list[float]] = {}
        for number in range(-1, settings.rounds):
            for name, reader in readers.items():
                for count in dict.fromkeys((1, threads)):
                    rate = _read_all(reader, files[name], settings, count, max(number, 0))
                    if number >= 0:
                        rates.setdefault((name, count), []).append(rate)
            for kind, speed in steps.times():
                if number >= 0:
                    speeds.setdefault(kind, []).append(speed)
            if progress is not None:
                progress(number + 2, settings.rounds + 1)
    pipelines = tuple(
        PipelineThroughput(
            name,
            tuple(rates[name, 1]),
            tuple(rates[name, threads]),
            files[name].mean_bytes,
            _sample_bytes(reader, files[name], settings),
        )
        for name, reader in readers.items()
    )
    steps_found = {kind: tuple(values) for kind, values in speeds.items()}
    return ThroughputReport(pipelines, steps_found, absent, len(paths), left_out, threads, str(steps.device))


@dataclass(frozen=True)
class _Files:
    """The images of one pipeline.

    Attributes:
        batch: turns a range of places into sources.
        count: how many images there are.
        mean_bytes: mean size of an image's file.
    """

    batch: Callable[[range], Sequence[Source]]
    count: int
    mean_bytes: float

    @classmethod
    def of(cls, paths: list[str]) -> _Files:
        """Return files as they are."""
        size = statistics.fmean(Path(path).stat().st_size for path in paths)
        return cls(lambda places: paths[places.start : places.stop], len(paths), size)

    @classmethod
    def bandlimited(cls, paths: list[str], temporary: Path, settings: ThroughputSettings) -> _Files:
        """Write band-limited files."""
        options = BandlimitOptions(bands=settings.bands)
        targets = []
        for place, path in enumerate(paths):
            target = temporary / f"{place}.jpg"
            target.write_bytes(options.bandlimit(Path(path).read_bytes(), Limits()))
            targets.append(str(target))
        return cls.of(targets)

    @classmethod
    def packed(cls, paths: list[str], temporary: Path, settings: ThroughputSettings) -> _Files:
        """Write shards."""
        entries = [PackEntry(path, 0, Path(path).stat().st_size, path, 0) for path in paths]
        source, target = PackSource("sample", ("image",), tuple(entries)), temporary / "packed"
        pack_source(source, target, PackOptions(bands=settings.bands))
        shards = PackedDataset(target)
        size = statistics.fmean(len(contents) for contents in shards.sources(range(len(paths))))
        return cls(shards.sources, len(paths), size)


def _sample(folder: Path, settings: ThroughputSettings) -> tuple[list[str], tuple[str, ...]]:
    """Choose images that every pipeline can read, and list those that are left out."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {not_a_folder(folder)}; name one that holds JPEGs, at any depth")
    found = list(image_files(folder, extensions=_JPEGS))
    count = min(len(found), settings.images)
    chosen = [found[place * len(found) // count] for place in range(count)]
    options = BandlimitOptions(bands=settings.bands)
    decoders = [decode for decode in baseline_decoders().values() if decode is not None]
    paths, left_out = [], []
    for path in chosen:
        contents = Path(path).read_bytes()
        try:
            options.bandlimit(contents, Limits())
            read_image(contents)
            for decode in decoders:
                if decode(contents).shape[0] != 3:
                    raise ValueError("not three components")
        except (PrepixelError, ValueError, RuntimeError) as error:
            left_out.append(f"{path}: {str(error).partition(chr(10))[0]}")
            continue
        paths.append(path)
    if len(paths) < settings.batch_size:
        raise DatasetError(
            f"{folder}: {len(paths)} JPEGs of it can be read by every pipeline, fewer than a batch of "
            f"{settings.batch_size}; name a folder with more, or lower the batch size"
        )
    return paths, tuple(left_out)


def _readers(paths: list[str], settings: ThroughputSettings) -> tuple[dict[str, Reader], tuple[str, ...]]:
    """Build the reader of each pipeline."""
    size, bands, grid = settings.pixels, settings.bands, settings.grid
    readers: dict[str, Reader] = {}
    absent = []
    for name, decode in baseline_decoders().items():
        if decode is None:
            absent.append(f"{name} is not installed")
        else:
            readers[f"RGB, {name}"] = BaselineReader(size, decode)
    if torch.cuda.is_available():
        readers["RGB, nvJPEG"] = BatchReader(size, torch.device("cuda"))
    else:
        absent.append("nvJPEG: there is no CUDA device")
    measured = Statistics.empty(bands, grid)
    measured.update(read_spectra(paths[: settings.batch_size], grid=grid, bands=bands).spectrum)
    shift, unit = measured.shift().float(), measured.int8_unit().float()
    readers[f"coefficients, {bands}, float32"] = SpectrumReader(grid, bands)
    readers[f"coefficients, {bands}, int8"] = SpectrumReader(grid, bands, dtype=torch.int8, shift=shift, unit=unit)
    for ending in (_BANDLIMITED, _PACKED):
        reader = SpectrumReader(grid, bands, dtype=torch.int8, shift=shift, unit=unit)
        readers[f"coefficients, {bands}, int8, {ending}"] = reader
    return readers, tuple(absent)


def _read_all(reader: Reader, files: _Files, settings: ThroughputSettings, threads: int, epoch: int) -> float:
    """Read whole batches by one pipeline, with other random crops in each round, and return images per second."""
    crop, done, seconds = RandomCrop(), 0, 0.0
    with one_thread_per_image(), contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(threads)) if threads > 1 else None
        for first in range(0, files.count - settings.batch_size + 1, settings.batch_size):
            part = files.batch(range(first, first + settings.batch_size))

            def draw(place: int, size: tuple[int, int], first: int = first) -> CropParams:
                return crop.make_params(size, reader.aspect, sample_generator(0, epoch, first + place))

            start = time.perf_counter()
            if isinstance(reader, SpectrumReader):
                done += len(read_drawn(reader, part, draw, threads).kept)
            else:
                done += len(reader.read([str(path) for path in part], draw, pool))
            seconds += time.perf_counter() - start
    return done / seconds


def _sample_bytes(reader: Reader, files: _Files, settings: ThroughputSettings) -> int:
    if isinstance(reader, BatchReader):
        return round(files.mean_bytes)  # the files themselves are sent
    if isinstance(reader, SpectrumReader):
        return settings.bands.num_bytes(settings.grid, bytes_per_value=reader.dtype.itemsize)
    return 3 * settings.pixels[0] * settings.pixels[1]


@dataclass(frozen=True)
class _Steps:
    """Networks that are ready to train, by kind of input, and a batch for each."""

    networks: Mapping[str, tuple[nn.Module, Any]]
    device: torch.device
    batch_size: int

    @classmethod
    def of(cls, settings: ThroughputSettings) -> _Steps:
        device = choose_device()
        if not settings.network:
            return cls({}, device, settings.batch_size)
        n, bands = settings.batch_size, settings.bands
        values = torch.randint(-20, 20, (n, len(bands), *settings.grid)).to(torch.int8)
        spectrum = Spectrum(values, bands, torch.zeros(len(bands)), torch.ones(len(bands)))
        pixels = torch.randint(0, 255, (n, 3, *settings.pixels), dtype=torch.uint8)
        networks = {
            "RGB": (rgb_network(settings.network, _CLASSES).to(device), pixels.to(device)),
            "DCT": (frequency_network(settings.network, bands, _CLASSES).to(device), spectrum.to(device)),
        }
        return cls(networks, device, n)

    def times(self) -> Iterator[tuple[str, float]]:
        """Time one training step of each network, and yield images per second."""
        labels = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)
        for kind, (network, inputs) in self.networks.items():
            self._wait()
            start = time.perf_counter()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "cpu"):
                logits: Tensor = network(inputs)
            loss: Tensor = functional.cross_entropy(logits.float(), labels)
            torch.autograd.backward(loss)
            for parameter in network.parameters():
                parameter.grad = None
            self._wait()
            yield kind, self.batch_size / (time.perf_counter() - start)

    def _wait(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
