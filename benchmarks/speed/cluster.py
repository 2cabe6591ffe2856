"""Measure packing on a Ray cluster of three nodes and in parts of a job array, beside one process, on two cores.

20,000 distinct JPEGs are made of ImageNet's photos by cutting and coding each of them 125 times. All subjects are the
command ``prepixel pack``, timed from its start to its end, in turn; its files must be the same bytes in every round.
The cluster runs before the command starts, as clusters do; its nodes have one CPU each, and are processes of this
machine. One of them is killed, with its worker, when half of the shards are recorded. Of the parts, one after the
other on two threads, the second is killed when half of its shards are recorded, and started again.

    python -m benchmarks.speed.cluster -n 3
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import arguments, peer, photos, report
from benchmarks.photo_copies import write_copies

from prepixel.data.units import RECORDS, recorded_units

QUESTION = "cluster"
LOCAL = "one process, two threads"
SHARD = 250
PARTS = 4
_NODE = {"object_store_memory": 80 << 20}  # bytes; nothing large passes through it


class Jobs:
    """Pack one source by commands, each into a new folder."""

    def __init__(self, root: Path, num_photos: int) -> None:
        self.source, self.root = root / "photos", root
        self.num_shards = -(-num_photos // SHARD)
        self.digests: dict[str, str] = {}

    def start(self, target: Path, *words: str) -> subprocess.Popen[bytes]:
        """Start ``prepixel pack``."""
        command = [sys.executable, "-m", "prepixel.cli", "pack", str(self.source), str(target)]
        command += ["--bands", "S-24", "--shard-size", str(SHARD), *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a command, which must succeed."""
        _, err = process.communicate()
        if process.returncode:
            raise RuntimeError(err.decode(errors="replace"))

    def local(self, target: Path) -> None:
        """Pack in one process."""
        self.finish(self.start(target, "--threads", "2"))

    def on_ray(self, target: Path, cluster: Any, *, kill: bool) -> None:
        """Pack on three nodes, one of which may be killed halfway."""
        process = self.start(target, "--engine", "ray", "--address", cluster.address)
        if kill:
            _wait_for_records(target, self.num_shards // 2, process)
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        self.finish(process)
        if kill:
            cluster.add_node(num_cpus=1, **_NODE)

    def in_parts(self, target: Path) -> None:
        """Pack in parts, one of which is killed and started again, and merge them."""
        for index in range(1, PARTS + 1):
            words = ("--threads", "2", "--part", f"{index}/{PARTS}")
            process = self.start(target, *words)
            if index == 2:
                before = self.num_shards // PARTS
                _wait_for_records(target, before + self.num_shards // (2 * PARTS), process)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                process = self.start(target, *words)
            self.finish(process)
        subprocess.run([sys.executable, "-m", "prepixel.cli", "merge", str(target)], check=True, capture_output=True)

    def check(self, name: str, folder: Path) -> None:
        """Compare what a subject wrote with what the others wrote, and remove it."""
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.name != ".prepixel-lock":
                digest.update(f"{path.relative_to(folder)}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        shutil.rmtree(folder)
        self.digests[name] = digest.hexdigest()
        if len(set(self.digests.values())) > 1:
            raise RuntimeError(f"{name}: not the bytes of one process")


def _wait_for_records(target: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many units are recorded; the command must not come to its end before."""
    while sum(1 for _ in recorded_units(target / RECORDS)) < count:
        if process.poll() is not None:
            raise RuntimeError("the command came to its end before it could be killed; take more photos")
        time.sleep(0.02)


def measure(jobs: Jobs, subjects: dict[str, Callable[[Path], None]], rounds: int) -> dict[str, list[float]]:
    """Return seconds per subject and round; what is written is compared and removed outside of them."""
    timings: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, work in subjects.items():
            target = jobs.root / "shards"
            start = time.perf_counter()
            work(target)
            timings[name].append(time.perf_counter() - start)
            jobs.check(name, target)
    return timings


def start_cluster() -> Any | None:
    """Start a Ray cluster of three nodes with one CPU each, or say what is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by default: behind whatever else this machine does
    if peer("ray") is None:
        return None
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **_NODE, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **_NODE)
    return cluster


def main() -> None:
    """Make the photos, pack them every way, and compare."""
    options = arguments(__doc__)
    count = options.files or 20_000
    with tempfile.TemporaryDirectory(prefix="prepixel-cluster-") as name:
        jobs = Jobs(Path(name), count)
        write_copies(sorted((photos() / "imagenet_samples").glob("*.JPEG")), jobs.source, count)
        subjects: dict[str, Callable[[Path], None]] = {LOCAL: jobs.local}
        cluster = start_cluster()
        if cluster is not None:
            subjects["Ray, three nodes of one thread"] = functools.partial(jobs.on_ray, cluster=cluster, kill=False)
            subjects["Ray, three nodes, one killed halfway"] = functools.partial(
                jobs.on_ray, cluster=cluster, kill=True
            )
        subjects[f"{PARTS} parts, one killed and repeated, and merge"] = jobs.in_parts
        try:
            timings = measure(jobs, subjects, options.n)
        finally:
            if cluster is not None:
                cluster.shutdown()
    print(f"SHA-256 of all files: {next(iter(jobs.digests.values()))}, the same {len(subjects)} times")
    report(QUESTION, f"packing S-24, {count} photos", timings, per=count, reference=LOCAL, options=options)


if __name__ == "__main__":
    main()
