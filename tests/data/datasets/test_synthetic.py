"""The embedded data set: the same bytes every time, of many kinds, whole or not there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prepixel.data import DatasetError, FolderDataset, scan_folder, write_synthetic
from prepixel.data.datasets.synthetic import CLASSES, SHAPE_CLASSES, TEXTURE_CLASSES, draw_picture
from prepixel.data.random_streams import sample_generator


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic(root, num_train_per_class=7, num_val_per_class=2, threads=2)
    return root


def test_folders_hold_what_was_asked_for(written: Path) -> None:
    train, val = FolderDataset(written / "train"), FolderDataset(written / "val")
    assert train.classes == val.classes == CLASSES == tuple(sorted(SHAPE_CLASSES + TEXTURE_CLASSES))
    assert set(train.num_per_class()) == {7}
    assert set(val.num_per_class()) == {2}


def test_files_are_the_same_for_any_number_of_threads(written: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "again", num_train_per_class=7, num_val_per_class=2, threads=1)
    first, second = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*.jpg")} for root in (written, tmp_path / "again")
    )
    assert first == second
    assert len(first) == 90


def test_files_are_of_many_kinds_and_none_is_broken(written: Path) -> None:
    report = scan_folder(written)
    assert not report.broken
    assert {"baseline", "progressive"} <= set(report.processes)
    assert {"4:4:4", "4:2:0"} <= set(report.samplings)
    assert report.restarts > 0
    assert len(report.orientations) > 1
    assert report.heights[0] >= 200
    assert report.widths[2] <= 700


def test_a_second_call_does_nothing_and_other_numbers_are_refused(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    write_synthetic(written, num_train_per_class=7, num_val_per_class=2)
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    with pytest.raises(DatasetError, match="num_train_per_class"):
        write_synthetic(written, num_train_per_class=8, num_val_per_class=2)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError):
        write_synthetic(tmp_path, num_train_per_class=1, num_val_per_class=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_textures_survive_at_448_and_are_gone_at_112() -> None:
    """Energy of the luma's finest detail in the middle of the object, after a resize: there at 448, lost at 112."""

    def detail(name: str, side: int) -> float:
        energies = []
        for index in range(5):
            pixels = draw_picture(name, sample_generator(11, 0, index), min_side=450, max_side=620)
            short = min(pixels.shape[:2])
            luma = Image.fromarray(pixels).convert("L")
            scaled = np.asarray(
                luma.resize(
                    (round(luma.width * side / short), round(luma.height * side / short)), Image.Resampling.BOX
                ),
                dtype=float,
            )
            energies.append(np.abs(np.diff(scaled, axis=1)).mean() + np.abs(np.diff(scaled, axis=0)).mean())
        return float(np.median(energies))

    plain, woven = (np.array([detail(name, side) for side in (448, 112)]) for name in ("red_disc", "woven_check"))
    assert woven[0] > 1.5 * plain[0]
    assert woven[1] / plain[1] < 0.7 * woven[0] / plain[0]


def test_pictures_are_jpeg_ready() -> None:
    pixels = draw_picture("ring", sample_generator(2, 0, 0))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    assert min(pixels.shape[:2]) >= 200
    assert max(pixels.shape[:2]) <= 700
