"""Measure packing from and to an object store, and training batches from shards in it, beside local files.

The store is benchmarks/object_server.py on loopback, on a core of its own, answering 5, 20 or 50 ms after each
request. What is measured runs on one thread of the other core: all it costs to talk to the store is counted, and what
the store itself costs is not. Local files are cached. Photos are ImageNet's, cut and coded differently. All subjects
take turns in every round.

- Packing with S-24: photos are read ahead (32 requests at once); each only when the one before is packed; or photos
  of tar files of 1,000, of which neighbors are one request.
- Training batches of 64: int8 S-24 on 28 x 28, of shards; samples are drawn over all shards, or by blocks of 32.

    python -m benchmarks.speed.object_stores -n 5
"""

from __future__ import annotations

import functools
import itertools
import os
import tarfile
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from benchmarks.harness import arguments, interleave, photos, report
from benchmarks.object_server import object_server
from benchmarks.photo_copies import write_copies

from prepixel.data import BlockShuffle, PackedDataset, RandomCrop, SpectrumLoader, SpectrumReader
from prepixel.data.executors import LocalExecutor
from prepixel.data.jobs import pack_reads
from prepixel.data.jobs.pack_options import PackOptions
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.data.read_ahead import read_ahead
from prepixel.spectrum import BandSet

QUESTION = "object stores"
BANDS = BandSet.parse("S-24")
OPTIONS = PackOptions(BANDS, shard_size=250)
LATENCIES = (5, 20, 50)  # ms
BATCH = 64
FEW = 200
LOCAL = "local files"
ONE_BY_ONE = functools.partial(read_ahead, requests=1)


class Place:
    """Where photos and shards lie, and where new shards are written: a folder, or a bucket of a server."""

    def __init__(self, root: str, url: str = "") -> None:
        self.root, self._url = root, url
        self._numbers = itertools.count()
        self._files: PackedDataset | None = None

    def use(self) -> None:
        """Let the environment name the server; clients of buckets that are known keep theirs."""
        if self._url:
            os.environ |= {"AWS_ENDPOINT_URL": self._url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
            os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    def pack(self, source: str = "photos") -> None:
        """Pack the photos into a new folder."""
        self.use()
        pack_units(open_source(f"{self.root}/{source}"), f"{self.root}/new{next(self._numbers)}", OPTIONS, threads=1)

    def pack_few(self) -> None:
        """Pack a few photos, each read when the one before is packed."""
        self.use()
        source = open_source(f"{self.root}/photos")
        source = replace(source, entries=source.entries[:FEW])
        with mock.patch.object(pack_reads, "read_ahead", ONE_BY_ONE):
            pack_units(source, f"{self.root}/new{next(self._numbers)}", OPTIONS, executor=LocalExecutor(), threads=1)

    def open(self) -> None:
        """Open the shards."""
        self.use()
        self._files = PackedDataset(f"{self.root}/shards")

    def train(self, shuffle: BlockShuffle | None = None) -> None:
        """Read an epoch's batches."""
        assert self._files is not None
        unit = torch.full((len(BANDS),), 8.0)
        reader = SpectrumReader((28, 28), BANDS, dtype=torch.int8, unit=unit)
        loader = SpectrumLoader(
            self._files,
            reader,
            batch_size=BATCH,
            crop=RandomCrop(),
            seed=1,
            threads=1,
            training=True,
            block_shuffle=shuffle,
        )
        for _ in loader.epoch(0):
            pass


def write_tars(photos: Path, tars: Path, size: int = 1000) -> None:
    """Put photos into tar files, so many in each."""
    tars.mkdir()
    paths = sorted(photos.rglob("*.jpg"))
    for begin in range(0, len(paths), size):
        with tarfile.open(tars / f"{begin:06}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for path in paths[begin : begin + size]:
                archive.add(path, path.relative_to(photos).as_posix())


def main() -> None:
    """Measure packing and training batches at every latency."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    count = options.files or 10_000
    paths = sorted((photos() / "imagenet_samples").glob("*.JPEG"))
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="prepixel-stores-") as folder, ExitStack() as servers:
        root = Path(folder)
        local = Place(str(root / "bucket"))
        write_copies(paths, root / "bucket" / "photos", count)
        pack_units(open_source(root / "bucket" / "photos"), root / "bucket" / "shards", OPTIONS)
        write_tars(root / "bucket" / "photos", root / "bucket" / "tars")
        stores = {}
        for ms in LATENCIES:  # buckets differ, because the client of a bucket keeps its server
            (root / f"ms{ms}").mkdir()
            for name in ("photos", "tars", "shards"):
                (root / f"ms{ms}" / name).symlink_to(root / "bucket" / name)
            url = servers.enter_context(object_server(root, "--latency", str(ms / 1000), core=cores[-1]))
            stores[ms] = Place(f"s3://ms{ms}", url)
        os.sched_setaffinity(0, cores[:1])
        places = {LOCAL: local} | {f"{ms} ms": place for ms, place in stores.items()}
        timings = interleave({name: place.pack for name, place in places.items()}, rounds=options.n)
        report(QUESTION, f"packing {count} photos, one thread", timings, per=count, reference=LOCAL, options=options)
        tars = {name: functools.partial(place.pack, "tars") for name, place in places.items()}
        timings = interleave(tars, rounds=options.n)
        case = f"packing {count} photos of tar files, one thread"
        report(QUESTION, case, timings, per=count, reference=LOCAL, options=options)
        few = min(FEW, count)
        timings = interleave({name: place.pack_few for name, place in places.items()}, rounds=options.n)
        case = f"packing {few} photos without reading ahead, one thread"
        report(QUESTION, case, timings, per=few, reference=LOCAL, options=options)
        for place in places.values():
            place.open()
        per = count // BATCH * BATCH
        for case, shuffle in (("", None), (" by blocks of 32", BlockShuffle(32, 64))):
            epochs = {name: functools.partial(place.train, shuffle) for name, place in places.items()}
            timings = interleave(epochs, rounds=options.n)
            report(QUESTION, f"training batches{case}, one thread", timings, per=per, reference=LOCAL, options=options)


if __name__ == "__main__":
    main()
