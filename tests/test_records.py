"""Rows survive their file; a killed run costs at most its last line."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prepixel import records
from prepixel.records import (
    ConfusionRow,
    Environment,
    MetricRow,
    Row,
    RunRow,
    ScoreRow,
    TimingRow,
    append_records,
    describe_environment,
    read_records,
    row_from_json,
    row_to_json,
)

ENVIRONMENT = Environment("A 7000", 3, "Linux x86_64", "3.11.2", {"torch": "2.14"}, "abc+changes", "B 100")
ROWS: list[Row] = [
    RunRow(
        "dct24",
        {"input": {"grid": [28, 28]}, "seed": 5},
        5,
        ENVIRONMENT,
        {"macs": 7_000_000, "source": "224 café"},
        11,
    ),
    MetricRow("dct24", "val", "top1", 0.53, 2.5, 700, 613),
    ConfusionRow("dct24", "val", 3.0, 701, ("cat", "dog"), ((5, 2), (3, 7))),
    TimingRow(
        "reading", "progressive", "prepixel", "images/s", 7, 1511.5, (1400.0, 1600.25), ENVIRONMENT, "libjpeg", 1.53
    ),
    ScoreRow("folding", "lite0, photos", "S-24", 160, {"top1": 0.9, "bytes": 75264, "form": "factored"}, ENVIRONMENT),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_row_comes_back_equal(row: Row) -> None:
    line = row_to_json(row)
    assert "\n" not in line
    assert row_from_json(line) == row


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_that_json_lacks_come_back(value: float) -> None:
    line = row_to_json(MetricRow("r", "train", "loss", value, 0.0, 0))
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = row_from_json(line)
    assert isinstance(back, MetricRow)
    assert back.value == value or (math.isnan(back.value) and math.isnan(value))


def test_file_keeps_rows_in_order_across_appends(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_records(path, ROWS[:1])
    append_records(path, ROWS[1:], sync=True)
    append_records(path, [])
    assert read_records(path).rows == tuple(ROWS)
    assert read_records(path).unread == ()
    assert path.read_text(encoding="utf-8").count("\n") == len(ROWS)


@pytest.mark.parametrize("kept", [1, 17, -2])
def test_torn_last_line_is_reported_and_the_next_row_survives(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "records.jsonl"
    torn = row_to_json(ROWS[1])[:kept]
    path.write_text(row_to_json(ROWS[0]) + "\n" + torn, encoding="utf-8")
    read = read_records(path)
    assert read.rows == (ROWS[0],)
    assert [(line.line, line.reason) for line in read.unread] == [
        (2, "cut short, as when a run is killed while it writes")
    ]
    append_records(path, [ROWS[2]])
    assert read_records(path).rows == (ROWS[0], ROWS[2])


def test_line_torn_inside_a_letter_is_still_only_that_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    whole = row_to_json(ROWS[0]).encode()
    path.write_bytes(whole + b"\n" + whole[: whole.index("é".encode()) + 1])
    read = read_records(path)
    assert read.rows == (ROWS[0],)
    assert [line.line for line in read.unread] == [2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[3, 5]", "not an object"),
        ('{"kind": "gate"}', "of no known kind; kinds: run, metric, confusion, timing, score"),
        ('{"name": "loss"}', "of no known kind; kinds: run, metric, confusion, timing, score"),
        (
            '{"kind": "metric", "run": "r", "split": "val", "name": "top1", "epoch": 1}',
            "a metric row without step, value",
        ),
        (
            '{"kind": "metric", "run": "r", "split": "val", "name": "a", "value": 1, "epoch": 1, "step": 1, "top1": 3}',
            "a metric row has no field top1",
        ),
    ],
)
def test_lines_that_are_no_rows_say_why(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        row_from_json(line)
    path = tmp_path / "records.jsonl"
    path.write_text(f"{line}\n{row_to_json(ROWS[1])}\n", encoding="utf-8")
    read = read_records(path)
    assert read.rows == (ROWS[1],)
    assert [(unread.line, unread.reason) for unread in read.unread] == [(1, reason)]


def test_wrongly_typed_field_says_so() -> None:
    line = json.dumps(json.loads(row_to_json(ROWS[3])) | {"spread": 3})
    with pytest.raises(ValueError, match="a timing row with a field of a wrong type"):
        row_from_json(line)


def test_metrics_take_the_later_of_two_rows_of_a_step() -> None:
    def top1(step: int, value: float) -> MetricRow:
        return MetricRow("r", "val", "top1", value, step / 7, step, 13)

    noise = MetricRow("r", "train", "top1", 0.99, 1.0, 7)
    found = records.Records((top1(7, 0.2), top1(14, 0.3), noise, top1(14, 0.4), top1(21, 0.5)))
    assert [row.value for row in found.metrics("val", "top1")] == [0.2, 0.4, 0.5]


def test_timing_row_summarizes_rounds() -> None:
    row = TimingRow.of_rounds(
        "reading", "baseline", "prepixel", "images/s", [7.0, 2.0, 3.0], reference="peer", ratio=1.5
    )
    assert (row.n, row.median, row.spread, row.ratio) == (3, 3.0, (2.0, 7.0), 1.5)
    assert row.environment == describe_environment()
    with pytest.raises(ValueError, match="reading, baseline, prepixel: no round was measured"):
        TimingRow.of_rounds("reading", "baseline", "prepixel", "images/s", [])


def test_environment_names_machine_and_versions() -> None:
    environment = describe_environment()
    assert environment.cpu
    assert 1 <= environment.cores <= (os.cpu_count() or 1)
    assert environment.versions["torch"].startswith("2.")
    assert environment.commit


def test_commit_is_unknown_outside_a_checkout(tmp_path: Path) -> None:
    assert records._commit(tmp_path) == "unknown"


def test_commit_is_unknown_where_another_checkout_holds_the_package(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "begun")
    (tmp_path / "records.py").write_text("")
    assert records._commit(tmp_path) == "unknown"
    git("add", "records.py")
    assert records._commit(tmp_path).endswith("+changes")
    git("commit", "-m", "tracked")
    assert len(records._commit(tmp_path)) == 12


def test_killed_writer_costs_at_most_one_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    code = (
        "import itertools, pathlib, sys\n"
        "from prepixel.records import MetricRow, append_records\n"
        "for step in itertools.count():\n"
        "    append_records(pathlib.Path(sys.argv[1]), [MetricRow('r', 'train', 'loss', 0.5, 0.0, step)])\n"
        "    if step == 200: print('on the way', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "on the way\n"
        writer.send_signal(signal.SIGKILL)
    append_records(path, [ROWS[1]])
    read = read_records(path)
    assert len(read.unread) <= 1
    steps = [row.step for row in read.of_kind(MetricRow)]
    assert steps[:-1] == list(range(len(steps) - 1))
    assert len(steps) > 200
    assert read.rows[-1] == ROWS[1]
