"""Data sets whose folders are named by WordNet ids are ImageNet's classes to a network of these."""

from __future__ import annotations

from pathlib import Path

import torchvision

from prepixel.runs.wordnet import folder_class_names

IMAGENET = tuple(torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def test_wordnet_ids_are_in_the_order_of_imagenets_labels(tmp_path: Path) -> None:
    for name in ("n01440764", "n15075141", ".cache"):
        (tmp_path / name).mkdir()
    names = folder_class_names(tmp_path, IMAGENET)
    assert len(names) == 1000
    assert (names[0], names[999], IMAGENET[0], IMAGENET[999]) == ("n01440764", "n15075141", "tench", "toilet tissue")
    assert names == tuple(sorted(names))
    assert (names[IMAGENET.index("junco")], names[IMAGENET.index("hammerhead")]) == ("n01534433", "n01494475")


def test_other_folders_and_other_networks_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "n01440764").mkdir()
    assert folder_class_names(tmp_path, ("a", "b")) == ("a", "b")
    (tmp_path / "tench").mkdir()
    assert folder_class_names(tmp_path, IMAGENET) == IMAGENET
    assert folder_class_names(tmp_path / "none", IMAGENET) == IMAGENET


def test_files_named_by_ids_are_taken_too(tmp_path: Path) -> None:
    (tmp_path / "n01534433_junco.JPEG").touch()
    assert folder_class_names(tmp_path, IMAGENET)[13] == "n01534433"
