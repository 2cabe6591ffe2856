"""Training by a recipe whose shards lie in a store: killed, and resumed by another number of processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.jobs.killed_packing import OPTIONS, write_source
from tests.engine.test_processes import ROOT, TORCHRUN
from tests.engine.toy import same
from tests.stores.conftest import use_server
from tests.stores.s3_server import FaultyProxy
from tests.stores.test_remote_jobs import upload

from prepixel.data.jobs.pack_dataset import pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.records import MetricRow, RunRow, read_records

RECIPE = """
data: {{train: '{place}', val: '{place}', batch_size: 8, threads: 1{more}}}
input: {{kind: spectrum, bands: S-6, grid: [3, 5], statistics_images: 9}}
optimization: {{learning_rate: 0.01}}
training:
  {{epochs: 3, device: cpu, tensorboard: false, record_steps: 1, checkpoint_steps: 2, sync_batchnorm: true}}
"""
KILLED_AT = 8  # of 15 steps, in the second epoch; the last checkpoint is that after step 7


@pytest.fixture(scope="module", params=["", ", shuffle_block: 4, shuffle_open: 2"], ids=["all", "blocks"])
def runs(server: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Train on shards behind a proxy that refuses and cuts: undisturbed by two; killed, by two and by one."""
    import boto3

    folder = tmp_path_factory.mktemp("runs")
    write_source(folder / "source", 42)
    pack_source(open_source(folder / "source"), folder / "shards", OPTIONS)
    proxy = FaultyProxy(int(server.rpartition(":")[2]), refused=0.03, cut=0.03, latency=0.002)
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_server(monkeypatch, server)
        boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket="training")
        upload(folder / "shards", "s3://training/shards")
        shutil.rmtree(folder / "shards")
        shutil.rmtree(folder / "source")
        use_server(monkeypatch, proxy.url)
        (folder / "small.yaml").write_text(RECIPE.format(place="s3://training/shards", more=request.param))
        train(folder, "straight", 2)
        train(folder, "killed by two", 2, last=KILLED_AT)
        train(folder, "killed by one", 1, last=KILLED_AT)
        yield folder
    proxy.close()
    assert proxy.num_refused
    assert proxy.num_cut


def train(folder: Path, name: str, processes: int, *, last: int = -1, resume: bool = False) -> None:
    """Train in a number of processes, to the end or until the first of them is killed."""
    log = folder / f"{name} samples by {processes}{' resumed' if resume else ''}"
    log.mkdir()
    launcher = [*TORCHRUN[:-1], f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    words = [*launcher, "tests.stores.killed_training", str(log), str(last), "train", str(folder / "small.yaml")]
    words += ["-o", str(folder / name), *(["--resume"] if resume else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode != 0) == (last >= 0), done.stderr


def samples(folder: Path, name: str) -> list[list[int]]:
    """Return each step's samples, those of all processes, in the order of the global batch."""
    shares = [
        [json.loads(line)[0] for line in path.read_text().splitlines()] for path in sorted((folder / name).iterdir())
    ]
    steps = []
    for step in zip(*shares, strict=False):  # the process that is not killed may be a step ahead
        batch = [0] * sum(map(len, step))
        for rank, share in enumerate(step):
            batch[rank :: len(step)] = share
        steps.append(batch)
    return steps


def losses(run: Path) -> dict[int, float]:
    """Return the loss of each step; of a step that was repeated, the last."""
    rows = read_records(run / "records.jsonl").rows
    return {row.step: row.value for row in rows if isinstance(row, MetricRow) and row.name == "loss"}


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 1), (1, 2)])
def test_a_killed_run_resumed_by_another_number_of_processes_sees_the_samples_of_an_undisturbed_one(
    before: int, after: int, runs: Path, tmp_path: Path
) -> None:
    name = f"killed by {'two' if before == 2 else 'one'}"
    shutil.copytree(runs / name, tmp_path / name)
    shutil.copy(runs / "small.yaml", tmp_path)
    train(tmp_path, name, after, resume=True)
    straight = samples(runs, "straight samples by 2")
    assert len(straight) == 15
    assert [len({index for step in straight[first : first + 5] for index in step}) for first in (0, 5, 10)] == [40] * 3
    starts = [row for row in read_records(tmp_path / name / "records.jsonl").rows if isinstance(row, RunRow)]
    resumed_at = starts[-1].resumed_at
    seen = samples(runs, f"{name} samples by {before}")[:resumed_at]
    seen += samples(tmp_path, f"{name} samples by {after} resumed")
    assert 5 < resumed_at <= KILLED_AT
    assert seen == straight
    expected, got = losses(runs / "straight"), losses(tmp_path / name)
    if before == after:
        assert got == expected
        states = [read_checkpoint(run / "checkpoints" / "last.pt") for run in (runs / "straight", tmp_path / name)]
        assert same(*states)
    else:  # sums are rounded differently, and training amplifies that
        assert got.keys() == expected.keys()
        assert got[1] == pytest.approx(expected[1], rel=1e-6)
