"""The folder of a run: what may start in it, and what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.recipes.small import SMALL, parse

from prepixel.errors import RunError
from prepixel.recipes import Recipe
from prepixel.records import describe_environment
from prepixel.runs import RunFolder
from prepixel.spectrum import BandSet


def save_something(place: RunFolder) -> None:
    """Leave a checkpoint, as a run does after its first epoch."""
    place.checkpoint("last").parent.mkdir()
    place.checkpoint("last").write_bytes(b"weights")


def started(folder: Path, recipe: Recipe) -> RunFolder:
    place = RunFolder(folder)
    place.start(recipe, ("cat", "dog"), BandSet.parse("S-24"), describe_environment())
    return place


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    recipe = parse(SMALL)
    RunFolder(tmp_path / "new").check_free(recipe, resume=False)
    RunFolder(tmp_path).check_free(recipe, resume=True)
    place = started(tmp_path / "run", recipe)
    place.check_free(recipe, resume=False)  # it failed before its first checkpoint: nothing is lost
    save_something(place)
    with pytest.raises(RunError, match="run: holds a run already; resume it with --resume, or give another folder"):
        place.check_free(recipe, resume=False)
    place.check_free(recipe, resume=True)
    place.check_free(parse(SMALL, "--data.threads", "3", "--training.record_steps", "5"), resume=True)
    other = parse(SMALL, "--seed", "3", "--optimization.learning_rate", "0.5")
    with pytest.raises(RunError) as caught:
        place.check_free(other, resume=True)
    assert str(caught.value) == (
        f"{place.path}: cannot be resumed by another recipe: seed was 0, is 3; optimization.learning_rate was 0.1, "
        "is 0.5. Set them back, or give another folder by --output"
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(RunError, match=r"other: holds thesis.txt but no run; give an empty or a new folder"):
            RunFolder(tmp_path / "other").check_free(recipe, resume=resume)
    with pytest.raises(RunError, match=r"thesis.txt: is a file; give a folder for the run"):
        RunFolder(tmp_path / "other" / "thesis.txt").check_free(recipe, resume=False)


def test_a_start_that_failed_is_overwritten_by_the_corrected_one(tmp_path: Path) -> None:
    place = started(tmp_path / "run", parse(SMALL))
    place.records.write_text("{}")
    place.statistics.write_text("those of other images")
    (place.path / "checkpoints").mkdir()
    corrected = parse(SMALL, "--optimization.learning_rate", "0.5", "--input.bands", "192")
    for resume in (False, True):
        place.check_free(corrected, resume=resume)
    place.start(corrected, ("cow", "dog"), BandSet.parse("192"), describe_environment())
    assert place.read_classes() == ("cow", "dog")
    assert place.read_recipe() == corrected
    assert not place.statistics.exists()
    assert not place.records.exists()


def test_folder_of_a_run_on_other_classes_is_refused(tmp_path: Path) -> None:
    place = started(tmp_path / "run", parse(SMALL))
    save_something(place)
    message = (
        r"was trained on 2 classes, and the training folder now has 2 \(cow, dog\); give another folder by --output"
    )
    with pytest.raises(RunError, match=message):
        place.start(parse(SMALL), ("cat", "cow"), BandSet.parse("S-24"), describe_environment())
    assert place.read_classes() == ("cat", "dog")


def test_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none: no such folder; give a folder that prepixel train made"):
        RunFolder(tmp_path / "none").read_recipe()
    with pytest.raises(RunError, match=r"holds no run \(no recipe.yaml\); give a folder that prepixel train made"):
        RunFolder(tmp_path).read_recipe()
    place = started(tmp_path / "run", parse(SMALL))
    place.classes.write_text('{"cat": 0}')
    with pytest.raises(RunError, match=r"classes.json: the run's classes cannot be read \(not a list of names\)"):
        place.read_classes()
