"""Accept data sets whose folders are named by WordNet ids, as ImageNet's are."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prepixel.errors import DatasetError

_WORDNET_ID = re.compile(r"n[0-9]{8}")
_NUM_IMAGENET_CLASSES = 1000


def folder_class_names(folder: str | os.PathLike[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a data set's class folders in the network's label order.

    They are the network's classes; but for a network of ImageNet's 1,000 classes and folders (or files, as ID_name)
    that are all named by WordNet ids, they are ImageNet's ids.

    Args:
        folder: of the data set.
        classes: of the network, in label order.

    Raises:
        DatasetError: the folders are named by WordNet ids, and the package that lists ImageNet's is not installed.
    """
    root = Path(folder)
    if not root.is_dir() or not _is_imagenet(classes):
        return tuple(classes)
    entries = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
    names = [entry.name for entry in entries if entry.is_dir()] or [entry.name.partition("_")[0] for entry in entries]
    if not names or not all(_WORDNET_ID.fullmatch(name) for name in names):
        return tuple(classes)
    try:
        info: Any = importlib.import_module("timm.data.imagenet_info")
    except ModuleNotFoundError as error:
        raise DatasetError(
            f"{root}: its folders are named by WordNet ids, which need the package timm; install it: "
            "pip install 'prepixel[pretrained]'"
        ) from error
    return tuple(info.ImageNetInfo("imagenet-1k").label_names())


def _is_imagenet(classes: Sequence[str]) -> bool:
    """Return whether classes are ImageNet's, by their number and the first and last name in torchvision's order."""
    return len(classes) == _NUM_IMAGENET_CLASSES and classes[0] == "tench" and classes[-1] == "toilet tissue"
