"""What a run's folder holds after a kill, a full disk, a second training, and names that are not UTF-8."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.small_photos import jpeg

from prepixel.cli import main
from prepixel.files import is_temporary
from prepixel.records import ConfusionRow, MetricRow, Row, RunRow, append_records, read_records, row_to_json
from prepixel.runs import RunFolder

Captured = pytest.CaptureFixture[str]
PROGRAM = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from prepixel.cli import main
from prepixel.engine import checkpoint
from prepixel.records import ConfusionRow
from prepixel.runs import build_classifier, session, train_classifier

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def before(place, name, applies):
    kept = getattr(place, name)
    def replaced(*arguments, **more):
        if applies(*arguments):
            react()
        return kept(*arguments, **more)
    setattr(place, name, replaced)

def wait():
    print("waiting", flush=True)
    sys.stdin.readline()

what = sys.argv[1]
react = wait if what == "wait" else die
if what == "result":
    before(session, "append_records", lambda path, rows, **_: any(isinstance(row, ConfusionRow) for row in rows))
elif what == "finished":
    before(checkpoint, "write_checkpoint", lambda path, state: state["position"]["epoch"] == 2)
else:  # in the first epoch, before any checkpoint
    before(checkpoint, "write_checkpoint", lambda path, state: True)
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write ten photos of two classes, and a recipe that trains on them in four steps."""
    folder = tmp_path_factory.mktemp("small")
    for number in range(10):
        path = folder / "photos" / ("cat" if number % 2 else "dog") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(64 + number, 71))
    (folder / "small.yaml").write_text(
        f"data: {{train: '{folder}/photos', val: '{folder}/photos', batch_size: 5, threads: 1}}\n"
        "input: {kind: spectrum, bands: S-6, grid: [3, 5]}\n"
        "training: {epochs: 2, device: cpu, tensorboard: false, record_steps: 1}\n"
    )
    return ["train", str(folder / "small.yaml")]


