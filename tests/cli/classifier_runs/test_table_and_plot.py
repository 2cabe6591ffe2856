"""Tables and curves of runs: seeds together, older versions, unfinished runs."""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
from pathlib import Path

import pytest
from tests.older_runs import forget

from prepixel.cli import main
from prepixel.records import RunRow, append_records, describe_environment, read_records
from prepixel.reports.run_table import _mean_and_spread

Captured = pytest.CaptureFixture[str]


def test_table_puts_seeds_of_a_recipe_together(capsys: Captured, runs: Path) -> None:
    assert main(["table", str(runs), "--format", "csv"]) == 0
    dct, rgb = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (dct["run"], rgb["run"]) == ("dct", "RGB")
    assert (dct["seeds"], rgb["seeds"]) == ("2", "1")
    assert (dct["input"], dct["made from"], dct["values"], dct["bytes"]) == ("DCT S-24", "24 x 40", "360", "360")
    assert (rgb["input"], rgb["made from"], rgb["values"], rgb["bytes"]) == ("RGB", "37 x 41", "4551", "4551")
    assert (dct["epochs"], dct["n"]) == ("2", "20")
    shares = [read_records(runs / run / "records.jsonl").metrics("val", "top1")[-1].value for run in ("dct-3", "dct-5")]
    mean, spread = 50 * sum(shares), 100 * abs(shares[0] - shares[1]) / 2**0.5
    assert dct["top-1 %"] == f"{mean:.1f} ± {spread:.1f}"
    assert float(rgb["params M"]) == pytest.approx(11.18, abs=0.01)


def test_a_seed_that_was_trained_twice_shows_no_spread(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    """Two runs of one seed say nothing about what another seed would give."""
    shutil.copytree(runs / "dct-3", tmp_path / "dct-3")
    shutil.copytree(runs / "dct-3", tmp_path / "again")
    assert main(["table", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "±" not in text
    assert "standard deviation" not in text
    shutil.copytree(runs / "dct-5", tmp_path / "dct-5")
    shown = []
    for names in (("dct-3", "dct-5"), ("dct-3", "dct-5", "again")):
        assert main(["table", *(str(tmp_path / name) for name in names), "--format", "csv"]) == 0
        shown.append(next(csv.DictReader(io.StringIO(capsys.readouterr().out))))
    assert shown[0]["top-1 %"] == shown[1]["top-1 %"]
    assert "±" in shown[1]["top-1 %"]


def test_table_puts_a_run_of_an_older_version_beside_one_that_states_more(
    capsys: Captured, runs: Path, tmp_path: Path
) -> None:
    for seed in (3, 5):
        shutil.copytree(runs / f"dct-{seed}", tmp_path / f"dct-{seed}")
    forget(tmp_path / "dct-5" / "records.jsonl", "gate", "network.from_run")
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["seeds"] for row in rows] == ["2"]


def test_table_as_markdown_and_text_carry_a_caption(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    assert main(["table", str(runs / "dct-3"), str(runs / "rgb-3"), "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| run | input | made from | values | bytes |")
    assert {line.count("|") for line in lines[:4]} == {16}
    assert "n validation images" in lines[-1]
    assert describe_environment().cpu in lines[-1]
    assert main(["table", str(runs), "-o", str(tmp_path / "table.txt")]) == 0
    text = (tmp_path / "table.txt").read_text(encoding="utf-8")
    assert text.splitlines()[0].split()[:3] == ["run", "input", "made"]
    assert "mean ± standard deviation over seeds" in text


def test_table_says_what_is_unfinished(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    records = read_records(runs / "dct-3" / "records.jsonl")
    start = records.of_kind(RunRow)[0]
    first = records.metrics("val", "top1")[0]
    (tmp_path / "cut").mkdir()
    append_records(tmp_path / "cut" / "records.jsonl", [dataclasses.replace(start, run="cut"), first])
    with (tmp_path / "cut" / "records.jsonl").open("a") as file:
        file.write('{"kind": "metr')
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(captured.out))
    assert (row["epochs"], row["train images/s"]) == ("1 of 2", "")
    assert "records.jsonl, line 3: cut short, as when a run is killed while it writes; passed over" in captured.err


def test_plot_draws_all_runs(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    assert main(["plot", str(runs), "-o", str(tmp_path / "curves.svg"), "--title", "small"]) == 0
    assert capsys.readouterr().out == f"drawn: {tmp_path / 'curves.svg'}\n"
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert "dct (2 seeds: mean, lowest to highest)" in text
    assert ">RGB<" in text


@pytest.mark.parametrize("verb", ["table", "plot"])
def test_folders_without_runs_say_so(capsys: Captured, tmp_path: Path, verb: str) -> None:
    assert main([verb, str(tmp_path)]) == 2
    assert f"{tmp_path}: holds no run (no records.jsonl); give folders that prepixel" in capsys.readouterr().err
    assert main([verb, str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert f"{tmp_path / 'a'}: no such folder; give folders that prepixel" in capsys.readouterr().err
    (tmp_path / "records.jsonl").write_text("")
    assert main([verb, str(tmp_path)]) == 2
    assert "records.jsonl: holds no row of a run" in capsys.readouterr().err


def test_mean_and_spread_of_shares() -> None:
    assert _mean_and_spread([]) == "-"
    assert _mean_and_spread([0.537]) == "53.7"
    assert _mean_and_spread([0.50, 0.53, 0.59]) == "54.0 ± 4.6"


def test_a_table_fits_100_characters_without_a_terminal(
    runs: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines had up to 330."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["table", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[:3]] == ["run", "input", "made"]
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["table", str(runs)]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["run", "input", "made"]
