"""What 10^8 photos in an object store cost on 100 machines: hours and dollars, from measured rates.

python -m benchmarks.cluster_cost             # the table of docs/guides/cluster.md, from the records
python -m benchmarks.cluster_cost --nodes 10 --price 0.34 --cpus 8
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prepixel.records import TimingRow, read_records

RESULTS = Path(__file__).parent / "results"
PART_BYTES = 5 << 20  # of obstore's uploads in parts
SHARD = 1000
BLOCK = 32
HOUR = 3600


@dataclass(frozen=True)
class Assumptions:
    """What is not measured here.

    Attributes:
        photos: in the bucket.
        nodes: machines.
        cpus: of a machine; each is as fast as one of those of the records.
        price: of a machine's hour, in dollars.
        bits_per_second: of a machine's network, sustained.
        get_price: dollars for 1,000 reads.
        put_price: dollars for 1,000 writes or listings.
        gets_per_second: that a partition of the store answers.
    """

    photos: int = 100_000_000
    nodes: int = 100
    cpus: int = 16
    price: float = 0.68
    bits_per_second: float = 5e9
    get_price: float = 0.0004
    put_price: float = 0.005
    gets_per_second: float = 5500.0


@dataclass(frozen=True)
class Work:
    """One way through all photos.

    Attributes:
        name: for the table.
        rate: photos per second and CPU, with the CPU's time for a request.
        size: bytes that are read of a photo.
        puts: writes and listings for each photo.
        gets: requests that read, for each photo.
    """

    name: str
    rate: float
    size: float
    puts: float = 0.0
    gets: float = 1.0


def measured_work(timings: Sequence[TimingRow]) -> list[Work]:
    """Return the ways through the photos, from the newest records.

    Raises:
        KeyError: something has not been measured.
    """
    # the newest come last
    medians = {(row.question, row.case, row.subject): row for row in timings}

    def value(question: str, case: str, subject: str) -> float:
        return medians[question, case, subject].median

    jpeg = value("packed shards", "sizes", "JPEG files")
    packed = value("packed shards", "sizes", "packed S-24, zstd")
    packing = medians["object stores", "packing 10000 photos, one thread", "20 ms"].median
    puts = 1 / 1000 + (packed * SHARD / PART_BYTES + 4) / SHARD  # listing; parts, their begin and end, index, record

    def remote(rate: float, case: str = "training batches, one thread") -> float:
        """Return a rate with what requests cost: what reading from a store takes longer than from files."""
        stores = ("object stores", case)
        return 1 / (1 / rate + 1 / value(*stores, "5 ms") - 1 / value(*stores, "local files"))

    shards = value("packed shards", "training-ready, one thread", "packed S-24, zstd")
    blocks = remote(shards, f"training batches by blocks of {BLOCK}, one thread")
    samples = ("training-ready samples", "one thread")
    rgb = "torchvision v2: float RGB 224"
    return [
        Work("pack S-24, once", packing, jpeg, puts),
        Work("an epoch of packed S-24", remote(shards), packed),
        Work(f"an epoch of packed S-24, by blocks of {BLOCK}", blocks, packed, gets=1 / BLOCK),
        Work("an epoch of JPEGs by prepixel, int8 S-24", remote(value(*samples, "prepixel: int8 S-24, 56 x 56")), jpeg),
        Work("an epoch decoded to RGB, simplejpeg", remote(value(*samples, f"simplejpeg + {rgb}")), jpeg),
        Work("an epoch decoded to RGB, Pillow", remote(value(*samples, f"Pillow + {rgb}")), jpeg),
    ]


def hours(work: Work, assumed: Assumptions, partitions: int) -> dict[str, float]:
    """Return the hours that each resource needs by itself; the largest is what the work takes."""
    machines = assumed.nodes * assumed.cpus
    return {
        "CPUs": assumed.photos / (work.rate * machines) / HOUR,
        "network": assumed.photos * work.size * 8 / (assumed.bits_per_second * assumed.nodes) / HOUR,
        "requests": assumed.photos * work.gets / (assumed.gets_per_second * partitions) / HOUR,
    }


def cost_table(timings: Sequence[TimingRow], assumed: Assumptions = Assumptions()) -> str:
    """Format the costs of every way as a Markdown table."""
    hour = "hours: CPUs | network | requests, 1 partition | requests, 100 partitions"
    lines = [
        f"| | photos/s per CPU | {hour} | bottleneck of 100 | $ machines | $ requests |",
        "|---|---:|---:|---:|---:|---:|---|---:|---:|",
    ]
    for work in measured_work(timings):
        few, many = hours(work, assumed, 1), hours(work, assumed, 100)
        slowest = max(many, key=lambda name: many[name])
        machines = many[slowest] * assumed.nodes * assumed.price
        requests = assumed.photos / 1000 * (work.gets * assumed.get_price + work.puts * assumed.put_price)
        lines.append(
            f"| {work.name} | {work.rate:,.0f} | {few['CPUs']:.3f} | {few['network']:.3f} | {few['requests']:.2f} | "
            f"{many['requests']:.3f} | {slowest} | {machines:.2f} | {requests:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table for the assumptions that are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Assumptions()
    for name, value in vars(default).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"(default: {value})")
    found = [row for path in sorted(RESULTS.glob("*.jsonl")) for row in read_records(path).rows]
    timings = [row for row in found if isinstance(row, TimingRow)]
    print(cost_table(timings, replace(default, **vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