def start_program(what: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, what, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def train_killed(what: str, *words: str) -> None:
    with start_program(what, *words) as child:
        _, err = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL, err


def is_result(row: Row) -> bool:
    return isinstance(row, ConfusionRow) or (isinstance(row, MetricRow) and row.name.startswith("recall/"))


def result_rows(run: Path) -> set[Row]:
    """Return the rows of the last evaluation that a finished run must have."""
    return {row for row in read_records(run / "records.jsonl").rows if is_result(row)}


@pytest.mark.parametrize("what", ["result", "finished"])
def test_a_run_killed_at_its_end_gets_its_last_rows_when_resumed(what: str, words: list[str], tmp_path: Path) -> None:
    train_killed(what, *words, "-o", str(tmp_path / "run"))
    assert main([*words, "-o", str(tmp_path / "run"), "--resume"]) == 0
    assert main([*words, "-o", str(tmp_path / "straight" / "run")]) == 0
    assert len(result_rows(tmp_path / "run")) == 3  # two recalls, and the confusion
    assert result_rows(tmp_path / "run") == result_rows(tmp_path / "straight" / "run")


def test_a_finished_run_without_its_last_rows_gets_them_once(words: list[str], tmp_path: Path) -> None:
    """Earlier versions saved the last checkpoint before these rows, and could be killed between the two."""
    words = [*words, "-o", str(tmp_path / "run")]
    assert main(words) == 0
    expected = result_rows(tmp_path / "run")
    records = tmp_path / "run" / "records.jsonl"
    kept = [row for row in read_records(records).rows if not is_result(row)]
    records.write_text("".join(row_to_json(row) + "\n" for row in kept), encoding="utf-8")
    for _ in range(2):
        assert main([*words, "--resume"]) == 0
        rows = read_records(records).rows
        assert result_rows(tmp_path / "run") == expected
        assert sum(isinstance(row, ConfusionRow) for row in rows) == 1


def test_a_second_training_into_a_folder_is_refused(words: list[str], tmp_path: Path, capsys: Captured) -> None:
    words = [*words, "-o", str(tmp_path / "run")]
    with start_program("wait", *words) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        before = (tmp_path / "run" / "records.jsonl").read_bytes()
        for more in ([], ["--resume"]):
            assert main([*words, *more]) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1, said
            assert f"{tmp_path / 'run'}: another process is training into it; wait until it ends, or end it" in said
        assert (tmp_path / "run" / "records.jsonl").read_bytes() == before
        _, err = child.communicate("\n" * 9, timeout=120)
    assert child.returncode == 0, err
    assert len(read_records(tmp_path / "run" / "records.jsonl").of_kind(RunRow)) == 1


def test_statistics_outlive_a_kill_in_the_first_epoch(words: list[str], tmp_path: Path) -> None:
    words = [*words, "-o", str(tmp_path / "run")]
    train_killed("first", *words)
    place = RunFolder(tmp_path / "run")
    measured, written = place.statistics.read_bytes(), place.statistics.stat().st_mtime_ns
    assert main([*words, "--resume", "--training.epochs", "1"]) == 0
    assert (place.statistics.read_bytes(), place.statistics.stat().st_mtime_ns) == (measured, written)


@pytest.mark.parametrize(
    "changes", [[], ["--resume", "--input.grid", "[5, 3]"], ["--resume", "--data.on_error", "skip"]]
)
def test_statistics_of_a_failed_start_are_measured_again_where_they_may_differ(
    changes: list[str], words: list[str], tmp_path: Path
) -> None:
    words = [*words, "-o", str(tmp_path / "run")]
    train_killed("first", *words)
    place = RunFolder(tmp_path / "run")
    written = place.statistics.stat().st_mtime_ns
    assert main([*words, *changes, "--training.epochs", "1"]) == 0
    assert place.statistics.stat().st_mtime_ns != written


def test_a_full_disk_is_one_line_and_leaves_no_partial_file(
    words: list[str], full_disk: Path, capsys: Captured
) -> None:
    run = full_disk / "run"
    assert main([*words, "-o", str(run)]) == 2
    said = capsys.readouterr().err
    last = said.splitlines()[-1]
    assert last == (
        f"prepixel: {run / 'checkpoints' / 'last.pt'}: No space left on device; free some space, or name a target on "
        "another disk"
    )
    assert not [path for path in run.rglob("*") if is_temporary(path.name)]
    assert not read_records(run / "records.jsonl").unread


def test_records_on_a_full_disk_end_with_a_whole_line(full_disk: Path) -> None:
    path = full_disk / "records.jsonl"
    rows = [MetricRow("run", "val", "loss", 0.5, float(step), step) for step in range(100)]
    append_records(path, rows)
    with pytest.raises(OSError, match="No space left on device; free some space") as full:
        append_records(path, 20 * rows)
    assert full.value.filename == str(path)
    records = read_records(path)
    assert not records.unread
    assert records.rows == tuple(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode")
@pytest.mark.parametrize("changes", [[], ["--input", "{kind: rgb, pixels: 32}"]])
def test_class_folders_that_are_not_utf8_train(
    changes: list[str], words: list[str], tmp_path: Path, capsys: Captured
) -> None:
    name = os.fsdecode(b"caf\xe9")
    for number in range(5):
        for kind in ("dog", name):
            path = tmp_path / "photos" / kind / f"{number}{kind}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 48), (20 * number, 0, 9)).save(path)
    folder, run = str(tmp_path / "photos"), str(tmp_path / "run")
    options = ["--data.train", folder, "--data.val", folder, "--training.tensorboard", "true", *changes]
    assert main([*words, *options, "-o", run]) == 0
    assert RunFolder(Path(run)).read_classes() == (name, "dog")
    names = {row.name for row in result_rows(Path(run)) if isinstance(row, MetricRow)}
    assert names == {"recall/dog", f"recall/{name}"}
    assert main([*words, *options, "-o", run, "--resume"]) == 0
    capsys.readouterr()
    assert main(["evaluate", run]) == 0
    assert re.search(r"^caf.*dog +5 ", capsys.readouterr().out, re.MULTILINE | re.DOTALL)
