"""A job on a Ray cluster, one of whose workers is killed, ends with the bytes of a run on one machine."""

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
from tests.small_photos import Captured

from prepixel.cli import main
from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import pack_units
from prepixel.data.ray_executor import RayExecutor
from prepixel.data.units import RECORDS, recorded_units
from prepixel.errors import ClusterError, TruncatedJpeg

ray = pytest.importorskip("ray", reason="the extra cluster is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".prepixel-lock"}


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_costs_its_units_alone(tmp_path: Path) -> None:
    write_source(tmp_path / "source", 119)
    options = dataclasses.replace(OPTIONS, shard_size=3)
    pack_source(open_source(tmp_path / "source"), tmp_path / "one", options)
    killed = list[int]()
    thread = threading.Thread(target=_kill_one_worker, args=(tmp_path / "ray", killed), daemon=True)
    thread.start()
    seen = list[tuple[int, int]]()
    report = pack_units(
        open_source(tmp_path / "source"),
        tmp_path / "ray",
        options,
        executor=RayExecutor(),
        threads=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    thread.join()
    assert killed
    assert report is not None
    assert seen[-1] == (120, 120)
    assert contents(tmp_path / "ray") == contents(tmp_path / "one")


def _kill_one_worker(target: Path, killed: list[int]) -> None:
    """Kill a process that packs, after the first unit is recorded."""
    for _ in range(12_000):
        time.sleep(0.005)
        if not list(recorded_units(target / RECORDS)):
            continue
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] == ["ray::_call"]:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    return


@pytest.mark.usefixtures("cluster")
def test_an_error_of_a_unit_is_raised_as_it_is(tmp_path: Path, capsys: Captured) -> None:
    write_source(tmp_path / "source", 30)
    words = ["pack", str(tmp_path / "source"), str(tmp_path / "out"), "--on-error", "stop", "--engine", "ray"]
    assert main(words) == 2
    assert "prepixel: class3/other.png: has no YCbCr coefficients to pack" in capsys.readouterr().err
    with pytest.raises(TruncatedJpeg):
        list(RayExecutor().run(_truncated, [1]))


def _truncated(unit: int) -> None:
    raise TruncatedJpeg("ends early", byte_offset=unit)


@pytest.mark.usefixtures("cluster")
def test_a_unit_whose_workers_die_again_and_again_is_given_up() -> None:
    with pytest.raises(ClusterError, match="a unit was given up after its worker died 2 times"):
        list(RayExecutor(max_retries=1).run(_die, [1]))


def _die(unit: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
