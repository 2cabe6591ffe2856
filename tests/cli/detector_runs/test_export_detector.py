"""A detector's run, exported and used by `predict`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prepixel.cli import main
from prepixel.cli.export_frames import square_side
from prepixel.runtime import DetectedObjects, DetectionPredictor

Captured = pytest.CaptureFixture[str]


def test_an_exported_detector_lists_what_it_finds(run: Path, recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    net = tmp_path / "net"
    assert main(["export", str(run), "-o", str(net)]) == 0
    out = capsys.readouterr().out
    assert "S-6 on 24 x 24 blocks, float32: a frame of 96 x 96 pixels" in out
    assert "boxes, labels and scores" in out
    assert main(["export", str(run), "-o", str(tmp_path / "wide"), "--grid", "16", "24", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["task"], report["frame"]) == ("detection", [64, 96])

    photos = sorted(str(path) for path in (recipe.parent / "photos").iterdir())
    expected = list(DetectionPredictor.load(net).predict(photos, min_score=0.1))
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    assert main(["predict", str(net), *photos, str(bad), "--min-score", "0.1", "--json"]) == 1
    captured = capsys.readouterr()
    assert f"1 of {len(photos) + 1} files could not be read" in captured.err
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["file"] for line in lines] == photos
    assert any(line["found"] for line in lines)
    for line, one in zip(lines, expected, strict=True):
        assert isinstance(one, DetectedObjects)
        assert [found["class"] for found in line["found"]] == list(one.labels)
        assert line["size"] == list(one.size)
    assert main(["predict", str(net), photos[0], "--min-score", "0.1"]) == 0
    assert "objects" in capsys.readouterr().out
    assert main(["predict", str(net), photos[0], "-o", str(tmp_path / "drawn")]) == 2
    assert "which draws nothing; leave out --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name"), [(["--dynamic-grid"], "--dynamic-grid"), (["--format", "torch"], "--format")]
)
def test_what_a_detectors_graph_cannot_be_is_refused(
    run: Path, words: list[str], name: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["export", str(run), "-o", str(tmp_path / "net"), *words]) == 2
    assert f"is a detector's run, which is exported without {name}" in capsys.readouterr().err


@pytest.mark.parametrize(("sizes", "side"), [((192, 288), 256), ((800, 1333), 1056), ((64, 96), 96), ((64, 70), 64)])
def test_the_frame_is_a_square_for_photos_of_4_by_3(sizes: tuple[int, int], side: int) -> None:
    assert square_side(*sizes) == side
