from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType
from tests.engine.toy import CLASSES, Loader, drawing_network, same
from tests.engine.two_processes import SCENARIOS

from prepixel.engine import (
    DistributedContext,
    SettingsError,
    TrainSettings,
    evaluate,
    load_weights,
    processes,
    start_accelerator,
)
from prepixel.engine.checkpoint import read_checkpoint
from prepixel.tasks import Classification

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ["torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
TORCHRUN += ["--nproc-per-node=2"]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]


def _launch(launcher: list[str], folder: Path, *scenarios: str) -> str:
    program = ["-m", "tests.engine.two_processes", str(folder), *scenarios]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run all scenarios in two processes; starting them takes longer than they do."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "stderr.txt").write_text(_launch(TORCHRUN, folder, *SCENARIOS))
    return folder


def _state(folder: Path, name: str = "last.pt") -> dict[str, Any]:
    return read_checkpoint(folder / "checkpoints" / name)


def _assert_near(one: dict[str, Any], other: dict[str, Any]) -> None:
    for part in ("network", "average"):
        for name in one[part]:
            torch.testing.assert_close(one[part][name], other[part][name], rtol=0, atol=1e-6)


def test_processes_leave_their_group_before_python_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import atexit, os, pathlib, sys\n"
        "import torch.distributed as dist\n"
        "from prepixel.engine import TrainSettings, start_accelerator\n"
        "def note(word):\n"
        "    pathlib.Path(sys.argv[1], word + os.environ['RANK']).write_text(str(dist.is_initialized()))\n"
        "atexit.register(note, 'at the end ')  # called the last\n"
        "start_accelerator(TrainSettings(device='cpu')).wait_for_everyone()\n"
        "note('joined ')\n"
    )
    launched = [sys.executable, "-m", *TORCHRUN, str(script), str(tmp_path)]
    done = subprocess.run(launched, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    notes = {path.name: path.read_text() for path in tmp_path.iterdir() if path != script}
    assert notes == {"joined 0": "True", "joined 1": "True", "at the end 0": "False", "at the end 1": "False"}


@pytest.mark.parametrize("scenario", ["equal_shares", "unequal_shares", "batch_norm"])
def test_two_processes_train_and_score_as_one_with_the_same_global_batch(
    pair: Path, tmp_path: Path, scenario: str
) -> None:
    SCENARIOS[scenario](tmp_path / scenario, 0, 1)
    one, two = _state(tmp_path / scenario), _state(pair / scenario)
    assert (len(one["generators"]), len(two["generators"])) == (1, 2)
    _assert_near(one, two)
    assert one["position"] == two["position"]
    _assert_near(_state(tmp_path / scenario, "best.pt"), _state(pair / scenario, "best.pt"))
    rows, rows_of_two = (json.loads((folder / scenario / "rows.json").read_text()) for folder in (tmp_path, pair))
    assert [row[:4] for row in rows] == [row[:4] for row in rows_of_two]
    for row, row_of_two in zip(rows, rows_of_two, strict=True):
        if row[1] not in {"images_per_second", "data_wait_share"}:
            assert abs(row[4] - row_of_two[4]) < 1e-6, row


def test_without_synchronized_batch_norm_two_processes_are_not_one(pair: Path, tmp_path: Path) -> None:
    """What the scenario of synchronized batch norm would show if nothing were synchronized."""
    SCENARIOS["own_batch_norm"](tmp_path / "own_batch_norm", 0, 1)
    one, two = _state(tmp_path / "own_batch_norm"), _state(pair / "own_batch_norm")
    assert any((one["network"][name] - two["network"][name]).abs().max() > 1e-3 for name in one["network"])
    told = (pair / "stderr.txt").read_text()
    # Said once by this scenario and by each of the three runs of "stopped", not where batch norm is synchronized.
    assert told.count("batch norm sees each of 2 processes' share of the batch; sync_batchnorm: true") == 4, told


def test_accelerate_launch_starts_the_same_two_processes(pair: Path, tmp_path: Path) -> None:
    _launch(ACCELERATE, tmp_path, "equal_shares")
    torchrun, accelerate = (_state(folder / "equal_shares") for folder in (pair, tmp_path))
    assert len(accelerate["generators"]) == 2
    assert same(torchrun["network"], accelerate["network"])


def test_a_signal_to_one_process_stops_both_at_one_step_and_resume_is_to_the_bit(pair: Path) -> None:
    texts = {(pair / "stopped" / f"stopped-{rank}.txt").read_text() for rank in (0, 1)}
    assert len(texts) == 1
    assert texts.pop().startswith("SIGTERM: stopped after step 9 of 18 (epoch 2 of 3), and saved it in ")
    cut, straight = (_state(pair / "stopped" / name) for name in ("cut", "straight"))
    # Dropout draws differently in each process, or both would have the same generator.
    first, second = straight["generators"]
    assert not torch.equal(first["torch"], second["torch"])
    assert same(cut, straight)


def test_all_processes_score_the_running_statistics_that_are_saved(pair: Path) -> None:
    folder = pair / "stopped" / "straight"
    rows = json.loads((folder / "rows.json").read_text())
    network = drawing_network()
    for name, averaged in (("loss", True), ("plain/loss", False)):
        load_weights(network, folder / "checkpoints" / "last.pt", averaged=averaged)
        loss = evaluate(network, Classification(CLASSES), Loader(13)).loss
        assert loss == pytest.approx([row[4] for row in rows if row[:2] == ["val", name]][-1], abs=1e-6)


def test_a_loss_that_is_not_finite_on_one_process_stops_both(pair: Path) -> None:
    texts = {(pair / "spoilt" / f"spoilt-{rank}.txt").read_text() for rank in (0, 1)}
    assert len(texts) == 1
    assert texts.pop().startswith("the loss is not finite in step 3 (epoch 1")
    state = _state(pair / "spoilt")
    assert state["position"]["step"] == 2
    assert all(value.isfinite().all() for value in state["network"].values())


def test_what_needs_cuda_is_refused_without() -> None:
    with pytest.raises(SettingsError, match="precision float16 needs a CUDA device, .*; use bfloat16 or float32"):  # noqa: RUF043
        start_accelerator(TrainSettings(precision="float16", device="cpu"))


def test_a_launch_that_would_train_apart_or_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MASTER_PORT", "1")
        patch.setenv("ACCELERATE_USE_CPU", "True")
        patch.delenv("WORLD_SIZE", raising=False)
        with pytest.raises(SettingsError, match="accelerate launch --cpu starts one process whatever"):
            start_accelerator(TrainSettings(device="cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(processes, "_SUPPORTED", {DistributedType.FSDP})
        with pytest.raises(SettingsError, match="this run was launched for NO; prepixel trains in one process or"):
            start_accelerator(TrainSettings(device="cpu"))


def test_another_precision_may_follow_in_the_same_process() -> None:
    for precision, short in (("bfloat16", "bf16"), ("float32", "no")):
        accelerator = start_accelerator(TrainSettings(precision=precision, device="cpu"))
        assert accelerator.mixed_precision == short
        assert (accelerator.process_index, accelerator.num_processes) == (0, 1)


def test_one_process_agrees_with_itself() -> None:
    control = DistributedContext.join()
    assert control == DistributedContext(0, 1, None)
    assert control.gather([3, 5]) == [[3, 5]]
    assert control.gather_objects("a") == ["a"]
    assert control.sum([0.5, 2]) == [0.5, 2.0]
