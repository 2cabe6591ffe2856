"""A Ray cluster packs and band-limits: the store fails, answers late and cuts connections, and workers die."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_bandlimit import tree
from tests.stores.test_remote_jobs import contents, local_contents, upload

from prepixel.data.jobs import bandlimit_units as bandlimit_units_module
from prepixel.data.jobs.bandlimit_folder import BandlimitOptions, bandlimit_folder
from prepixel.data.jobs.bandlimit_units import bandlimit_units
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.data.ray_executor import RayExecutor
from prepixel.spectrum import BandSet

ray = pytest.importorskip("ray", reason="the extra cluster is not installed")


def test_a_cluster_loses_and_doubles_nothing(
    bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source(tmp_path / "source", 80)
    upload(tmp_path / "source", f"{bucket}/photos")
    options = dataclasses.replace(OPTIONS, shard_size=5)
    pack_source(open_source(tmp_path / "source"), tmp_path / "one", options)
    thinning = BandlimitOptions(OPTIONS.bands or BandSet.parse("S-24"), non_jpegs="copy")
    bandlimit_folder(tmp_path / "source", tmp_path / "small", thinning)
    monkeypatch.setattr(bandlimit_units_module, "UNIT_SIZE", 5)
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.02, cut=0.02, latency=0.01)
    use_server(monkeypatch, proxy.url)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")  # workers inherit
    executor = RayExecutor(units_at_once=2)
    try:
        with _one_worker_is_killed(proxy, "shards"):
            report = pack_units(
                open_source(f"{bucket}/photos"), f"{bucket}/shards", options, executor=executor, threads=1
            )
        with _one_worker_is_killed(proxy, "small"):
            thinned = bandlimit_units(f"{bucket}/photos", f"{bucket}/small", thinning, executor=executor, threads=1)
    finally:
        ray.shutdown()
        proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut
    assert report is not None
    assert (report.num_samples, len(report.bad)) == (81, 1)
    assert thinned is not None
    assert (thinned.num_files, thinned.num_copied, len(thinned.bad)) == (81, 1, 1)
    use_server(monkeypatch, server)
    assert tree(f"{bucket}/small") == tree(tmp_path / "small")
    expected = local_contents(tmp_path / "one")
    expected["manifest.json"] = expected["manifest.json"].replace(b'"source": "source"', b'"source": "photos"')
    assert contents(f"{bucket}/shards") == expected


@contextlib.contextmanager
def _one_worker_is_killed(proxy: FaultyProxy, target: str) -> Iterator[None]:
    """Kill a process that works, after the first unit of a target is recorded."""
    killed = list[int]()
    thread = threading.Thread(target=_kill_one_worker, args=(proxy, target, killed), daemon=True)
    thread.start()
    yield
    thread.join()
    assert killed


def _kill_one_worker(proxy: FaultyProxy, target: str, killed: list[int]) -> None:
    for _ in range(12_000):
        time.sleep(0.005)
        if not any(line.startswith("PUT") and f"/{target}/" in line and "unit-" in line for line in list(proxy.lines)):
            continue
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] == ["ray::_call"]:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    return
